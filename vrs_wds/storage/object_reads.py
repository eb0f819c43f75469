"""Reads ranges of objects side by side, resumes broken ones, and checks what came."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from vrs_wds.errors import FileChanged
from vrs_wds.forks import reset_in_children
from vrs_wds.storage.attempts import all_secrets
from vrs_wds.storage.clients import Use
from vrs_wds.storage.failures import Kind, ShortBody, describe
from vrs_wds.storage.object_requests import ObjectRequests, stat_of
from vrs_wds.storage.patience import carried
from vrs_wds.storage.pins import Pins, check_same
from vrs_wds.storage.ranges import check_ranges, cut_range
from vrs_wds.storage.store import Stat

_SMALL_BYTES = 256 * 1024
"""Ranges up to this size are received at once; of longer ones, what came before a break is kept."""
_TRIES = 5
"""How often a whole file is read anew because it was replaced meanwhile."""
_PROGRESS_BYTES = 64 * 1024
"""A request that breaks off has brought something if it brought about as much as this."""


class ObjectReads:
    """Reads from files by bounded requests."""

    def __init__(self, requests: ObjectRequests) -> None:
        self._requests = requests
        self.reset_after_fork()
        reset_in_children(self)

    def reset_after_fork(self) -> None:
        """Begin with no threads."""
        self._pool: ThreadPoolExecutor | None = None

    def pool(self) -> Executor:
        """Return the threads that requests run in."""
        if self._pool is None:
            count = self._requests.options.transfer.concurrency
            self._pool = ThreadPoolExecutor(count, thread_name_prefix="vrs_wds-read")
        return self._pool

    def whole(self, name: str) -> tuple[bytes, Stat]:
        """Return all bytes of a file, and its version.

        A file that is replaced meanwhile is read anew: nobody asked for the one or the other.
        """
        for _ in range(_TRIES - 1):
            with suppress(FileChanged):
                return self._whole(name)
        return self._whole(name)

    def _whole(self, name: str) -> tuple[bytes, Stat]:
        size = self._requests.options.transfer.range_bytes
        self._requests.ready()  # in a forked child it says so, before a thread is started
        # Most files are shorter than this, which is to be confirmed: asked now, it takes no time.
        heads = [self.pool().submit(self._requests.head, name)]

        def head() -> Stat:
            return heads.pop().result() if heads else self._requests.head(name)

        first, stat = self.piece(name, 0, size, None, head=head)
        if stat.size <= len(first):
            return first, stat
        rest = cut_range(len(first), stat.size - len(first), size)
        pieces = self.pool().map(
            carried(lambda piece: self.piece(name, piece[0], piece[1], stat)[0]), rest
        )
        return b"".join([first, *pieces]), stat

    def beginning(self, name: str, size: int) -> bytes:
        """Return the first bytes of a file by one request; who uses them checks that none lacks."""
        return self.piece(name, 0, size, None, trusts_end=True)[0]

    def ranges(self, name: str, ranges: Sequence[tuple[int, int]], pins: Pins) -> list[bytes]:
        """Return several ranges of a file, all of the version that was first read."""
        check_ranges(ranges)
        limit, url = self._requests.options.transfer.range_bytes, self._requests.url_of(name)
        pinned = pins.get(name)
        if pinned is None and not all(0 < size <= limit for _, size in ranges):
            pinned = pins.pin(name, self._requests.stat(name), url)
        if pinned is not None:
            ranges = [(start, max(0, min(size, pinned.size - start))) for start, size in ranges]
        pieces = [list(cut_range(start, size, limit)) for start, size in ranges]

        def fetch(piece: tuple[int, int]) -> bytes:
            data, stat = self.piece(name, piece[0], piece[1], pinned)
            pins.pin(name, stat, url)
            return data

        flat = [piece for group in pieces for piece in group]
        fetched = iter(
            map(fetch, flat) if len(flat) == 1 else self.pool().map(carried(fetch), flat)
        )
        return [
            next(fetched) if len(group) == 1 else b"".join([next(fetched) for _ in group])
            for group in pieces
        ]

    def piece(
        self,
        name: str,
        offset: int,
        size: int,
        stat: Stat | None,
        *,
        head: Callable[[], Stat] | None = None,
        trusts_end: bool = False,
    ) -> tuple[bytes, Stat]:
        """Return a range by one request, or a few if it breaks off, and the file's version.

        Args:
            name: The file.
            offset: Where the range begins.
            size: Its bytes.
            stat: The version of the file that is read; None for any.
            head: Gives the version as a request of its own has found it; None makes one if needed.
            trusts_end: Whether the end of the file is not to be confirmed by such a request.

        Raises:
            FileChanged: if the file is not of the version `stat`.
            StorageError: if it fails for good, or goes on giving fewer bytes than the file has.
        """
        import obstore

        requests = self._requests
        ask = head or partial(requests.head, name)
        path, url = requests.path_of(name), requests.url_of(name)
        parts: list[bytes] = []
        received, seen = 0, stat

        def check(now: Stat) -> Stat:
            nonlocal seen
            if seen is not None:
                check_same(seen, now, url)
            seen = now if seen is None else seen
            return now

        def fetch() -> None:
            nonlocal received
            start = offset + received
            try:
                result = obstore.get(
                    requests.client(Use.READ), path, options={"range": (start, offset + size)}
                )
            except obstore.exceptions.BaseError as error:
                is_past = describe(error, all_secrets()).kind is Kind.PAST_END
                if is_past and check(ask()).size <= start:
                    return
                raise
            promised = min(offset + size, check(stat_of(result.meta)).size)
            small = offset + size - start <= _SMALL_BYTES
            for chunk in [result.bytes()] if small else result.stream(min_chunk_size=1):
                parts.append(bytes(chunk))
                received += len(parts[-1])
            if received < size and not trusts_end:  # the end of the file, or so it seems
                promised = max(promised, min(offset + size, check(ask()).size))
            if offset + received != promised:
                raise ShortBody(
                    f"expected {promised - start:,} bytes from {start:,}, found "
                    f"{offset + received - start:,}"
                )

        try:
            requests.send(fetch, name, "read", progress=lambda: received // _PROGRESS_BYTES)
        finally:
            requests.counters.add(bytes_read=received)
        assert seen is not None  # noqa: S101 - a request has succeeded
        return parts[0] if len(parts) == 1 else b"".join(parts), seen
