"""`open_dataset`: finds a split's manifest, and refuses what it cannot read."""

from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, runtime_checkable

from vrs_wds.errors import DatasetNotFound, ManifestError
from vrs_wds.reader.dataset import ShardedDataset
from vrs_wds.reader.index import Index
from vrs_wds.shard.manifest import Manifest, decode_manifest
from vrs_wds.shard.names import index_name, manifest_name
from vrs_wds.storage.file_in_the_way import file_in_the_way
from vrs_wds.storage.open import open_store
from vrs_wds.storage.reading import MIB
from vrs_wds.storage.store import Location, Store
from vrs_wds.tasks.registry import get_task, task_names

_EARLY_BYTES = 2 * MIB
"""Of an index that is read before its size is known."""


def open_dataset(url: Location, split: str | None = None) -> ShardedDataset:
    """Open a split of a dataset for reading in any order. Reads the manifest only.

    Args:
        url: Path or URL of the folder with the manifest, or a store of `open_store`.
        split: Name of the split; may be left out if there is just one.

    Raises:
        DatasetNotFound: if there is no such dataset or split.
        ManifestError: if the manifest is damaged or of a newer format.
    """
    store = open_store(url)
    name = _only_split(store) if split is None else split
    return _opened(store, name, _manifest_bytes(store, name), b"")


@runtime_checkable
class _GivesBeginnings(Store, Protocol):
    """A store far away, that gives the beginning of a file by one request."""

    def get_beginning(self, name: str, size: int) -> bytes: ...


def open_with_index(url: Location, split: str | None = None) -> ShardedDataset:
    """Open a split whose samples will be read.

    From a far store the index, or the beginning of a large one, comes at the same time as the
    manifest.
    """
    store = open_store(url)
    if split is None or not isinstance(store, _GivesBeginnings):
        return open_dataset(store, split)
    with ThreadPoolExecutor(1, "vrs_wds-open") as pool:
        index = pool.submit(store.get_beginning, index_name(split), _EARLY_BYTES)
        manifest = _manifest_bytes(store, split)
    # Whatever is wrong with the index is told when it is needed.
    return _opened(store, split, manifest, b"" if index.exception() else index.result())


def _manifest_bytes(store: Store, split: str) -> bytes:
    try:
        return store.get(manifest_name(split))
    except (FileNotFoundError, NotADirectoryError) as error:
        _refuse_file(store)
        raise _not_found(store, split) from error


def _opened(store: Store, name: str, data: bytes, index: bytes) -> ShardedDataset:
    manifest = decode_manifest(data, where=store.url_of(manifest_name(name)))
    if manifest.vrs_wds.split != name:
        raise ManifestError(
            f"{store.url_of(manifest_name(name))}: expected the split {name!r}, found "
            f"{manifest.vrs_wds.split!r}."
        )
    _check_schemas(manifest, store.url_of(manifest_name(name)))
    return ShardedDataset(store, manifest, Index(store, manifest, index), None)


def _check_schemas(manifest: Manifest, where: str) -> None:
    """Refuse sidecars of a newer schema than the one known here."""
    for name, info in manifest.vrs_wds.tasks.items():
        if name in task_names() and info.schema_version > get_task(name).version:
            raise ManifestError(
                f"{where}: task {name!r}: expected schema version {get_task(name).version} or "
                f"older, found {info.schema_version}. A newer vrs_wds, or a newer version of the "
                "task, reads it."
            )


def list_splits(store: Store) -> list[str]:
    """Return the names of the splits that have an index and a manifest in a store."""
    names = [name for name in store.list_names() if "/" not in name]
    splits = [
        name.removesuffix(".index.parquet") for name in names if name.endswith(".index.parquet")
    ]
    return [split for split in splits if manifest_name(split) in names]


def _only_split(store: Store) -> str:
    splits = list_splits(store)
    if len(splits) == 1:
        return splits[0]
    _refuse_file(store)
    raise DatasetNotFound(
        f"{store.url}: expected one split, found "
        + (f"{', '.join(splits)}: name one with split=..." if splits else _nothing_here(store))
    )


def _refuse_file(store: Store) -> None:
    if (path := file_in_the_way(store)) is not None:
        raise DatasetNotFound(
            f"{store.url}: expected the folder of a dataset, but {path} is a file. Give the folder "
            "that holds the manifest; the samples of a single tar are read with vrs_wds.stream."
        )


def _not_found(store: Store, split: str) -> DatasetNotFound:
    splits = list_splits(store)
    found = f"the splits there are {', '.join(splits)}" if splits else _nothing_here(store)
    return DatasetNotFound(f"{store.url_of(manifest_name(split))}: no such file; {found}.")


def _nothing_here(store: Store) -> str:
    tars = sum(name.endswith(".tar") for name in store.list_names())
    if tars:
        return (
            f"{tars} tar files without a manifest there: make one with `vrs-wds index`, or read "
            "them in order with vrs_wds.stream"
        )
    return "no dataset there"
