"""Any filesystem that fsspec knows as a store."""

import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from io import BufferedReader
from typing import Any, BinaryIO, TypeVar, cast

from vrs_wds.errors import ConfigError, StorageError, VrsWdsError
from vrs_wds.storage.attempts import Failed, all_secrets, attempt, to_error
from vrs_wds.storage.counters import Counters
from vrs_wds.storage.failures import ShortBody, redact
from vrs_wds.storage.names import join_name, select_names
from vrs_wds.storage.pins import Pins, check_same
from vrs_wds.storage.private_options import PrivateOptions
from vrs_wds.storage.range_reader import RangeReader
from vrs_wds.storage.ranges import check_ranges
from vrs_wds.storage.reading import FAR, Reading
from vrs_wds.storage.store import Stat, StoreWriter
from vrs_wds.storage.transfer import TransferOptions

_T = TypeVar("_T")
_TEMPORARY = ".tmp~"
_REQUESTS = 16
"""At once: a filesystem that is not asynchronous has a connection for each."""
_VERSION_KEYS = (
    *("etag", "ETag", "generation", "version_id", "md5Hash"),
    *("mtime", "LastModified", "last_modified", "updated", "modified", "created"),
)
_SECRET_WORDS = ("key", "secret", "token", "pass", "sas", "cred", "header")
_BUCKETS = {"gs", "gcs", "s3", "s3a", "abfs", "az", "adl", "oss", "oci", "r2"}
"""Protocols of filesystems without folders."""


