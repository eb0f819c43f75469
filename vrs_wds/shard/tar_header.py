"""Tar headers, made and read without `tarfile`.

POSIX.1-1988 (ustar) headers of 512 bytes; names that do not fit get a POSIX.1-2001 (pax) extended
header before them. See https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from vrs_wds.errors import KeyFormatError, ShardFormatError

BLOCK: Final = 512
END_OF_ARCHIVE: Final = bytes(2 * BLOCK)
"""Two zero blocks close a tar."""
MAX_MEMBER_BYTES: Final = 8 * 1024**3 - 1
"""The eleven octal digits of a ustar header hold no more."""

REGULAR: Final = b"0"
PAX: Final = b"x"
PAX_GLOBAL: Final = b"g"
GNU_LONG_NAME: Final = b"L"
GNU_SPARSE: Final = b"S"
NO_DATA: Final = frozenset({b"1", b"2", b"3", b"4", b"5", b"6"})
"""Links, devices, directories and pipes."""

# A header's fields in their order. Most are the same for every member: mode, owner and group,
# time; empty link, owner and group names, magic and version, device numbers.
_HEADER = (
    b"%b"  # name
    b"0000644\x000000000\x000000000\x00"
    b"%b\x00"  # size, in eleven octal digits
    b"00000000000\x00"
    b"%06o\x00 "  # checksum
    b"%b"  # type flag
    + bytes(100)
    + b"ustar\x0000"
    + bytes(64)
    + b"0000000\x000000000\x00"
    + b"%b"  # prefix
    + bytes(12)
)
_SHORT = (
    _HEADER.replace(b"%b\x00", b"%011o\x00", 1)
    .replace(b"%b" + bytes(100), REGULAR + bytes(100))
    .replace(b"%b" + bytes(12), bytes(155 + 12))
)
"""Of a regular member with a short name: what is left are name, size and checksum."""
_DIGIT_SUMS = tuple(sum(map(int, f"{number:o}")) for number in range(4096))
"""Of numbers of four octal digits; a size has three such parts."""
# Sum of all bytes but name, size, type flag and prefix; those of the checksum count as spaces.
_FIXED_SUM = sum(_HEADER % (b"", b"", 0, b"", b"")) - 6 * ord("0") + 7 * ord(" ")
_NO_PREFIX = bytes(155)
_SHORT_NAME: Final = 100
"""Bytes of a name that needs no prefix."""


@dataclass(frozen=True, slots=True)
class TarHeader:
    """What a header says of the member that follows it."""

    name: str
    size: int
    """Bytes of data, without padding."""
    kind: bytes
    """Type flag: `b"0"` for a regular file."""


def padding(size: int) -> int:
    """Return how many bytes fill the last block of `size` bytes of data."""
    return -size % BLOCK


def make_header(name: str, size: int) -> bytes:
    """Return the header block or blocks of a regular member.

    Mode 0644, owner and group 0, mtime 0: equal members have equal bytes.

    Raises:
        KeyFormatError: if the member is too large for a ustar header.
    """
    if size > MAX_MEMBER_BYTES:
        raise KeyFormatError(
            f"member {name!r}: expected at most {MAX_MEMBER_BYTES:,} bytes, got {size:,}."
        )
    encoded = name.encode("utf-8")
    if len(encoded) <= _SHORT_NAME:
        return _block(encoded, b"", size, REGULAR)
    split = _split_name(encoded)
    if split is None:
        record = _pax_record("path", encoded)
        pax = _block(b"@PaxHeader", b"", len(record), PAX) + record + bytes(padding(len(record)))
        return pax + _block(encoded[:100], b"", size, REGULAR)
    return _block(split[1], split[0], size, REGULAR)


def make_headers(key: str, members: Sequence[tuple[str, bytes]]) -> list[bytes]:
    """Return what `make_header` gives for each member of a sample: extension and data.

    All of a sample's names begin with its key, so its bytes are added up once.
    """
    stem = key.encode("utf-8") + b"."
    stem_sum = _FIXED_SUM + 11 * ord("0") + REGULAR[0] + sum(stem)
    headers = []
    for extension, data in members:
        end, end_sum = _encode_extension(extension)
        size = len(data)
        if len(stem) + len(end) > _SHORT_NAME or size > MAX_MEMBER_BYTES:
            headers.append(make_header(f"{key}.{extension}", size))
            continue
        digits_sum = (
            _DIGIT_SUMS[size & 4095] + _DIGIT_SUMS[size >> 12 & 4095] + _DIGIT_SUMS[size >> 24]
        )
        name = (stem + end).ljust(_SHORT_NAME, b"\x00")
        headers.append(_SHORT % (name, size, stem_sum + end_sum + digits_sum))
    return headers


def parse_header(block: bytes, *, where: str) -> TarHeader | None:
    """Read one header block; None for a zero block.

    Raises:
        ShardFormatError: if it is not a tar header or its checksum is wrong.
    """
    if len(block) == BLOCK and not block.strip(b"\x00"):
        return None
    stated = _octal(block[148:156], where)
    if stated != sum(block[:148]) + 8 * 32 + sum(block[156:]):
        raise ShardFormatError(
            f"{where}: the checksum of a tar header is wrong: its bytes were changed, or this is "
            "not a tar. Fetch the shard again, or write it anew."
        )
    name = block[:100].rstrip(b"\x00").partition(b"\x00")[0]
    if block[257:262] == b"ustar" and block[262:263] == b"\x00":  # not GNU's "ustar  "
        prefix = block[345:500].partition(b"\x00")[0]
        name = prefix + b"/" + name if prefix else name
    kind = block[156:157]
    return TarHeader(
        name=name.decode("utf-8", errors="surrogateescape"),
        size=_number(block[124:136], where),
        kind=REGULAR if kind in (b"\x00", b"7") else kind,
    )


def parse_pax_records(data: bytes, *, where: str) -> dict[str, str]:
    r"""Read the records of an extended header: `LENGTH KEYWORD=VALUE\n`, length of it all.

    Raises:
        ShardFormatError: if a record is malformed.
    """
    records = {}
    position = 0
    while position < len(data) and data[position] != 0:
        digits, space, _ = data[position : position + 20].partition(b" ")
        length = int(digits) if space and digits.isdigit() else 0
        record = data[position : position + length]
        keyword, equals, value = record[len(digits) + 1 : -1].partition(b"=")
        if not equals or not record.endswith(b"\n") or len(record) != length:
            raise ShardFormatError(f"{where}: a pax extended header is malformed.")
        records[keyword.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        position += length
    return records


def _block(name: bytes, prefix: bytes, size: int, kind: bytes) -> bytes:
    digits = b"%011o" % size
    checksum = _FIXED_SUM + sum(name) + sum(prefix) + sum(digits) + kind[0]
    return _HEADER % (
        name.ljust(100, b"\x00"),
        digits,
        checksum,
        kind,
        prefix.ljust(155, b"\x00") if prefix else _NO_PREFIX,
    )


@lru_cache(maxsize=1024)
def _encode_extension(extension: str) -> tuple[bytes, int]:
    """Return an extension's bytes and their sum; there are few, and they come again and again."""
    data = extension.encode("utf-8")
    return data, sum(data)


def _split_name(name: bytes) -> tuple[bytes, bytes] | None:
    """Split a long name into ustar's prefix (155 bytes) and name (100); None if it cannot be."""
    for i in range(len(name) - 1, 0, -1):
        if name[i : i + 1] == b"/" and i <= 155 and 0 < len(name) - i - 1 <= 100:
            return name[:i], name[i + 1 :]
    return None


def _pax_record(keyword: str, value: bytes) -> bytes:
    body = b" " + keyword.encode("ascii") + b"=" + value + b"\n"
    length = len(body)
    while length != len(body) + len(str(length)):
        length = len(body) + len(str(length))
    return str(length).encode("ascii") + body


def _octal(field: bytes, where: str) -> int:
    text = field.strip(b" \x00")
    if text.strip(b"01234567"):
        raise ShardFormatError(
            f"{where}: expected a tar header with octal numbers, found {field!r}: this is not a "
            "tar, or its bytes were changed."
        )
    return int(text or b"0", 8)


def _number(field: bytes, where: str) -> int:
    if field[0] & 0x80:  # GNU's base-256 for sizes of 8 GiB and more
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    return _octal(field, where)
