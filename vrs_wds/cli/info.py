"""`vrs-wds info`."""

from typing import Annotated

from cyclopts import Parameter


def info(
    url: str, *, split: str | None = None, json: Annotated[bool, Parameter(negative="")] = False
) -> None:
    """Say what a dataset holds: splits, samples, shards, tasks. Reads the manifests only.

    Args:
        url: Folder of the dataset.
        split: Only this split.
        json: Print JSON, for programs.
    """
    import msgspec

    from vrs_wds.cli._print import out
    from vrs_wds.cli._splits import open_splits

    datasets = open_splits(url, split)
    if json:
        details = {dataset.split: dataset.manifest.vrs_wds for dataset in datasets}
        out(msgspec.json.format(msgspec.json.encode(details), indent=1).decode())
        return
    for dataset in datasets:
        manifest = dataset.manifest
        out(f"{dataset.url}  split {dataset.split}")
        out(f"  samples      {len(dataset):,}")
        out(f"  shards       {len(manifest.shardlist):,} ({manifest.num_bytes:,} bytes)")
        out(f"  extensions   {', '.join(dataset.extensions)}")
        for name, task in manifest.vrs_wds.tasks.items():
            out(f"  {name:<12} {task.num_samples:,} samples, {task.count:,} in all")
        out(f"  fingerprint  {dataset.fingerprint}")
