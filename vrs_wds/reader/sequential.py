"""Reads shards from start to end without an index, whoever made them."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

import braceexpand

from vrs_wds.errors import DatasetNotFound, ShardNotFound, ShardTruncated, StorageError
from vrs_wds.sample import Sample
from vrs_wds.shard.members import Readable, group_members, iter_members
from vrs_wds.storage.open import open_store
from vrs_wds.storage.store import Location, Store

_SUFFIXES = (".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")


def list_shards(urls: Location | Iterable[str | Path]) -> list[str]:
    """Return the shards that a pattern, a folder or several of them name, in order.

    `data-{000000..000009}.tar` is expanded as webdataset does; a folder gives its tars, sorted.

    Raises:
        DatasetNotFound: if a folder holds no tar, or there is nothing at all.
    """
    if isinstance(urls, Store):
        return _tars_in(urls)
    given = [urls] if isinstance(urls, str | Path) else list(urls)
    shards: list[str] = []
    for url in given:
        for expanded in braceexpand.braceexpand(str(url)):
            shards += _tars_below(expanded) if not expanded.endswith(_SUFFIXES) else [expanded]
    if not shards:
        raise DatasetNotFound("expected the path of a shard or a folder, got an empty list.")
    return shards


def is_shard_pattern(urls: Location | Sequence[str | Path]) -> bool:
    """Tell whether these are shards by name, rather than a dataset's folder."""
    if isinstance(urls, Store):
        return False
    return not isinstance(urls, str | Path) or str(urls).endswith(_SUFFIXES)


def read_shard(url: str, store: Store | None = None) -> Iterator[Sample]:
    """Yield the samples of one shard, in order; gzip, bzip2 and xz are unpacked on the way.

    Args:
        url: Address of the shard, as `list_shards` gives it.
        store: The store that it was listed in, if there is one; it may need options to be read.

    Raises:
        ShardNotFound: if it is not there.
        ShardFormatError: if it is not a tar, or its members are not adjacent.
        ShardTruncated: if its end is missing.
    """
    if store is None:
        store, name = _store_and_name(url)
    else:
        name = url.removeprefix(store.url_of("x")[:-1])
    try:
        with store.open_reader(name) as file:
            yield from group_members(iter_members(_unpacked(file, url), url=url), url=url)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        if isinstance(error, ShardNotFound):
            raise
        raise ShardNotFound(
            f"{url}: no such shard. Look at the path, or list the folder."
        ) from error


class _Unpacked:
    """A compressed stream; what its end lacks is a `ShardTruncated`."""

    def __init__(self, file: BinaryIO, url: str) -> None:
        self._file = file
        self._url = url

    def read(self, size: int, /) -> bytes:
        try:
            return self._file.read(size)
        except StorageError:
            raise  # the shard may be sound
        except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            raise ShardTruncated(
                f"{self._url}: the compressed shard is damaged or its end is missing ({error}). "
                "Fetch it again."
            ) from error


def _unpacked(file: BinaryIO, url: str) -> Readable:
    start = file.read(6)
    file.seek(0)
    if start.startswith(b"\x1f\x8b"):
        return _Unpacked(cast(BinaryIO, gzip.GzipFile(fileobj=file)), url)
    if start.startswith(b"BZh"):
        return _Unpacked(cast(BinaryIO, bz2.BZ2File(file)), url)
    if start == b"\xfd7zXZ\x00":
        return _Unpacked(cast(BinaryIO, lzma.LZMAFile(file)), url)
    return file


def _store_and_name(url: str) -> tuple[Store, str]:
    folder, slash, name = url.rpartition("/")
    return open_store(folder + slash if slash else "."), name


def _tars_below(folder: str) -> list[str]:
    return _tars_in(open_store(folder))


def _tars_in(store: Store) -> list[str]:
    names = [name for name in store.list_names() if name.endswith(_SUFFIXES)]
    if not names:
        raise DatasetNotFound(f"{store.url}: expected a shard (*.tar), or a folder with shards.")
    return [store.url_of(name) for name in names]
