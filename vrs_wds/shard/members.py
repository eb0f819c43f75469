"""Reads a tar's members in order from a stream, whoever made it; and groups them into samples.

Regular members only: directories, links and devices are passed over. Extended headers (pax, GNU)
are understood. Nothing is unpacked to a disk, no path of the tar is opened.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from vrs_wds.errors import ShardFormatError, ShardTruncated
from vrs_wds.sample import Sample, split_member_name
from vrs_wds.shard.tar_header import (
    BLOCK,
    GNU_LONG_NAME,
    GNU_SPARSE,
    NO_DATA,
    PAX,
    PAX_GLOBAL,
    REGULAR,
    TarHeader,
    padding,
    parse_header,
    parse_pax_records,
)

_END_BYTES = 64 * 1024
"""Of what follows the end of a tar, looked at at once."""
MAX_HEADER_BYTES = 1024 * 1024
"""An extended header larger than this is refused."""
DEFAULT_MAX_MEMBER_BYTES = 2 * 1024**3
"""A member larger than this is refused: shards are untrusted."""


class Readable(Protocol):
    """What gives bytes in order."""

    def read(self, size: int, /) -> bytes:
        """Return the next `size` bytes, or fewer at the end."""
        ...


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file in a tar."""

    name: str
    start: int
    """Where its header begins, extended headers before it included, in the (decompressed) tar."""
    offset: int
    """Where its data begins."""
    data: bytes


def iter_members(
    stream: Readable, *, url: str, max_member_bytes: int = DEFAULT_MAX_MEMBER_BYTES
) -> Iterator[Member]:
    """Yield the regular members of a tar, in order.

    Raises:
        ShardFormatError: if a header is malformed or a member too large.
        ShardTruncated: if the tar ends within a member or without its two zero blocks.
    """
    position, start, last, extended = 0, 0, "", dict[str, str]()
    while True:
        where = f"{url}: at byte {position:,}, " + (f"after member {last!r}" if last else "first")
        block = stream.read(BLOCK)
        if len(block) < BLOCK:
            raise _truncated(url, last, position + len(block))
        header = parse_header(block, where=where)
        position += BLOCK
        if header is None:
            _check_end(stream, where)
            return
        if header.kind == GNU_SPARSE or "GNU.sparse.major" in extended:
            raise ShardFormatError(
                f"{url}: member {header.name!r}: sparse members are not read. Make the tar without "
                "--sparse."
            )
        limit = max_member_bytes if header.kind == REGULAR else MAX_HEADER_BYTES
        header = _with_extensions(header, extended)
        if header.kind in (REGULAR, PAX, PAX_GLOBAL, GNU_LONG_NAME) and header.size > limit:
            raise ShardFormatError(
                f"{url}: member {header.name!r}: expected at most {limit:,} bytes, its header says "
                f"{header.size:,}: the shard is damaged, or not meant to be read here."
            )
        data = _read_data(stream, header, url)
        if header.kind == REGULAR:
            yield Member(header.name, start, position, data)
            last, extended = header.name, {}
        elif header.kind == PAX:
            extended = {**extended, **parse_pax_records(data, where=where)}
        elif header.kind == GNU_LONG_NAME:
            extended["path"] = data.rstrip(b"\x00").decode("utf-8", "surrogateescape")
        elif header.kind != PAX_GLOBAL:
            extended = {}  # a directory or a link: passed over
        if header.kind not in NO_DATA:
            position += header.size + padding(header.size)
        if header.kind not in (PAX, PAX_GLOBAL, GNU_LONG_NAME):
            start = position


def group_members(members: Iterable[Member], *, url: str) -> Iterator[Sample]:
    """Group adjacent members with the same key into samples.

    Members that belong to no sample (see `split_member_name`) are passed over.

    Raises:
        ShardFormatError: if a sample has two members of one extension, or its members are not
            adjacent: an index is needed to bring those together.
    """
    seen: set[str] = set()
    key, parts = "", dict[str, bytes]()
    for member in members:
        split = split_member_name(member.name)
        if split is None:
            continue
        if split[0] != key:
            if parts:
                yield Sample(key, parts, url)
            key, parts = split[0], {}
            if key in seen:
                raise ShardFormatError(
                    f"{url}: sample {key!r}: its members are not adjacent ({member.name!r} comes "
                    "after another sample). Make an index with `vrs-wds index`, and open the "
                    "dataset with it."
                )
            seen.add(key)
        if split[1] in parts:
            raise ShardFormatError(
                f"{url}: sample {key!r}: the member {split[1]!r} is there twice. Write the shard "
                "anew with unique keys."
            )
        parts[split[1]] = member.data
    if parts:
        yield Sample(key, parts, url)


def _check_end(stream: Readable, where: str) -> None:
    """Refuse data after a zero block: a hole in the file, or a second tar behind the first.

    Reads to the very end, where compressed data have their checksum.
    """
    while block := stream.read(_END_BYTES):
        if block.strip(b"\x00"):
            raise ShardFormatError(
                f"{where}: a block of zeros closes the tar, but there are data after it: a part of "
                "the file was lost, or tars were joined. Fetch the shard again; of joined tars, "
                "make one shard each."
            )


def _with_extensions(header: TarHeader, extended: dict[str, str]) -> TarHeader:
    if header.kind in (PAX, PAX_GLOBAL, GNU_LONG_NAME) or not extended:
        return header
    size = extended.get("size", "")
    return TarHeader(
        name=extended.get("path", header.name),
        size=int(size) if size.isascii() and size.isdigit() and len(size) < 20 else header.size,
        kind=header.kind,
    )


def _read_data(stream: Readable, header: TarHeader, url: str) -> bytes:
    if header.kind in NO_DATA:  # a directory or a link may state a size, and has no data
        return b""
    kept = header.kind in (REGULAR, PAX, PAX_GLOBAL, GNU_LONG_NAME)
    padded = header.size + padding(header.size)
    if not kept:
        _skip(stream, padded)
        return b""
    data = stream.read(padded)
    if len(data) < padded:
        split = split_member_name(header.name)
        sample = f"sample {split[0]!r}: " if split else ""
        raise ShardTruncated(
            f"{url}: {sample}member {header.name!r} should hold {header.size:,} bytes but the "
            f"shard ends after {min(len(data), header.size):,}. Fetch the shard again, or run "
            f"`vrs-wds verify`."
        )
    return data[: header.size]


def _skip(stream: Readable, size: int) -> None:
    while size > 0:
        data = stream.read(min(size, 1 << 20))
        if not data:
            return  # the next header's read reports it
        size -= len(data)


def _truncated(url: str, last: str, size: int) -> ShardTruncated:
    split = split_member_name(last) if last else None
    after = f"sample {split[0]!r}: " if split else ""
    after += f"after member {last!r}, " if last else ""
    return ShardTruncated(
        f"{url}: {after}the shard ends at byte {size:,} without the two zero blocks that close a "
        "tar: the rest is missing. Fetch the shard again."
    )
