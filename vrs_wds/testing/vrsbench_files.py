"""Writing files the way that VRSBench comes: in a zip archive, or extracted from it."""

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

Layout = Literal["zip", "extracted", "nested"]
"""As downloaded; extracted into one folder; extracted with the archive's own top folder."""

_EPOCH = (1980, 1, 1, 0, 0, 0)


def write_files(
    root: Path, name: str, files: Iterable[tuple[str, bytes]], layout: Layout = "extracted"
) -> None:
    """Write files (name, bytes) into `root/name/`, `root/name/name/` or `root/name.zip`.

    The archive has one top folder, and the junk that macOS adds.
    """
    root.mkdir(parents=True, exist_ok=True)
    if layout == "zip":
        _write_zip(root / f"{name}.zip", name, files)
        return
    folder = root / name if layout == "extracted" else root / name / name
    folder.mkdir(parents=True, exist_ok=True)
    for file_name, data in files:
        (folder / file_name).write_bytes(data)


def _write_zip(path: Path, top: str, files: Iterable[tuple[str, bytes]]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo(f"{top}/", _EPOCH), b"")
        archive.writestr(zipfile.ZipInfo(f"{top}/.DS_Store", _EPOCH), b"junk")
        for file_name, data in files:
            archive.writestr(zipfile.ZipInfo(f"{top}/{file_name}", _EPOCH), data)
            archive.writestr(zipfile.ZipInfo(f"__MACOSX/{top}/._{file_name}", _EPOCH), b"junk")
