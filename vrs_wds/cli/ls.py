"""`vrs-wds ls`."""

from collections.abc import Iterator
from typing import Annotated

from cyclopts import Parameter


def ls(
    url: str,
    *,
    split: str | None = None,
    tasks: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = (),
    where: str | None = None,
    members: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """List the samples of a dataset, or of a tar that anybody made.

    Args:
        url: Folder of the dataset; or one shard.
        split: Only this split.
        tasks: Only samples that have something for these tasks.
        where: Only samples for which this holds, such as 'num_objects > 3 and "ship" in classes'.
        members: Print the members of each sample with their sizes in bytes.
    """
    from vrs_wds.cli._print import out

    for line in _lines(url, split, tasks, where, members=members):
        out(line)


def _lines(
    url: str, split: str | None, tasks: tuple[str, ...], where: str | None, *, members: bool
) -> Iterator[str]:
    from vrs_wds.cli._splits import open_splits
    from vrs_wds.errors import ConfigError
    from vrs_wds.reader.sequential import is_shard_pattern, list_shards, read_shard

    if is_shard_pattern(url):
        if split is not None or tasks or where is not None:
            raise ConfigError(
                "split, tasks and where need an index: give the dataset's folder, or make an index "
                "with `vrs-wds index`."
            )
        for shard in list_shards(url):
            for sample in read_shard(shard):
                yield sample.key
                if members:
                    yield from (f"  {name}  {len(data):,}" for name, data in sample.members.items())
        return
    for dataset in open_splits(url, split):
        chosen = dataset.select(tasks=tasks or None, where=where)
        if not members:
            yield from chosen.column("key")
            continue
        sizes = {name: chosen.column(f"{name}:size") for name in chosen.extensions}
        for i, key in enumerate(chosen.column("key")):
            yield key
            yield from (f"  {name}  {size[i]:,}" for name, size in sizes.items() if size[i] >= 0)
