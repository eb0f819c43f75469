"""A checksum computed beside the thread that packs.

::

    packing   | piece 0 | piece 1 | piece 2 |   waits   | piece 3 | ...
    SHA-256             |    piece 0     |    piece 1     |    piece 2     | ...
    MD5                 |  piece 0  |  piece 1  |         |  piece 2  | ...

`hashlib` lets other threads run while it works on a large piece.
"""

import threading
from collections import deque
from typing import Protocol

MAX_WAITING_BYTES = 8 * 1024**2
"""Bytes that may wait for a hash. A piece that is larger waits alone."""

THREAD_NAME = "vrs_wds-hash"


class Hash(Protocol):
    """What `hashlib` makes."""

    def update(self, data: bytes, /) -> None:
        """Take the next bytes."""
        ...

    def hexdigest(self) -> str:
        """Return the digest of all bytes so far."""
        ...


class BackgroundHash:
    """Feeds a hash from a thread, in bounded memory.

    The thread lives while pieces wait for it, and no longer: when the packing thread stops, for
    whatever reason, it ends by itself within a moment. What goes wrong in it is raised by the next
    `update`, or by `hexdigest`.
    """

    def __init__(self, hash: Hash) -> None:
        self._hash = hash
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._is_running = False
        self._error: BaseException | None = None

    def update(self, data: bytes) -> None:
        """Hand over the next bytes; first wait while there are too many already."""
        with self._changed:
            self._changed.wait_for(
                lambda: not self._waiting or self._waiting_bytes + len(data) <= MAX_WAITING_BYTES
            )
            self._raise_error()
            self._waiting.append(data)
            self._waiting_bytes += len(data)
            if not self._is_running:
                self._start()

    def hexdigest(self) -> str:
        """Wait for the thread; return the digest of all bytes so far."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_running)
            self._raise_error()
            return self._hash.hexdigest()

    def _start(self) -> None:
        self._is_running = True
        try:
            threading.Thread(target=self._work, name=THREAD_NAME).start()
        except BaseException as error:  # no thread to be had; or Ctrl-C, and there may be one
            self._fail(error)
            raise

    def _work(self) -> None:
        try:
            while (data := self._first()) is not None:
                self._hash.update(data)
                self._drop_first()
        except BaseException as error:  # noqa: BLE001 - raised where the bytes come from
            self._fail(error)

    def _first(self) -> bytes | None:
        with self._changed:
            if self._waiting:
                return self._waiting[0]
            self._is_running = False
            self._changed.notify_all()
            return None

    def _drop_first(self) -> None:
        with self._changed:
            if self._error is None:
                self._waiting_bytes -= len(self._waiting.popleft())
                self._changed.notify_all()

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._error = error
            self._waiting.clear()
            self._waiting_bytes = 0
            self._is_running = False
            self._changed.notify_all()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error
