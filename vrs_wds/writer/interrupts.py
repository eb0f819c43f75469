"""Ctrl-C waits where half a step would be worse than a late stop."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class InterruptsHeldBack:
    """Lets Ctrl-C come at the end of the block. Outside the main thread it never comes anyway.

    An exception that leaves the block takes the place of a Ctrl-C that waits.
    """

    def __init__(self, *, insist: bool = False) -> None:
        self._insist = insist
        """A second Ctrl-C comes at once: for blocks that may take long."""
        self._is_holding = self._is_waiting = False
        self._before: Any = None

    def __enter__(self) -> None:
        self._is_holding = threading.current_thread() is threading.main_thread()
        if self._is_holding:
            self._before = signal.signal(signal.SIGINT, self._hold)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._is_holding:
            return
        # None: a handler that is not Python's, which cannot be set again.
        signal.signal(signal.SIGINT, self._before or signal.SIG_DFL)
        if self._is_waiting and error is None:
            signal.raise_signal(signal.SIGINT)

    def _hold(self, number: int, frame: FrameType | None) -> None:
        if not (self._insist and self._is_waiting):
            self._is_waiting = True
        elif callable(self._before):
            self._before(number, frame)
        elif self._before != signal.SIG_IGN:
            raise KeyboardInterrupt
