"""What several tests of writing share: a script that writes, in processes that may be killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "scripts" / "writing.py"

Start = Callable[..., "subprocess.Popen[str]"]
Contents = Callable[[Path], dict[str, bytes]]


@pytest.fixture(scope="session")
def start() -> Iterator[Start]:
    """Start the script; whatever still runs at the end is ended."""
    started: list[subprocess.Popen[str]] = []

    def run(url: object, *launcher: str, **environment: str) -> "subprocess.Popen[str]":
        command = [sys.executable, *launcher, str(SCRIPT), str(url)]
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a launcher's children are ended with it
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="session")
def contents() -> Contents:
    """Return every file of a folder, hidden ones too."""

    def read(root: Path) -> dict[str, bytes]:
        files = [path for path in root.rglob("*") if path.is_file()]
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}

    return read


@pytest.fixture(scope="session")
def undisturbed(
    start: Start, contents: Contents, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """What one process that nobody disturbs writes."""
    root = tmp_path_factory.mktemp("undisturbed")
    output, _ = start(root).communicate(timeout=120)
    assert output.split() == ["begin", "400"]
    return contents(root)
