"""Folders and archives: reading without extracting, limits, damage, processes and threads."""

import multiprocessing
import pickle
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from vrs_wds.errors import SourceError
from vrs_wds.sources.vrsbench.files import Folder, FoundFile, ZipArchive, is_junk
from vrs_wds.testing.vrsbench_files import write_files

NAMES = [f"{number:03d}.png" for number in range(40)]
CONTENT = {name: name.encode() * 4000 for name in NAMES}


@pytest.fixture
def archive(tmp_path):
    """Forty compressed entries of 28 KB."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as writer:
        for name, data in CONTENT.items():
            writer.writestr(name, data)
    return ZipArchive(tmp_path / "a.zip")


def read_all(place):
    """Return whether every file reads as written, and how many archives this process opened."""
    opened = []
    original = zipfile.ZipFile
    zipfile.ZipFile = lambda *args: opened.append(args) or original(*args)
    try:
        return all(place.read(n, 10**6) == CONTENT[n] for n in NAMES * 5), len(opened)
    finally:
        zipfile.ZipFile = original


def test_folder_and_archive_list_the_same(tmp_path):
    """Junk is left out of both; names are sorted and relative."""
    files = [("b.png", b"b"), ("._b.png", b"junk"), ("a.png", b"a")]
    write_files(tmp_path, "Images", files, "nested")
    write_files(tmp_path, "Images", files, "zip")
    expected = ["Images/a.png", "Images/b.png"]
    assert Folder(tmp_path / "Images").names() == expected
    assert ZipArchive(tmp_path / "Images.zip").names() == expected


@pytest.mark.parametrize(
    ("name", "junk"),
    [
        ("__MACOSX/Images/a.png", True),
        ("Images/__MACOSX/a.png", True),
        ("Images/._a.png", True),
        (".git/a.png", True),
        ("../a.png", False),
        ("./a.png", False),
        ("Images/a._b.png", False),
    ],
)
def test_hidden_names_and_those_of_macos_are_junk(name, junk):
    """A dot in front of any part hides it; a dot within does not."""
    assert is_junk(name) is junk


@pytest.mark.parametrize("layout", ["nested", "zip"])
def test_a_file_knows_its_names(tmp_path, layout):
    """Stem and extension are those of the file; the label is short, `where` is complete."""
    write_files(tmp_path, "Images", [("a.b.PNG", b"a")], layout)
    place = ZipArchive(tmp_path / "Images.zip") if layout == "zip" else Folder(tmp_path / "Images")
    file = FoundFile(place, place.names()[0])
    assert (file.stem, file.extension, file.file_name) == ("a.b", "png", "a.b.PNG")
    expected = {"zip": "Images.zip: a.b.PNG", "nested": "Images/Images/a.b.PNG"}
    assert file.label == expected[layout]
    separator = ": " if layout == "zip" else "/"
    assert file.where == f"{place.path}{separator}Images/a.b.PNG"


@pytest.mark.parametrize("layout", ["extracted", "zip"])
def test_a_file_above_the_limit_is_refused(tmp_path, layout):
    """An archive may promise little and unpack to much; the limit is checked before unpacking."""
    write_files(tmp_path, "Images", [("a.png", bytes(1001))], layout)
    place = ZipArchive(tmp_path / "Images.zip") if layout == "zip" else Folder(tmp_path / "Images")
    (name,) = place.names()
    assert len(place.read(name, 1001)) == 1001
    with pytest.raises(SourceError, match=r"a\.png: expected at most 1,000 bytes, got 1,001"):
        place.read(name, 1000)


def test_an_entry_that_lies_about_its_size_is_refused(tmp_path, archive):
    """A header that says 10 bytes for an entry of more gives an error, not more bytes."""
    data = bytearray(archive.path.read_bytes())
    central = data.rfind(b"PK\x01\x02")
    name_at = central + 46
    name = bytes(data[name_at : name_at + 7]).decode()
    data[central + 24 : central + 28] = (10).to_bytes(4, "little")
    archive.path.write_bytes(data)
    with pytest.raises(SourceError, match=rf"a\.zip: {name}: the entry cannot be read: Bad CRC"):
        archive.read(name, 100)


def test_a_damaged_entry_is_named(tmp_path, archive):
    """A flipped bit is found by the entry's checksum."""
    data = bytearray(archive.path.read_bytes())
    data[60] ^= 0xFF
    archive.path.write_bytes(data)
    with pytest.raises(SourceError, match=r"a\.zip: 000\.png: the entry cannot be read"):
        archive.read("000.png", 10**6)


def test_an_encrypted_entry_is_refused(tmp_path, archive):
    """There is no password to give."""
    data = bytearray(archive.path.read_bytes())
    data[6] |= 1
    data[data.find(b"PK\x01\x02") + 8] |= 1
    archive.path.write_bytes(data)
    with pytest.raises(SourceError, match=r"000\.png: the entry cannot be read: .*encrypted"):
        archive.read("000.png", 10**6)


def test_what_is_no_archive_says_so(tmp_path):
    """Half a download is the usual reason."""
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 and nothing more")
    with pytest.raises(SourceError, match=r"a\.zip: expected a zip archive, .* Fetch it again"):
        ZipArchive(tmp_path / "a.zip").names()


def test_names_that_leave_the_archive_write_nothing(tmp_path):
    """An entry `../../evil.png` or `/evil.png` is read like any other; the disk stays as it was."""
    inside = tmp_path / "deep" / "deeper"
    inside.mkdir(parents=True)
    with zipfile.ZipFile(inside / "a.zip", "w") as writer:
        writer.writestr("../../evil.png", b"evil")
        writer.writestr("/evil.png", b"evil")
    before = sorted(tmp_path.rglob("*"))
    place = ZipArchive(inside / "a.zip")
    assert [place.read(name, 9) for name in place.names()] == [b"evil"] * 2
    assert sorted(tmp_path.rglob("*")) == before


def test_an_archive_is_opened_once_and_when_first_read(archive):
    """Making one opens nothing; all reads of a process share one handle."""
    assert read_all(archive) == (True, 1)
    assert read_all(archive) == (True, 0)


def test_a_pickle_carries_the_path_and_no_handle(archive):
    """The copy opens its own."""
    archive.names()
    data = pickle.dumps(archive)
    assert len(data) < 1000
    copy = pickle.loads(data)
    assert repr(copy) == repr(archive)
    assert read_all(copy) == (True, 1)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_processes_open_their_own_handles(archive):
    """Parent and children read at once; sharing a file position would mix up their bytes."""
    archive.names()
    with multiprocessing.get_context("fork").Pool(3) as pool:
        pending = pool.map_async(read_all, [archive] * 3)
        assert read_all(archive) == (True, 0)
        assert pending.get(60) == [(True, 1)] * 3


def _child(place, queue):
    queue.put(read_all(place))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_that_inherits_the_object_opens_its_own_handle(archive):
    """Nothing is pickled here: the child has the parent's object, handle and all."""
    archive.names()
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=_child, args=(archive, queue))
    child.start()
    assert read_all(archive) == (True, 0)
    child.join(60)
    assert child.exitcode == 0
    assert queue.get() == (True, 1)


def test_threads_share_an_archive(archive):
    """Eight threads read all entries in different orders; each gets its own bytes."""
    with ThreadPoolExecutor(8) as pool:
        jobs = [(NAMES[i:] + NAMES[:i]) * 5 for i in range(8)]
        done = pool.map(
            lambda names: all(archive.read(n, 10**6) == CONTENT[n] for n in names), jobs
        )
        assert list(done) == [True] * 8
