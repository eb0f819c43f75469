"""What the marker segments of a JPEG say (ITU-T T.81, annex B)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from struct import unpack_from
from typing import Final

from vrs_wds.images.orientation import parse_orientation
from vrs_wds.images.refusal import refusal

END_MARKER: Final = b"\xff\xd9"
"""What ends the last scan; bytes that follow belong to something else."""

_SCAN: Final = 0xDA
_END: Final = 0xD9
_APP1: Final = 0xE1
_SCAN_MARKER: Final = b"\xff\xda"
_MIN_SCAN_LENGTH: Final = 8
_MAX_SCAN_LENGTH: Final = 14
"""Bytes of a scan's parameters: six, and two for each of one to four components."""
_MAX_KEPT: Final = 4096
"""A longer header, as with EXIF and a thumbnail, is parsed anew each time."""
_SCAN_SEGMENT: Final = re.compile(rb"\xff\xda..", re.DOTALL)
"""The start of a scan: marker and length."""
_STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers without a length: TEM, the restarts, the start of the image."""
_PROGRESSIVE: Final = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """A JPEG up to its first scan."""

    width: int
    """As stored, in pixels."""
    height: int
    """As stored, in pixels."""
    progressive: bool
    """Whether a scan may carry some of the coefficients only."""
    components: bytes
    """The identifier of each colour component: one byte each."""
    orientation: int
    """EXIF orientation, 1..8."""
    first_scan: int
    """Offset of the first scan's parameters; the end of the data if there is no scan."""
    missing: bytes
    """Components of which the first scan does not send the mean colour of a block."""


def parse_jpeg_header(data: bytes, *, where: str) -> JpegHeader:
    """Read the segments up to the first scan; decodes nothing.

    Raises:
        DecodeError: if no frame header comes before the first scan.
    """
    # Pictures may have one of several headers, as where an encoder makes one for each size.
    scan = data.find(_SCAN_MARKER, 0, _MAX_KEPT)
    if scan >= 0 and (size := _size_up_to_scan(data, scan + 4)):
        kept = _parse_kept(data[:size])
        if kept is not None and kept.first_scan == scan + 4:  # else it is part of a segment
            return kept
    header, found = _parse(data)
    if header is None:
        raise refusal(where, expected="a complete jpeg image", found=found)
    return header


def size_up_to_scan(data: bytes, header: JpegHeader) -> int:
    """Return how many bytes decide the header: another file that begins with them has the same.

    0 if that is not known, or many.
    """
    return _size_up_to_scan(data, header.first_scan) if header.first_scan <= _MAX_KEPT else 0


def _size_up_to_scan(data: bytes, parameters: int) -> int:
    """Return the offset of a scan's data, by that of its parameters; 0 if they are not as usual."""
    length = int.from_bytes(data[parameters - 2 : parameters], "big")
    size = parameters - 2 + length
    is_usual = _MIN_SCAN_LENGTH <= length <= _MAX_SCAN_LENGTH and size <= len(data)
    return size if is_usual and data[parameters - 4 : parameters - 2] == _SCAN_MARKER else 0


@lru_cache(maxsize=256)
def _parse_kept(data: bytes) -> JpegHeader | None:
    """Parse data that may end with the first scan's parameters."""
    return _parse(data)[0]


def _parse(data: bytes) -> tuple[JpegHeader | None, str]:
    """Return the header, or what was found instead."""
    frame, process, orientation, scan = b"", 0, 1, len(data)
    exif_seen = False
    for marker, start, stop in segments(data):
        if marker in _FRAMES:
            frame, process = data[start:stop], marker
        elif marker == _APP1 and not exif_seen and data[start : start + 6] == b"Exif\0\0":
            orientation, exif_seen = parse_orientation(data[start:stop]), True
        elif marker == _SCAN:
            scan = start
    if len(frame) < 9 or len(frame) < 6 + 3 * frame[5]:
        return None, f"no frame header in the first {scan} of {len(data)} bytes"
    height, width = unpack_from(">HH", frame, 1)
    components = frame[6 : 6 + 3 * frame[5] : 3]
    progressive = process in _PROGRESSIVE
    missing = {*components} - _components_of_scan(data, scan, progressive=progressive)
    header = JpegHeader(
        width=width,
        height=height,
        progressive=progressive,
        components=components,
        orientation=orientation,
        first_scan=scan,
        missing=bytes(sorted(missing)),
    )
    return header, ""


def missing_components(data: bytes, header: JpegHeader) -> bytes:
    """Return the components of which no scan sends the mean colour of a block.

    A decoder paints these grey and does not complain, as when a file with a scan per component
    was cut between two scans and given an end marker. Almost always the first scan has them all.
    """
    if not header.missing:
        return b""
    missing = {*header.missing}
    start = header.first_scan
    end = data.find(END_MARKER, start)
    # Inside a scan, 0xFF is followed by 0 or by a restart: this finds segments only.
    for scan in re.finditer(_SCAN_SEGMENT, data[start : end if end >= 0 else len(data)]):
        missing -= _components_of_scan(data, start + scan.end(), progressive=header.progressive)
    return bytes(sorted(missing))


def segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and stop of each segment, up to the first scan or what is no segment."""
    position, end = 2, len(data) - 3
    while (position := data.find(b"\xff", position)) >= 0:
        while position < len(data) and data[position] == 0xFF:  # it may be repeated
            position += 1
        if position >= end or (marker := data[position]) == _END:
            return
        if marker in _STANDALONE:
            position += 1
            continue
        stop = position + 1 + (data[position + 1] << 8 | data[position + 2])
        yield marker, position + 3, stop
        if marker == _SCAN or stop < position + 3:
            return
        position = stop


def _components_of_scan(data: bytes, start: int, *, progressive: bool) -> set[int]:
    """Return the components whose first coefficient a scan carries."""
    count = data[start] if start < len(data) else 0
    names, spectral_start = data[start + 1 : start + 1 + 2 * count : 2], start + 1 + 2 * count
    has_first = spectral_start < len(data) and (not progressive or data[spectral_start] == 0)
    return set(names) if has_first else set()
