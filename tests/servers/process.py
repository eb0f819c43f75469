"""Starts a server, waits until it answers, and ends it."""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 60
_ATTEMPTS = 5


@contextmanager
def running(
    command: Callable[[int], Sequence[str]], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[int]:
    """Run a server on a free port of this machine for the length of the context.

    Args:
        command: Makes the command line for a port.
        log: File for what the server prints.
        environment: Its environment; None is this process's.
    """
    for attempt in range(_ATTEMPTS):
        port = free_port()
        with log.open("wb") as output:
            process = subprocess.Popen(command(port), stdout=output, stderr=output, env=environment)
        try:
            if _answers(process, port):
                yield port
                return
            # Another process may have taken the port in between.
            assert attempt < _ATTEMPTS - 1, log.read_text(errors="replace")
        finally:
            process.kill()
            process.wait()


def free_port() -> int:
    """Return a port of this machine that nobody uses."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None:
        assert time.monotonic() < deadline, f"{process.args!r} does not answer"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return process.poll() is None
    return False
