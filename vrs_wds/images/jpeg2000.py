"""Says whether a JPEG 2000 file has its end, which its decoder does not check."""

from struct import unpack_from
from typing import Final

_END_OF_CODESTREAM: Final = b"\xff\xd9"


def has_end_of_codestream(data: bytes) -> bool:
    """Say whether the codestream, bare or in the boxes of a JP2 file, ends with its end marker.

    OpenJPEG fills what is missing with a blurred picture.
    """
    if data.startswith(b"\xff\x4f"):
        return data.rstrip(b"\0").endswith(_END_OF_CODESTREAM)
    position = 0
    while position + 16 <= len(data):
        size, kind = unpack_from(">I4s", data, position)
        if size == 1:
            (size,) = unpack_from(">Q", data, position + 8)
        stop = position + size if size else len(data)
        if kind == b"jp2c":
            return stop <= len(data) and data[stop - 2 : stop] == _END_OF_CODESTREAM
        if stop <= position:
            return False
        position = stop
    return False
