"""Work on a shard's bytes beside the thread that packs: hashing and writing.

::

    packing   | piece 0 | piece 1 | piece 2 |   waits   | piece 3 | ...
    SHA-256             |    piece 0     |    piece 1     |    piece 2     | ...
    MD5                 |  piece 0  |  piece 1  |         |  piece 2  | ...
    writing             | 0 |       | 1 |       | 2 |

`hashlib` and files let other threads run while they work on a large piece.
"""

import threading
from collections import deque
from collections.abc import Callable

MAX_WAITING_BYTES = 16 * 1024**2
"""Bytes that may wait for one work. A piece that is larger waits alone."""

THREAD_NAME = "vrs_wds-background"

IDLE_SECONDS = 1.0
"""A thread without a piece waits so long for the next one: to start one may take 10 ms, for which
the packing thread would wait."""


class Background:
    """Gives pieces to a function in a thread, in order and in bounded memory.

    The thread lives until `wait` or `stop`, or until no piece has come for a while: when the
    packing thread stops, for whatever reason, it ends by itself. What goes wrong in it is raised by
    the next `put`, or by `wait`.
    """

    def __init__(self, take: Callable[[bytes], object]) -> None:
        self._take = take
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._is_running = self._may_end = False
        self._error: BaseException | None = None

    def put(self, data: bytes) -> None:
        """Hand over the next bytes; first wait while there are too many already."""
        with self._changed:
            self._changed.wait_for(
                lambda: not self._waiting or self._waiting_bytes + len(data) <= MAX_WAITING_BYTES
            )
            self._raise_error()
            self._waiting.append(data)
            self._waiting_bytes += len(data)
            self._may_end = False
            if self._is_running:
                self._changed.notify_all()
            else:
                self._start()

    def wait(self) -> None:
        """Wait until all pieces were taken."""
        with self._changed:
            if self._waiting and not self._is_running:  # interrupted before it was started
                self._start()
            self._let_end()
            self._raise_error()

    def stop(self) -> None:
        """Drop what waits; wait for the piece that is being taken. Raises nothing."""
        with self._changed:
            while len(self._waiting) > self._is_running:  # then the first is being taken
                self._waiting_bytes -= len(self._waiting.pop())
            self._let_end()

    def _let_end(self) -> None:
        """Wait until all pieces were taken; the thread needs wait for no other."""
        self._changed.wait_for(lambda: not self._waiting)
        self._may_end = True
        self._changed.notify_all()

    def _start(self) -> None:
        try:
            self._is_running = True
            threading.Thread(target=self._work, name=THREAD_NAME).start()
        except BaseException as error:  # no thread to be had; or Ctrl-C, and there may be one
            self._fail(error)
            raise

    def _work(self) -> None:
        try:
            while (data := self._first()) is not None:
                self._take(data)
                self._drop_first()
        except BaseException as error:  # noqa: BLE001 - raised where the bytes come from
            self._fail(error)

    def _first(self) -> bytes | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._may_end, IDLE_SECONDS)
            if self._waiting:
                return self._waiting[0]
            self._is_running = False
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
