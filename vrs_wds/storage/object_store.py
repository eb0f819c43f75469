"""Buckets of S3, Google and Azure, and web servers, as stores."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from io import BufferedReader
from typing import Any, BinaryIO, cast

from vrs_wds.errors import StorageError
from vrs_wds.storage.address import parse_address
from vrs_wds.storage.clients import ClientOptions, Use
from vrs_wds.storage.counters import Counters
from vrs_wds.storage.names import select_names
from vrs_wds.storage.object_reads import ObjectReads
from vrs_wds.storage.object_requests import ObjectRequests
from vrs_wds.storage.object_uploads import Upload
from vrs_wds.storage.pins import Pins
from vrs_wds.storage.range_reader import RangeReader
from vrs_wds.storage.reading import FAR, Reading
from vrs_wds.storage.store import Stat, StoreWriter
from vrs_wds.storage.sweeping import UploadSweeper

_MAX_COPY_BYTES = 5 * 1024**3
"""S3 copies no more than this in one request."""
_FEW_BYTES = 64 * 1024
"""So many are sent before a stall could be noticed."""
_AHEAD = 4
"""The most blocks that a reader fetches ahead."""


class ObjectStore:
    """A folder of a bucket. Files appear when they are complete, and are never changed in part.

    Ranges of a file are of one version: its etag is remembered from the first read. Requests that
    fail are sent again, within limits. Safe to use from several threads; a pickle holds no secret.
    """

    def __init__(self, url: str, **storage_options: Any) -> None:  # noqa: ANN401 - the client's
        self._address = parse_address(url)
        self._options = ClientOptions.sort_out(storage_options, self._address)
        self._start()
        self._requests.check_options()

    def _start(self) -> None:
        self._requests = ObjectRequests(self._address, self._options)
        self._reads = ObjectReads(self._requests)
        self._pins = Pins()
        self._sweeper = UploadSweeper(self._address, self._options)

    @property
    def url(self) -> str:
        """The folder's address, as `s3://bucket/folder`."""
        return self._address.url

    @property
    def counters(self) -> Counters:
        """What this store has done so far."""
        return self._requests.counters

    @property
    def reading(self) -> Reading:
        """Many requests at once, of as many bytes as the options say."""
        options = self._options.transfer
        return replace(
            FAR, range_bytes=options.range_bytes, inflight_bytes=options.max_inflight_bytes
        )

    def url_of(self, name: str) -> str:
        """Return a file's address."""
        return self._address.url_of(name)

    def get(self, name: str) -> bytes:
        """Return all bytes of a file, as it is now; long ones by ranges, side by side."""
        data, stat = self._reads.whole(name)
        self._pins.note_whole(name, stat, self.url_of(name))
        return data

    def get_beginning(self, name: str, size: int) -> bytes:
        """Return a file's first bytes, at most `size`, as soon as can be.

        That none are missing is not confirmed, as `get_range` does, by a request of its own.
        """
        return self._reads.beginning(name, size)

    def get_range(self, name: str, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`, or fewer where the file ends."""
        return self.get_ranges(name, [(offset, size)])[0]

    def get_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return several ranges of a file, fetched side by side."""
        return self._reads.ranges(name, ranges, self._pins)

    def stat(self, name: str) -> Stat:
        """Return a file's size and etag, as they are now."""
        return self._requests.stat(name)

    def size_of(self, name: str) -> int:
        """Return a file's size in bytes."""
        return self.stat(name).size

    def exists(self, name: str) -> bool:
        """Tell whether there is such a file."""
        return self._requests.stat_or_none(name) is not None

    def list_names(self, prefix: str = "", *, hidden: bool = False) -> Iterator[str]:
        """Yield the names that start with `prefix`, sorted; hidden ones only if asked for.

        Raises:
            StorageError: of a web server, which cannot list a folder.
        """
        if self._address.kind == "http":
            raise StorageError(
                f"{self.url}: a web server does not list its files. Name the split, as in "
                "open_dataset(url, split='train'), or the shards."
            )
        self._requests.ready()
        root = self._address.prefix
        folder = prefix.rpartition("/")[0]
        yield from select_names(self._requests.list_paths(folder), root, prefix, hidden=hidden)

    @contextmanager
    def open_reader(self, name: str) -> Iterator[BinaryIO]:
        """Open a file; it is read by bounded ranges, a few of which are fetched ahead."""
        url, options = self.url_of(name), self._options.transfer
        stat = self._pins.pin(name, self.stat(name), url)
        reader = RangeReader(
            lambda offset, size: self._reads.piece(name, offset, size, stat)[0],
            stat.size,
            block_bytes=options.range_bytes,
            ahead=min(_AHEAD, options.concurrency - 1),
            pool=self._reads.pool(),
        )
        with reader, BufferedReader(reader, 128 * 1024) as file:
            yield cast(BinaryIO, file)

    @contextmanager
    def open_writer(self, name: str) -> Iterator[StoreWriter]:
        """Write a file that appears when the context is left without an exception.

        A file longer than a part is sent in parts as it is written; at most `max_inflight_bytes`
        are held. After an exception the parts are removed.
        """
        self._check_writable(name)
        upload = Upload(self._requests, name)
        try:
            yield upload
        except BaseException:
            upload.abort()
            raise
        upload.close()
        self.counters.add(bytes_written=upload.size)
        self._pins.forget(name)

    def put(self, name: str, data: bytes) -> None:
        """Write a file in one go."""
        import obstore

        self._check_writable(name)
        if len(data) > self._options.transfer.part_bytes:
            with self.open_writer(name) as writer:
                writer.write(data)
            return
        self._requests.send(
            lambda: obstore.put(
                self._requests.client(_use_for(data)),
                self._address.path_of(name),
                data,
                use_multipart=False,
            ),
            name,
            "written",
        )
        self.counters.add(bytes_written=len(data))
        self._pins.forget(name)

    def put_new(self, name: str, data: bytes) -> None:
        """Write a file in one go unless there is one of that name: of several writers one wins.

        If an answer is lost, the file that is found is compared with `data`; when several writers
        may write the same bytes, put something of the writer's own into them.
        """
        import obstore

        self._check_writable(name)
        sent = 0

        def put() -> None:
            nonlocal sent
            sent += 1
            client = self._requests.client(_use_for(data))
            obstore.put(
                client, self._address.path_of(name), data, mode="create", use_multipart=False
            )

        try:
            self._requests.send(put, name, "written")
        except FileExistsError:
            # Not the first try: an earlier one may have been this one's own, its answer lost.
            if sent == 1 or not self._holds(name, data):
                raise
        except StorageError:
            if not self._holds(name, data):
                raise
        self.counters.add(bytes_written=len(data))
        self._pins.forget(name)

    def rename(self, name: str, new_name: str) -> None:
        """Give a file another name, by a copy that the server makes; one of that name is replaced.

        S3 copies 5 GiB at most, and some servers that speak its language, or Google's, do not copy
        as they should: then the file is read and written again, by ranges.
        """
        import obstore

        self._check_writable(name)
        size = self.stat(name).size
        if name == new_name:
            return
        is_copied = False
        if size <= _MAX_COPY_BYTES or self._address.kind != "s3":
            source, target = self._address.path_of(name), self._address.path_of(new_name)
            self._requests.send(
                lambda: obstore.copy(self._requests.client(Use.WRITE), source, target),
                name,
                "copied",
            )
            is_copied = self.size_of(new_name) == size
        if not is_copied:
            with self.open_reader(name) as file, self.open_writer(new_name) as writer:
                shutil.copyfileobj(file, writer, self._options.transfer.range_bytes)
        self._pins.forget(new_name)
        self.delete(name)

    def delete(self, name: str) -> None:
        """Remove a file; one that is not there is no error."""
        import obstore

        self._check_writable(name)
        path = self._address.path_of(name)
        with suppress(FileNotFoundError):
            self._requests.send(
                lambda: obstore.delete(self._requests.client(Use.READ), path), name, "removed"
            )
        self._pins.forget(name)

    def sweep(self, prefix: str) -> int:
        """Remove the parts of files below `prefix` that killed writers did not complete.

        Only S3 with boto3 (`pip install 'vrs_wds[s3]'`) can tell which there are; otherwise a
        warning says how to let the bucket remove them by itself. Azure does so after a week.
        """
        self._check_writable(prefix)
        return self._sweeper.sweep(prefix)

    def _holds(self, name: str, data: bytes) -> bool:
        try:
            return self.size_of(name) == len(data) and self._reads.whole(name)[0] == data
        except OSError:
            return False

    def _check_writable(self, name: str) -> None:
        if self._address.kind == "http":
            raise StorageError(f"{self.url_of(name)}: web servers are read only here.")
        self._requests.ready()

    def __getstate__(self) -> dict[str, Any]:
        return {"address": self._address, "options": self._options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._address, self._options = state["address"], state["options"]
        self._start()

    def __repr__(self) -> str:
        return f"ObjectStore({self.url!r})"


def _use_for(data: bytes) -> Use:
    """Return which client sends a file of these bytes; a stall of few is noticed sooner."""
    return Use.READ if len(data) <= _FEW_BYTES else Use.WRITE
