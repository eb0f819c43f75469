"""`vrs-wds cat`."""


def cat(url: str, key: str, extension: str | None = None, *, split: str | None = None) -> None:
    """Print a sample's sidecars as JSON, or write one member's bytes as they are.

    Args:
        url: Folder of the dataset.
        key: Key of the sample.
        extension: Member to write, such as png or vqa.json; without it, all sidecars are printed.
        split: Split of the sample; without it, all are searched.
    """
    import msgspec

    from vrs_wds.cli._print import out, out_bytes
    from vrs_wds.cli._splits import open_splits
    from vrs_wds.errors import SampleNotFound

    datasets = open_splits(url, split)
    # The last one tried says what is wrong.
    dataset = next((d for d in datasets if key in d), datasets[-1])
    if extension is None:
        sidecars = [name for name in dataset.extensions if name.endswith("json")]
        sample = dataset.get_many([key], extensions=sidecars)[0]
        members = {name: msgspec.Raw(data) for name, data in sample.members.items()}
        out(msgspec.json.format(msgspec.json.encode(members), indent=2).decode())
        return
    sample = dataset.get_many([key], extensions=[extension])[0]
    if extension not in sample:
        raise SampleNotFound(
            f"{dataset.url}: sample {key!r} has no member {extension!r}; see "
            f"`vrs-wds ls --members`."
        )
    out_bytes(sample[extension])
