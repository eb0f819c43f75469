"""Which splits a command is about."""

from vrs_wds.reader.dataset import ShardedDataset
from vrs_wds.reader.open import list_splits, open_dataset
from vrs_wds.storage.open import open_store


def open_splits(url: str, split: str | None) -> list[ShardedDataset]:
    """Open one split, or all of a dataset's."""
    if split is not None:
        return [open_dataset(url, split)]
    splits = list_splits(open_store(url))
    # With none there, opening says what is wrong.
    return [open_dataset(url, name) for name in splits] or [open_dataset(url)]
