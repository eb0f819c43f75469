"""Tar headers, against Python's tarfile."""

import contextlib
import io
import tarfile

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vrs_wds.errors import KeyFormatError, ShardFormatError
from vrs_wds.shard.tar_header import (
    BLOCK,
    END_OF_ARCHIVE,
    MAX_MEMBER_BYTES,
    make_header,
    make_headers,
    padding,
    parse_header,
    parse_pax_records,
)

names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
long_names = st.integers(1, 400).flatmap(lambda n: st.just("d/" * (n // 3) + "n" * n))


@given(st.one_of(names, long_names), st.integers(0, 5000))
@example("d" * 155 + "/" + "n" * 100, 1)
@example("d" * 156 + "/" + "n" * 100, 1)
@example("n" * 101, 0)
@example("d/" + "ü" * 120 + ".json", 3)
def test_tarfile_understands_our_headers(name: str, size: int) -> None:
    """Any name and size comes back from tarfile; names too long for ustar use pax."""
    data = make_header(name, size) + bytes(size) + bytes(padding(size)) + END_OF_ARCHIVE

    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        (member,) = tar.getmembers()

    assert (member.name, member.size) == (name.rstrip("/"), size)
    assert member.isreg()


@given(
    st.text("abc/.ü", min_size=1, max_size=50).filter(lambda name: name.strip("/")),
    st.integers(0, MAX_MEMBER_BYTES),
)
def test_headers_are_those_of_tarfile(name: str, size: int) -> None:
    """To the byte; but tarfile leaves the device numbers empty, where POSIX wants zeros."""
    info = tarfile.TarInfo(name)
    info.size = size
    expected = bytearray(info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict"))
    assert not any(expected[329:345])
    expected[329:345] = b"0000000\0" * 2
    checksum = int(expected[148:154], 8) + 14 * ord("0")
    expected[148:154] = b"%06o" % checksum

    assert make_header(name, size) == expected


@given(
    st.integers(1, 300).map(lambda n: ("key_" * n)[:n]),
    st.lists(st.tuples(st.text("ab.ü", min_size=1, max_size=60), st.integers(0, 5000)), max_size=4),
)
@example("k" * 95, [("jpeg", 1), ("png", 2), ("ü.x", 3), ("ü.xy", 4)])
def test_headers_of_a_sample_are_those_of_its_members(
    key: str, members: list[tuple[str, int]]
) -> None:
    """To the byte, on both sides of the longest name that needs no prefix."""
    headers = make_headers(key, [(extension, bytes(size)) for extension, size in members])

    assert headers == [make_header(f"{key}.{extension}", size) for extension, size in members]


def test_a_member_too_large_for_a_header_is_an_error_in_a_sample() -> None:
    """As it is alone."""

    class Large(bytes):
        def __len__(self) -> int:
            return MAX_MEMBER_BYTES + 1

    with pytest.raises(KeyFormatError, match=r"member 'a\.png': expected at most"):
        make_headers("a", [("png", Large())])


@given(st.text("abc/", min_size=1, max_size=99), st.integers(0, MAX_MEMBER_BYTES))
def test_a_header_reads_back(name: str, size: int) -> None:
    """What is made is parsed, up to the largest size."""
    header = parse_header(make_header(name, size), where="x")

    assert header is not None
    assert (header.name, header.size, header.kind) == (name, size, b"0")


@given(st.integers(0, BLOCK - 1), st.integers(1, 255))
def test_any_changed_byte_in_a_header_is_found(place: int, change: int) -> None:
    """The checksum covers the whole block."""
    header = bytearray(make_header("key.vqa.json", 1234))
    header[place] ^= change
    try:
        parsed = parse_header(bytes(header), where="train-000000.tar")
    except ShardFormatError as error:
        assert "train-000000.tar" in str(error)
    else:  # the checksum's own field has a few ways to write the same number
        assert 148 <= place < 156
        assert parsed == parse_header(make_header("key.vqa.json", 1234), where="x")


def test_headers_of_equal_members_are_equal_and_pinned() -> None:
    """Fixed owner, mode and time: the bytes are part of the format."""
    header = make_header("a.png", 5)

    assert header[:8] == b"a.png\0\0\0"
    assert (
        header[100:157]
        == b"0000644\x000000000\x000000000\x0000000000005\x0000000000000\x00010126\0 0"
    )
    assert header[257:265] == b"ustar\x0000"


def test_a_member_too_large_for_the_format_is_refused() -> None:
    """Eleven octal digits hold 8 GiB less one byte."""
    with pytest.raises(KeyFormatError, match=r"a\.png.*8,589,934,591 bytes"):
        make_header("a.png", MAX_MEMBER_BYTES + 1)


@pytest.mark.parametrize(
    "records", [b"5 a=b", b"x a=b\n", b"999 a=b\n", b"6 ab\n", b"-1 a=b\n", b"0 a=b\n"]
)
def test_malformed_pax_records_are_errors(records: bytes) -> None:
    """Never a hang, never a crash."""
    with pytest.raises(ShardFormatError, match="pax"):
        parse_pax_records(records, where="x")


@given(st.binary(max_size=200))
def test_pax_records_of_any_bytes_end(data: bytes) -> None:
    """Whatever the bytes, there is a result or the one error."""
    with contextlib.suppress(ShardFormatError):
        assert isinstance(parse_pax_records(data, where="x"), dict)
