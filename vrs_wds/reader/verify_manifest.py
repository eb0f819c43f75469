"""What a manifest says a second time: its fingerprint, and its counts, against shards and index."""

from collections.abc import Iterator

import numpy as np

from vrs_wds.errors import ManifestError
from vrs_wds.reader.dataset import ShardedDataset
from vrs_wds.shard.index_table import ABSENT, count_column, tasks_in
from vrs_wds.shard.manifest import make_fingerprint
from vrs_wds.shard.names import manifest_name

_REMEDY = "Fetch the manifest again, or make it anew with `vrs-wds index --overwrite`."


def verify_manifest(dataset: ShardedDataset) -> Iterator[ManifestError]:
    """Compare a whole split's manifest with its own list of shards, and with the index."""
    where = dataset.store.url_of(manifest_name(dataset.split))
    details = dataset.manifest.vrs_wds
    expected = make_fingerprint(dataset.manifest.shardlist)
    if details.fingerprint != expected:
        yield ManifestError(
            f"{where}: fingerprint: expected {expected[:16]}..., as the checksums of its shards "
            f"give, found one that begins with {details.fingerprint[:16]!r}. {_REMEDY}"
        )
    for task in tasks_in(dataset.columns()):
        counts = dataset.numbers_in(count_column(task))
        if counts.dtype != np.int32:
            continue  # somebody's own column
        there = counts[counts != ABSENT]
        wanted = f"{len(there):,} samples and a count of {int(there.sum()):,}, as the index says"
        if (info := details.tasks.get(task)) is None:
            yield ManifestError(
                f"{where}: tasks: {task!r}: expected {wanted}, found no such task. {_REMEDY}"
            )
        elif (info.num_samples, info.count) != (len(there), int(there.sum())):
            yield ManifestError(
                f"{where}: tasks: {task!r}: expected {wanted}, found {info.num_samples:,} and "
                f"{info.count:,}. {_REMEDY}"
            )
