"""Reading tars in order, whoever made them."""

import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vrs_wds.errors import SampleError, ShardFormatError, ShardTruncated
from vrs_wds.shard.members import group_members, iter_members
from vrs_wds.shard.tar_header import BLOCK

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def make_tar(members: list[tuple[str, bytes]], format: int = tarfile.GNU_FORMAT) -> bytes:
    """Return a tar made by tarfile."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def read(data: bytes) -> list[tuple[str, bytes]]:
    """Return names and bytes of the members."""
    return [(m.name, m.data) for m in iter_members(io.BytesIO(data), url="x.tar")]


names = st.text(st.sampled_from("abcü日/ "), min_size=1, max_size=150).map(
    lambda text: "k" + "/".join(part for part in text.split("/") if part).strip()
)
members = st.lists(st.tuples(names, st.binary(max_size=1100)), max_size=5)


@pytest.mark.parametrize("format", FORMATS[1:])
@given(members=members)
@settings(max_examples=40)
def test_tars_of_tarfile_read_back(format: int, members: list[tuple[str, bytes]]) -> None:
    """GNU and pax tars, long and foreign names too."""
    assert read(make_tar(members, format)) == members


def test_ustar_prefixes_are_joined() -> None:
    """A name split into prefix and name comes out whole."""
    name = "d" * 120 + "/" + "n" * 90 + ".png"

    assert read(make_tar([(name, b"x")], tarfile.USTAR_FORMAT)) == [(name, b"x")]


def test_directories_and_links_are_passed_over() -> None:
    """Only regular members are data; nothing is followed."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo(f"entry{kind!r}")
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
        info = tarfile.TarInfo("a.txt")
        info.size = 2
        tar.addfile(info, io.BytesIO(b"hi"))

    assert read(buffer.getvalue()) == [("a.txt", b"hi")]


def test_offsets_point_at_the_data() -> None:
    """`offset` finds the same bytes in the file."""
    data = make_tar([("a.txt", b"one"), ("n" * 200 + ".txt", b"two")])

    for member in iter_members(io.BytesIO(data), url="x.tar"):
        assert data[member.offset : member.offset + len(member.data)] == member.data
    starts = [member.start for member in iter_members(io.BytesIO(data), url="x.tar")]
    assert starts == [0, 1024]  # the second begins with the header of its long name


@given(st.integers(0, 5000))
def test_a_tar_cut_anywhere_is_truncated(cut: int) -> None:
    """Also exactly between two members: the closing blocks are missing."""
    data = make_tar([("a.vqa.json", b"{}"), ("a.png", bytes(700)), ("b.png", b"x" * 512)])
    end = 3 * BLOCK + 512 + 1024 + 512  # where the zero blocks begin
    cut = min(cut, end + BLOCK - 1)

    with pytest.raises(ShardTruncated, match=r"^x\.tar: "):
        read(data[:cut])


def test_truncation_names_sample_and_member() -> None:
    """Cut within a member: that one; between members: the last whole one."""
    data = make_tar([("a.vqa.json", b"{}"), ("a.png", bytes(700))])

    with pytest.raises(ShardTruncated, match=r"sample 'a': member 'a\.png' should hold 700 bytes"):
        read(data[: 3 * BLOCK + 100])
    with pytest.raises(ShardTruncated, match=r"sample 'a': after member 'a\.vqa\.json'"):
        read(data[: 2 * BLOCK])


@given(st.binary(max_size=3000))
def test_any_bytes_give_members_or_the_one_error(data: bytes) -> None:
    """Never another exception."""
    try:
        read(data)
    except SampleError as error:
        assert str(error).startswith("x.tar")


def test_a_member_larger_than_allowed_is_refused() -> None:
    """A header may claim anything; nothing of that size is read."""
    data = make_tar([("a.png", bytes(2000))])

    with pytest.raises(ShardFormatError, match=r"'a\.png': expected at most 1,000 bytes"):
        list(iter_members(io.BytesIO(data), url="x.tar", max_member_bytes=1000))


def test_members_are_grouped_into_samples() -> None:
    """Adjacent members of one key make a sample; junk is passed over; extensions are lower case."""
    tar = make_tar(
        [
            ("./d/a.PNG", b"1"),
            ("d/._a.png", b"junk"),
            ("d/a.vqa.JSON", b"2"),
            ("__meta__.json", b"junk"),
            ("d/b.c.d.txt", b"3"),
        ]
    )
    samples = list(group_members(iter_members(io.BytesIO(tar), url="x"), url="x"))

    assert [(s.key, dict(s.members)) for s in samples] == [
        ("d/a", {"png": b"1", "vqa.json": b"2"}),
        ("d/b", {"c.d.txt": b"3"}),
    ]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a.png", "b.png", "a.json"], "sample 'a': its members are not adjacent.*vrs-wds index"),
        (["a.png", "a.PNG"], "sample 'a': the member 'png' is there twice"),
    ],
)
def test_samples_that_would_be_torn_are_errors(names: list[str], message: str) -> None:
    """Never two halves of one sample, never one member for another."""
    tar = make_tar([(name, b"x") for name in names])

    with pytest.raises(ShardFormatError, match=message):
        list(group_members(iter_members(io.BytesIO(tar), url="x"), url="x"))


def header(name: str, kind: bytes, size: int) -> bytes:
    """Return a header as tarfile makes it."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def test_directories_and_links_have_no_data() -> None:
    """Whatever size they state: the next member is not skipped."""
    tar = make_tar([("a.txt", b"1"), ("b.txt", b"2")])
    for kind in (tarfile.DIRTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE):
        stated = bytearray(header("x", kind, 0))
        stated[124:136] = b"00000002000\x00"
        stated[148:156] = b"        "
        stated[148:156] = b"%06o\x00 " % sum(stated)
        assert read(tar[:1024] + bytes(stated) + tar[1024:]) == [("a.txt", b"1"), ("b.txt", b"2")]


@pytest.mark.parametrize("where", ["hole", "long hole", "joined", "joined whole"])
def test_data_after_the_end_are_an_error(where: str) -> None:
    """A part of the file was lost, or tars were joined: nothing is passed over in silence."""
    tar = bytearray(make_tar([("a.txt", b"1"), ("b.txt", b"2")]))
    if where == "hole":
        tar[1024:1536] = bytes(512)
    elif where == "long hole":
        tar = bytearray(make_tar([("a.txt", b"1"), ("b.txt", b"2"), ("c.txt", b"3")]))
        tar[1024:2048] = bytes(1024)  # the second member, whole
    elif where == "joined":
        tar = tar[: 4 * 512 + 512] + tar
    else:
        tar = tar + bytes(200_000) + tar
    with pytest.raises(ShardFormatError, match=r"zeros closes the tar, but there are data after"):
        read(bytes(tar))


@pytest.mark.parametrize("field", [b"-0000000001\x00", b" -1\x00        ", b"0o17\x00       "])
def test_numbers_are_octal_digits(field: bytes) -> None:
    """Not whatever a parser of numbers would take."""
    block = bytearray(header("a.txt", tarfile.REGTYPE, 0))
    block[124:136] = field.ljust(12, b"\x00")
    block[148:156] = b"        "
    block[148:156] = b"%06o\x00 " % sum(block)
    with pytest.raises(ShardFormatError, match="octal numbers"):
        read(bytes(block) + bytes(1024))


def test_sparse_members_are_refused() -> None:
    """Their data would begin with a map of holes."""
    with pytest.raises(ShardFormatError, match="sparse members are not read"):
        read(header("a.bin", b"S", 0) + bytes(1024))
