"""What is left to a device, what the CPU decodes, and what is refused beforehand."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vrs_wds.errors import DecodeError
from vrs_wds.images.coded import CodedPicture
from vrs_wds.images.encode import encode_rgb
from vrs_wds.images.fallbacks import fallback_counts
from vrs_wds.images.for_device import exif_markers, is_for_device

PICTURE = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)


def encoded(mode: str = "RGB", format: str = "JPEG", **options: Any) -> bytes:
    """Encode a small picture by Pillow."""
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).convert(mode).save(buffer, format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        encoded(),
        encoded("L"),
        encoded(progressive=True),
        encoded(subsampling=0),
        encoded() + b"something else",
    ],
    ids=["baseline", "grey", "progressive", "4:4:4", "bytes after the end"],
)
def test_plain_jpegs_are_for_the_device(data: bytes) -> None:
    """Nothing is counted."""
    before = fallback_counts()
    assert is_for_device(CodedPicture.read(data, where="here"))
    assert fallback_counts() == before


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (encode_rgb(PICTURE, "png"), "device: png"),
        (encode_rgb(PICTURE, "webp"), "device: webp"),
        (encoded("CMYK"), "device: 4 components"),
        (encoded(keep_rgb=True), "device: stored as RGB"),
    ],
)
def test_what_the_cpu_decodes_is_counted(data: bytes, reason: str) -> None:
    """The reason says what it is."""
    before = fallback_counts().get(reason, 0)
    assert not is_for_device(CodedPicture.read(data, where="here"))
    assert fallback_counts()[reason] == before + 1


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (encoded()[:-30], "no end marker"),
        (b"\xff\xd8\xff\xd9", "no frame header"),
        (b"nothing", "here: "),
    ],
)
def test_what_cannot_be_whole_is_refused(data: bytes, found: str) -> None:
    """As on the CPU, with the place."""
    with pytest.raises(DecodeError, match=found):
        is_for_device(CodedPicture.read(data, where="here"))


def test_exif_markers_are_those_of_segments() -> None:
    """The same bytes elsewhere are not."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(exif=exif, comment=b"\xff\xe1\0\x20Exif\0\0")
    (offset,) = exif_markers(data)
    assert data[offset + 3 : offset + 9] == b"Exif\0\0"
    assert data.count(b"\xff\xe1") == 2
    assert exif_markers(encoded()) == []
