"""What a decoder on a graphics device is given: sound, plain JPEGs. All else the CPU decodes."""

import re
from typing import Final

from vrs_wds.images.coded import CodedPicture
from vrs_wds.images.fallbacks import count_fallback
from vrs_wds.images.jpeg_header import END_MARKER, JpegHeader, missing_components, segments
from vrs_wds.images.refusal import refusal

_ADOBE: Final = re.compile(rb"\xff\xee..Adobe......(.)", re.DOTALL)
"""The segment that says in which colours components are; its last byte is 0 for RGB."""
_APP1: Final = 0xE1
UNUSED_MARKER: Final = 0xEF
"""The marker of a segment that means nothing to anybody, APP15."""
_RGB: Final = b"\x00"


def is_for_device(picture: CodedPicture) -> bool:
    """Check a file as far as that goes without decoding it; False if the CPU should decode it.

    nvJPEG takes no notice of the colours that Adobe's segment names, knows no four colours, and
    paints grey what is missing: the first two are left to the CPU and counted, see
    `vrs_wds.images.fallbacks`; the last is refused here.

    Raises:
        DecodeError: if a JPEG has no end, or lacks a component.
    """
    data, jpeg, where = picture.data, picture.stored, picture.where
    if not isinstance(jpeg, JpegHeader):
        count_fallback(f"device: {picture.header.format}")
        return False
    if (reason := _reason_against(data, jpeg)) is not None:
        count_fallback(f"device: {reason}")
        return False
    if missing := missing_components(data, jpeg):
        found = f"no data of components {list(missing)}"
        raise refusal(where, expected="a complete jpeg image", found=found)
    if data.find(END_MARKER, jpeg.first_scan) < 0:
        found = f"no end marker in {len(data)} bytes"
        raise refusal(where, expected="a complete jpeg image", found=found)
    return True


def exif_markers(data: bytes) -> list[int]:
    """Return the offsets of the bytes that mark a JPEG's segments of EXIF (and of XMP).

    With `UNUSED_MARKER` there, a decoder that turns pictures by EXIF does not.
    """
    # A segment's bytes begin after its marker and two bytes of length.
    return [start - 3 for marker, start, _ in segments(data) if marker == _APP1]


def _reason_against(data: bytes, jpeg: JpegHeader) -> str | None:
    """Return why the CPU should decode a JPEG; None if a device may."""
    if len(jpeg.components) not in (1, 3):
        return f"{len(jpeg.components)} components"
    if len(jpeg.components) == 1:
        return None
    adobe = {found[1] for found in _ADOBE.finditer(data, 0, jpeg.first_scan)}
    return "stored as RGB" if _RGB in adobe or jpeg.components == b"RGB" else None
