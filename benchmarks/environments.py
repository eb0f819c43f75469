"""A virtual environment for each group of peers that would not live in ours.

An environment is made when a peer of it is first asked for, below the cache folder. What it does
not install itself it borrows from the environment of this interpreter (torch above all, which is
large), by a `.pth` file: its own packages come first.
"""

import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

PACKAGES: dict[str, tuple[str, ...]] = {
    "barecat": ("barecat",),
    "dali": ("nvidia-dali-cuda120",),
    "grain": ("grain",),
    "litdata": ("litdata",),
    "mosaicml": ("mosaicml-streaming",),
    "spdl": ("spdl",),
    "wids": ("wids",),
}
"""Name of an environment to what pip is asked for."""

_DONE = "complete"
_REASON_LINES = 3


@dataclass(frozen=True, slots=True)
class NotInstalled(Exception):
    """A peer cannot be installed here."""

    environment: str
    reason: str
    """What pip said last."""

    def __str__(self) -> str:
        return f"{self.environment}: {self.reason}"


def python_of(name: str | None, folder: Path) -> str:
    """Return the interpreter of an environment; install it if it is not there yet.

    Args:
        name: Name in `PACKAGES`; None is this interpreter's own environment.
        folder: Cache folder.

    Raises:
        NotInstalled: if pip fails.
    """
    if name is None:
        return sys.executable
    home = folder / "environments" / name
    python = home / "bin" / "python"
    if not (home / _DONE).exists():
        _run(name, [sys.executable, "-m", "venv", "--clear", str(home)])
        _borrow(home)
        _run(name, [str(python), "-m", "pip", "install", "--quiet", *PACKAGES[name]])
        (home / _DONE).touch()
    return str(python)


def _borrow(home: Path) -> None:
    """Let an environment find our packages after its own."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    ours = sysconfig.get_path("purelib")
    (home / "lib" / version / "site-packages" / "zz_borrowed.pth").write_text(f"{ours}\n")


def _run(name: str, command: list[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if result.returncode:
        lines = [line for line in (result.stderr or result.stdout).splitlines() if line.strip()]
        wrong = [line for line in lines if "ERROR" in line] or lines
        raise NotInstalled(name, " ".join(wrong[-_REASON_LINES:]) or f"exit {result.returncode}")
