"""Where the files of a split are: in a folder, however nested, or in a zip archive.

::

    root/Images_train/P0003_0002.png                extracted
    root/Images_train/Images_train/P0003_0002.png   extracted with the archive's top folder
    root/Images_train.zip                           as downloaded

The same holds for `Annotations_train`. A folder that holds such files is taken before an archive.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

from vrs_wds.errors import SourceError
from vrs_wds.images.header import is_image_extension
from vrs_wds.sources.vrsbench.files import Folder, FoundFile, Place, ZipArchive

_SPLITS = {"train": "train", "val": "val", "validation": "val"}
_MAX_NAMES_SHOWN = 20


def check_split(split: str) -> str:
    """Return `train` or `val`; `validation` is another word for `val`.

    Raises:
        SourceError: if VRSBench has no such split.
    """
    if split not in _SPLITS:
        raise SourceError(
            f"split {split!r}: VRSBench has no such split; it has train and val. "
            "Its evaluation files (VRSBench_EVAL_*.json) are about val."
        )
    return _SPLITS[split]


def find_images(root: Path, split: str) -> dict[str, FoundFile]:
    """Return the pictures of a split by stem, in the order of their file names.

    Raises:
        SourceError: if there are none, or if two have the same stem.
    """
    name = f"Images_{split}"
    files = _find(root, name, lambda file: is_image_extension(file.extension))
    if not files:
        raise not_found(root, "pictures", [f"{name}/", f"{name}.zip"])
    return by_stem(sorted(files, key=lambda file: file.file_name))


def find_annotations(root: Path, split: str) -> list[FoundFile]:
    """Return the annotation files of a split, by name; none if there are none."""
    return _find(root, f"Annotations_{split}", lambda file: file.extension == "json")


def by_stem(files: Iterable[FoundFile]) -> dict[str, FoundFile]:
    """Return files by stem, in their order.

    Raises:
        SourceError: if two have the same stem; the message names both.
    """
    found: dict[str, FoundFile] = {}
    for file in files:
        if (other := found.setdefault(file.stem, file)) is not file:
            raise SourceError(
                f"two files are called {file.stem!r}: {other.where} and {file.where}. "
                "Samples are matched by this name: keep one of them."
            )
    return found


def image_stem(name: str) -> str:
    """Return a picture's stem from its name, which may lack the extension or have folders.

    >>> image_stem("P0003_0002.png"), image_stem("Images_val/P0003_0002")
    ('P0003_0002', 'P0003_0002')
    """
    file_name = name.rpartition("/")[2]
    stem, _, extension = file_name.rpartition(".")
    return stem if stem and is_image_extension(extension) else file_name


def not_found(root: Path, what: str, wanted: Iterable[str]) -> SourceError:
    """Return the error that says what was looked for, where, and what is there instead."""
    return SourceError(
        f"{root}: expected {what} in {' or '.join(wanted)}, found {_listing(root)}. "
        "Put the files of the dataset (hub: xiang709/VRSBench) into this folder, as downloaded or "
        "extracted, or give the folder that holds them."
    )


def _find(root: Path, name: str, accept: Callable[[FoundFile], bool]) -> list[FoundFile]:
    folder, archive = root / name, root / f"{name}.zip"
    places: list[Place] = []
    if folder.is_dir():
        places.append(Folder(folder))
    if archive.is_file():
        places.append(ZipArchive(archive))
    for place in places:
        files = [FoundFile(place, inside) for inside in place.names()]
        if files := [file for file in files if accept(file)]:
            return files
    return []


def _listing(root: Path) -> str:
    if not root.is_dir():
        return "no such folder"
    names = sorted(f"{path.name}/" if path.is_dir() else path.name for path in root.iterdir())
    more = len(names) - _MAX_NAMES_SHOWN
    shown = ", ".join(names[:_MAX_NAMES_SHOWN]) or "an empty folder"
    return f"{shown} and {more} more" if more > 0 else shown
