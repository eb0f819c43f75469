"""Where the files are: folders, nested folders, archives, and what is said when they are not."""

import pytest

from vrs_wds.errors import SourceError
from vrs_wds.sources.vrsbench.layout import (
    by_stem,
    check_split,
    find_annotations,
    find_images,
    image_stem,
)
from vrs_wds.testing.vrsbench_files import write_files

LAYOUTS = ["extracted", "nested", "zip"]
IMAGES = [("b.png", b"B"), ("a.png", b"A")]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pictures_are_found_in_every_layout_in_the_order_of_their_names(tmp_path, layout):
    """The layout makes no difference to names, order and bytes."""
    write_files(tmp_path, "Images_val", IMAGES, layout)
    found = find_images(tmp_path, "val")
    assert [(stem, file.read(9)) for stem, file in found.items()] == [("a", b"A"), ("b", b"B")]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_junk_and_other_files_are_not_pictures(tmp_path, layout):
    """`._a.png`, `.DS_Store`, thumbnails' data bases and texts are passed over."""
    junk = [("._a.png", b"x"), (".hidden.png", b"x"), ("Thumbs.db", b"x"), ("readme.txt", b"x")]
    write_files(tmp_path, "Images_val", IMAGES + junk, layout)
    assert list(find_images(tmp_path, "val")) == ["a", "b"]


def test_pictures_may_have_other_extensions(tmp_path):
    """Converted pictures are pictures, whatever the case of the extension."""
    files = [("a.JPG", b"1"), ("b.webp", b"2"), ("c.tif", b"3"), ("d.json", b"4")]
    write_files(tmp_path, "Images_train", files)
    assert [f.extension for f in find_images(tmp_path, "train").values()] == ["jpg", "webp", "tif"]


def test_a_folder_is_taken_before_an_archive(tmp_path):
    """Who extracted an archive, and changed a file, means the folder."""
    write_files(tmp_path, "Images_val", [("a.png", b"archive")], "zip")
    write_files(tmp_path, "Images_val", [("a.png", b"folder")])
    assert find_images(tmp_path, "val")["a"].read(9) == b"folder"


def test_an_empty_folder_does_not_hide_an_archive(tmp_path):
    """A folder without pictures holds no split."""
    write_files(tmp_path, "Images_val", [("a.png", b"archive")], "zip")
    (tmp_path / "Images_val").mkdir()
    assert find_images(tmp_path, "val")["a"].read(9) == b"archive"


def test_two_pictures_of_one_stem_are_an_error_that_names_both(tmp_path):
    """The same picture in a folder and in a nested one, or as png and jpg: no guess is made."""
    write_files(tmp_path, "Images_val", [("a.png", b"1")])
    write_files(tmp_path, "Images_val", [("a.jpg", b"2")], "nested")
    with pytest.raises(
        SourceError, match=r"'a': .*Images_val/Images_val/a\.jpg and .*Images_val/a\.png"
    ):
        find_images(tmp_path, "val")


def test_missing_pictures_say_what_was_looked_for_and_what_is_there(tmp_path):
    """The message has the folder, both names that would do, the folder's content and a way out."""
    write_files(tmp_path, "Images_train", IMAGES)
    (tmp_path / "README.md").touch()
    with pytest.raises(SourceError) as caught:
        find_images(tmp_path, "val")
    message = str(caught.value)
    assert message.startswith(
        f"{tmp_path}: expected pictures in Images_val/ or Images_val.zip, "
        "found Images_train/, README.md. "
    )
    assert "xiang709/VRSBench" in message


def test_a_missing_root_and_an_empty_one_are_told_apart(tmp_path):
    """The message says which of the two it is; a long listing is cut."""
    with pytest.raises(SourceError, match="found no such folder"):
        find_images(tmp_path / "nowhere", "val")
    with pytest.raises(SourceError, match="found an empty folder"):
        find_images(tmp_path, "val")
    for number in range(25):
        (tmp_path / f"{number:02d}").touch()
    with pytest.raises(SourceError, match=r"00, 01, .* 19 and 5 more"):
        find_images(tmp_path, "val")


def test_annotations_are_found_or_there_are_none(tmp_path):
    """Their absence is no error here: there may be records instead."""
    assert find_annotations(tmp_path, "val") == []
    write_files(tmp_path, "Annotations_val", [("b.json", b"{}"), ("a.json", b"{}")], "zip")
    assert [file.stem for file in find_annotations(tmp_path, "val")] == ["a", "b"]


def test_splits(tmp_path):
    """`validation` is val; there is no test split, and the message says so."""
    assert [check_split(name) for name in ("train", "val", "validation")] == ["train", "val", "val"]
    for name in ("test", "TRAIN", ""):
        with pytest.raises(SourceError, match="no such split; it has train and val"):
            check_split(name)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("P0003_0002.png", "P0003_0002"),
        ("P0003_0002", "P0003_0002"),
        ("Images_val/00002_0000.PNG", "00002_0000"),
        ("tile.1.5.png", "tile.1.5"),
        ("tile.1.5", "tile.1.5"),
        (".png", ".png"),
        ("", ""),
    ],
)
def test_a_picture_has_a_stem_with_or_without_its_extension(name, stem):
    """GeoChat's files leave the extension out; a dot in the name is part of it."""
    assert image_stem(name) == stem


def test_files_by_stem_agree_with_stems_of_names(tmp_path):
    """What is found on the disk and what an annotation names meet, dots and all."""
    write_files(tmp_path, "Images_val", [("tile.1.5.png", b"a")])
    found = find_images(tmp_path, "val")
    assert list(found) == [image_stem("tile.1.5.png")]
    assert by_stem(found.values()) == found