class FsspecStore:
    """A folder of an fsspec filesystem.

    Files are written under a hidden temporary name and moved when they are complete; how much
    happens at once is the filesystem's affair. Ranges are of one version where the filesystem tells
    versions apart. Each range costs a look at the file besides.
    """

    def __init__(self, filesystem: Any, root: str, url: str, transfer: TransferOptions) -> None:  # noqa: ANN401 - fsspec ships no types
        self._transfer = transfer
        self._url = url.rstrip("/") if not url.endswith("://") else url
        self._root = str(filesystem._strip_protocol(root)).rstrip("/")
        options = getattr(filesystem, "storage_options", None) or {}
        # What a pickle must not hold is kept apart; a filesystem without options may be pickled.
        hidden = {k: v for k, v in options.items() if any(word in k for word in _SECRET_WORDS)}
        self._private = PrivateOptions(
            {"filesystem": filesystem, "secrets": hidden} if options else {}
        )
        self._open_filesystem = None if options else filesystem
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._pins = Pins()
        self.counters = Counters()
        """What this store has done so far."""

    @property
    def url(self) -> str:
        """The folder's address."""
        return self._url

    @property
    def reading(self) -> Reading:
        """Some requests at once, of as many bytes as the options say."""
        options = self._transfer
        return replace(
            FAR,
            requests=_REQUESTS,
            range_bytes=options.range_bytes,
            inflight_bytes=options.max_inflight_bytes,
        )

    def url_of(self, name: str) -> str:
        """Return a file's address."""
        return f"{self._url}{name}" if self._url.endswith("/") else f"{self._url}/{name}"

    def get(self, name: str) -> bytes:
        """Return all bytes of a file, as it is now."""

        def read() -> tuple[bytes, Stat]:
            before = self._look(name)
            data: bytes = self._filesystem.cat_file(self._path(name))
            check_same(before, self._look(name), self.url_of(name))
            return self._whole(data, before.size), before

        data, stat = self._send(read, name, "read")
        self._pins.note_whole(name, stat, self.url_of(name))
        return data

    def get_range(self, name: str, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`, or fewer where the file ends."""
        check_ranges([(offset, size)])
        url = self.url_of(name)
        pinned = self._pins.get(name) or self._pins.pin(name, self.stat(name), url)
        stop = min(offset + size, pinned.size)

        def read() -> bytes:
            if stop <= offset:
                return b""
            data: bytes = self._filesystem.cat_file(self._path(name), start=offset, end=stop)
            check_same(pinned, self._look(name), url)
            return self._whole(data, stop - offset)

        data = self._send(read, name, "read")
        self._pins.pin(name, pinned, url)
        return data

    def get_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return several ranges of a file, one after the other."""
        return [self.get_range(name, offset, size) for offset, size in ranges]

    def stat(self, name: str) -> Stat:
        """Return a file's size and version, as they are now."""
        return self._send(lambda: self._look(name), name, "found")

    def size_of(self, name: str) -> int:
        """Return a file's size in bytes."""
        return self.stat(name).size

    def exists(self, name: str) -> bool:
        """Tell whether there is such a file."""
        try:
            self.stat(name)
        except FileNotFoundError:
            return False
        return True

    def list_names(self, prefix: str = "", *, hidden: bool = False) -> Iterator[str]:
        """Yield the names that start with `prefix`, sorted; hidden ones only if asked for."""
        names = self._find(prefix)
        yield from select_names(
            (name for name in names if not name.endswith(_TEMPORARY)), "", prefix, hidden=hidden
        )

    @contextmanager
    def open_reader(self, name: str) -> Iterator[BinaryIO]:
        """Open a file; it is read by bounded ranges, none of them ahead."""
        stat = self._pins.pin(name, self.stat(name), self.url_of(name))
        reader = RangeReader(
            lambda offset, size: self.get_range(name, offset, size),
            stat.size,
            block_bytes=self._transfer.range_bytes,
            ahead=0,
            pool=None,
        )
        with reader, BufferedReader(reader, 128 * 1024) as file:
            yield cast(BinaryIO, file)

    @contextmanager
    def open_writer(self, name: str) -> Iterator[StoreWriter]:
        """Write a file under a temporary name, then move it."""
        path, filesystem = self._path(name), self._filesystem
        folder, _, last = path.rpartition("/")
        temporary = join_name(folder, f".{last}.{secrets.token_hex(8)}{_TEMPORARY}")
        file = self._send(lambda: self._create(temporary), name, "written")
        writer = _Writer(file.write, lambda do: self._send(do, name, "written", is_retried=False))
        try:
            yield writer
            writer.send(file.close)
            self._check_arrived(temporary, name, writer.size)
            writer.send(lambda: self._move(temporary, path))
        except BaseException:
            for undo in (file.close, lambda: filesystem.rm_file(temporary)):
                with suppress(Exception):  # what went wrong first is what is told
                    undo()
            raise
        self.counters.add(bytes_written=writer.size)
        self._forget(name)

    def put(self, name: str, data: bytes) -> None:
        """Write a file in one go."""
        with self.open_writer(name) as writer:
            writer.write(data)

    def put_new(self, name: str, data: bytes) -> None:
        """Write a file in one go unless there is one of that name.

        Of several writers one wins where the filesystem offers that (`mode="create"`); otherwise
        the last one does.
        """
        if self.exists(name):
            raise FileExistsError(f"{self.url_of(name)}: is there already.")
        filesystem, path = self._filesystem, self._path(name)

        def create() -> None:
            self._make_folder(path)
            filesystem.pipe_file(path, data, mode="create")

        self._send(create, name, "written", is_retried=False)
        self.counters.add(bytes_written=len(data))
        self._forget(name)

    def rename(self, name: str, new_name: str) -> None:
        """Give a file another name; one of that name is replaced."""
        self.stat(name)
        if name == new_name:
            return
        self._make_folder(self._path(new_name))
        self._send(lambda: self._move(self._path(name), self._path(new_name)), name, "renamed")
        self._forget(name)
        self._forget(new_name)

    def delete(self, name: str) -> None:
        """Remove a file; one that is not there is no error."""
        if self.exists(name):
            with suppress(FileNotFoundError):
                self._send(lambda: self._filesystem.rm_file(self._path(name)), name, "removed")
        self._forget(name)

    def sweep(self, prefix: str) -> int:
        """Remove temporary files below `prefix`."""
        start = prefix.rpartition("/")[2]
        folder = prefix.rpartition("/")[0]
        leftovers = [
            name
            for name in self._find(prefix)
            if name.endswith(_TEMPORARY)
            if name.rpartition("/")[0] != folder or name.rpartition("/")[2].startswith(f".{start}")
        ]
        for name in leftovers:
            self.delete(name)
        return len(leftovers)

    @property
    def _filesystem(self) -> Any:  # noqa: ANN401 - fsspec ships no types
        filesystem = self._open_filesystem
        if filesystem is None:
            filesystem = self._private.reveal(self.url)["filesystem"]
        if getattr(filesystem, "async_impl", False) and self._pid != os.getpid():
            raise StorageError(
                f"{self.url}: cannot be read or written in a forked process: the filesystem's "
                "threads are not there. Start workers by forkserver or spawn, as in "
                'DataLoader(..., multiprocessing_context="forkserver").'
            )
        return filesystem

    def _path(self, name: str) -> str:
        if any(part in ("", ".", "..") for part in name.split("/")):
            raise StorageError(f"{self.url_of(name)}: the name has an empty component, or dots.")
        return f"{self._root}/{name}"

    def _look(self, name: str) -> Stat:
        filesystem, path = self._filesystem, self._path(name)
        filesystem.invalidate_cache(path.rpartition("/")[0])
        info = filesystem.info(path)
        if info.get("type") == "directory":
            raise FileNotFoundError(path)
        version = "-".join(f"{info[key]}" for key in _VERSION_KEYS if info.get(key) is not None)
        return Stat(int(info["size"]), version)

    def _find(self, prefix: str) -> list[str]:
        folder = prefix.rpartition("/")[0]
        path = f"{self._root}/{folder}" if folder else self._root

        def find() -> list[str]:
            self._filesystem.invalidate_cache(path)
            with suppress(FileNotFoundError):
                return list(self._filesystem.find(path))
            return []

        start = f"{self._root}/"
        return [
            found[len(start) :]
            for found in self._send(find, folder, "listed")
            if found.startswith(start)
        ]

    def _create(self, path: str) -> Any:  # noqa: ANN401 - a file
        self._make_folder(path)
        return self._filesystem.open(path, "wb")

    def _check_arrived(self, path: str, name: str, size: int) -> None:
        found = self._send(lambda: self._filesystem.size(path), name, "written")
        if found != size:
            raise StorageError(
                f"{self.url_of(name)}: wrote {size:,} bytes, of which {found:,} arrived."
            )

    def _move(self, path: str, new_path: str) -> None:
        from fsspec import AbstractFileSystem

        filesystem = self._filesystem
        if not self._is_bucket() and type(filesystem).mv is not AbstractFileSystem.mv:
            filesystem.mv(path, new_path)  # a rename
        else:  # the general `mv` takes names with ?, * and [ for patterns
            filesystem.cp_file(path, new_path)
            filesystem.rm_file(path)

    def _is_bucket(self) -> bool:
        protocol = self._filesystem.protocol
        return bool(({protocol} if isinstance(protocol, str) else set(protocol)) & _BUCKETS)

    def _make_folder(self, path: str) -> None:
        if not self._is_bucket():
            self._filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)

    def _whole(self, data: bytes, expected: int) -> bytes:
        self.counters.add(bytes_read=len(data))
        if len(data) != expected:
            raise ShortBody(f"expected {expected:,} bytes, found {len(data):,}")
        return bytes(data)

    def _forget(self, name: str) -> None:
        self._pins.forget(name)

    def _send(self, do: Callable[[], _T], name: str, what: str, *, is_retried: bool = True) -> _T:
        url = self.url_of(name)
        try:
            return attempt(
                do,
                what=f"{url}: cannot be {what}",
                is_known=True,
                options=self._transfer if is_retried else TransferOptions(retries=0),
                counters=self.counters,
            )
        except Failed as failed:
            raise to_error(failed, url=url, what=what, kind="fsspec", profile=None) from None
        except VrsWdsError:
            raise
        except Exception as error:  # noqa: BLE001 - each filesystem has errors of its own
            text = redact(f"{type(error).__name__}: {error}", all_secrets())
            raise StorageError(
                f"{url}: cannot be {what}: {text}. Look at the filesystem's options, and at the "
                "server."
            ) from None

    def __getstate__(self) -> dict[str, Any]:
        return {
            "filesystem": self._open_filesystem,
            "private": self._private,
            "root": self._root,
            "url": self._url,
            "transfer": self._transfer,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._open_filesystem, self._private = state["filesystem"], state["private"]
        self._root, self._url, self._transfer = state["root"], state["url"], state["transfer"]
        self._start()

    def __repr__(self) -> str:
        return f"FsspecStore({self.url!r})"


class _Writer:
    """Counts what is written, and turns errors into ours."""

    def __init__(
        self, write: Callable[[bytes], object], send: Callable[[Callable[[], object]], object]
    ) -> None:
        self._write = write
        self.send = send
        self.size = 0

    def write(self, data: bytes, /) -> None:
        self.send(lambda: self._write(data))
        self.size += len(data)


def open_fsspec_url(url: str, options: Mapping[str, Any]) -> FsspecStore:
    """Open a URL by the fsspec filesystem of its scheme.

    Raises:
        ConfigError: if fsspec knows no such scheme, lacks a package for it, or an option is wrong.
    """
    import fsspec

    rest = dict(options)
    transfer = TransferOptions.take_from(rest)
    scheme = url.partition("://")[0]
    if re.search(r"://[^/]*:[^/]*@", url):  # of a chain, any; the message must not show it
        raise ConfigError(
            f"{scheme}://…: a URL with a password in it would be shown in messages; give it as an "
            "option, as the filesystem calls it: open_store(url, username=..., password=...)."
        )
    try:
        filesystem, root = fsspec.core.url_to_fs(url, **rest)
    except ImportError as error:
        raise ConfigError(
            f"{url}: fsspec opens {scheme}:// with a package that is not installed: {error}"
        ) from error
    except (ValueError, TypeError) as error:
        if "not known" in str(error):
            raise ConfigError(
                f"{url}: no store is known for {scheme}://. There are a path, file://, memory://, "
                "s3://, gs://, az://, http://, https:// and all that fsspec and its packages "
                "know; or pass filesystem=, an fsspec filesystem of yours."
            ) from error
        text = redact(str(error), all_secrets())
        raise ConfigError(f"{url}: {text}") from None
    return FsspecStore(filesystem, root, url, transfer)


def wrap_filesystem(
    filesystem: Any,  # noqa: ANN401 - fsspec ships no types
    root: str,
    options: Mapping[str, Any],
) -> FsspecStore:
    """Return a folder of a filesystem of the user's as a store.

    Raises:
        ConfigError: if an option is none of ours.
    """
    rest = dict(options)
    transfer = TransferOptions.take_from(rest)
    protocol = filesystem.protocol
    protocol = protocol if isinstance(protocol, str) else protocol[0]
    url = root if "://" in root else f"{protocol}://{root}"
    if rest:
        raise ConfigError(
            f"{url}: unknown option {min(rest)!r}; give the filesystem its own options, here there "
            f"are {', '.join(TransferOptions.names())}."
        )
    return FsspecStore(filesystem, root, url, transfer)
