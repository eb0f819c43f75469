"""Turns whatever a decoder raises into one `DecodeError`."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from PIL import Image

from vrs_wds.errors import DecodeError

DECODER_ERRORS: Final = (
    OSError,  # Pillow: truncated, unidentified
    SyntaxError,  # Pillow: not a file of this format
    ValueError,  # simplejpeg; Pillow: bad arguments in the file
    RuntimeError,  # imagecodecs; Pillow: not implemented
    EOFError,
    LookupError,
    ArithmeticError,
    TypeError,
    AttributeError,
    AssertionError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    UserWarning,  # a program that turns warnings into errors turns Pillow's too
    RuntimeWarning,
)
"""What decoders raise on bad bytes. A full memory is not among it."""


def refusal(where: str, *, expected: str, found: str, advice: str = "") -> DecodeError:
    """Return the error that says where, what was expected, what was found and what to do."""
    advice = advice or "Replace the image, or let the fault policy skip the sample."
    return DecodeError(f"{where}: expected {expected}, found {found}. {advice}")


@contextmanager
def refusing(where: str, image_format: str) -> Iterator[None]:
    """Raise `DecodeError` for any of `DECODER_ERRORS`.

    Put it around calls of a decoder and nothing else, so that it hides no mistake of ours.
    """
    try:
        yield
    except DECODER_ERRORS as error:
        raise refused(error, where, image_format) from error


def refused(error: Exception, where: str, image_format: str) -> DecodeError:
    """Return the error to raise for one of `DECODER_ERRORS`; where a `with` would take long."""
    found = f"{type(error).__name__}: {str(error).rstrip('.')}"
    if isinstance(error, UnicodeDecodeError) or not str(error):
        found = "what its decoder refuses, without a reason that can be read"
    return refusal(where, expected=f"a complete {image_format} image", found=found)
