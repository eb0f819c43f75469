"""Tells an image format by its first bytes."""

import re
from typing import Final

from vrs_wds.errors import DecodeError

FORMATS: Final = ("avif", "bmp", "gif", "jpeg", "jpeg2000", "png", "ppm", "tiff", "webp")
"""Every format that is read. PostScript, for one, is not: Pillow would start a program for it."""

_MAGIC: Final = {  # the usual ones first
    "jpeg": re.compile(rb"\xff\xd8\xff"),
    "png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "tiff": re.compile(rb"II[*+]\0|MM\0[*+]"),
    "webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "avif": re.compile(rb"....ftyp(?:avi[fs]|(?:mif1|msf1)....(?:....)*?avif)", re.DOTALL),
    "bmp": re.compile(rb"BM"),
    "gif": re.compile(rb"GIF8[79]a"),
    "jpeg2000": re.compile(rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n"),
    "ppm": re.compile(rb"P[1-6][ \t\r\n\v\f#]"),
}
_LONGEST: Final = 64
"""Bytes that are looked at: an AVIF file lists its brands first."""


def tell_format(data: bytes, *, where: str) -> str:
    """Return the format of an image, one of `FORMATS`.

    Raises:
        DecodeError: if the bytes are of no format that is read.
    """
    start = bytes(data[:_LONGEST])
    for name, magic in _MAGIC.items():
        if magic.match(start):
            return name
    raise DecodeError(
        f"{where}: expected an image ({', '.join(FORMATS)}), found {len(data)} bytes that start "
        f"with {start[:12]!r}. Replace the file, or convert it to one of these formats."
    )
