"""A TCP proxy that plays a link with a bandwidth and a latency.

What comes from the server is handed on within the kernel (`splice`, Linux): a proxy that copies
takes much of a core for 100 MB/s, which the methods measured on the same cores would lack.
"""

import fcntl
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Self

_PIPE_BYTES = 1 << 20
_MAX_REQUEST = 1 << 16
_BURST_SECONDS = 0.005
"""Sleeps are not exact: so much of a link that was idle may be used afterwards."""


class SlowLink:
    """Listens from `with` to the end of the block.

    Bytes from a client arrive `latency_seconds` later; those from the server share
    `bytes_per_second` over all connections.
    """

    def __init__(
        self, server: tuple[str, int], *, latency_seconds: float, bytes_per_second: float
    ) -> None:
        self._server = server
        self._latency_seconds = latency_seconds
        self._bytes_per_second = bytes_per_second
        self._lock = threading.Lock()
        self._is_free_at = 0.0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._threads: set[threading.Thread] = set()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._accepting = self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _break_off(self._listener)
        self._accepting.join()  # now no connection is added
        _break_off(*list(self._open))
        while self._threads:
            self._threads.pop().join()

    def _start(self, work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.add(thread)
        thread.start()
        return thread

    def _accept(self) -> None:
        with self._listener, suppress(OSError):  # the end of the block
            while True:
                client, _ = self._listener.accept()
                self._open.add(client)
                self._start(partial(self._talk, client))

    def _talk(self, client: socket.socket) -> None:
        """Serve one connection of a client's by one to the server."""
        with client, suppress(OSError), socket.create_connection(self._server) as server:
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            up = self._start(partial(self._up, client, server))
            self._down(server, client)
            _break_off(client, server)
            up.join()
        self._open.discard(client)

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        """Hand on requests, late."""
        with suppress(OSError):
            while data := client.recv(_MAX_REQUEST):
                time.sleep(self._latency_seconds)
                server.sendall(data)
        _break_off(server)

    def _down(self, server: socket.socket, client: socket.socket) -> None:
        """Hand on replies, at the link's pace."""
        read_end, write_end = os.pipe()
        try:
            fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            while size := os.splice(server.fileno(), write_end, _PIPE_BYTES):
                self._carry(size)
                while size:
                    size -= os.splice(read_end, client.fileno(), size)
        except OSError:
            pass  # one of the two has gone
        finally:
            os.close(read_end)
            os.close(write_end)

    def _carry(self, size: int) -> None:
        """Wait until the link has carried so many more bytes."""
        with self._lock:
            now = time.monotonic()
            begun = max(now - _BURST_SECONDS, self._is_free_at)
            self._is_free_at = begun + size / self._bytes_per_second
            wait = self._is_free_at - now
        if wait > 0:
            time.sleep(wait)


def _break_off(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):  # it may have gone
            end.shutdown(socket.SHUT_RDWR)
