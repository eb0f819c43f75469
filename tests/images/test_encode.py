"""Pixels are encoded to the same bytes each time, and come back."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from vrs_wds.images.decode import decode_rgb
from vrs_wds.images.encode import EXTENSIONS, encode_rgb
from vrs_wds.images.header import is_image_extension, read_header

PIXELS = arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3)))


def smooth(height=64, width=80):
    """Make a picture that compresses well."""
    ramp = np.add.outer(np.arange(height), np.arange(width))
    return np.stack([ramp, 255 - ramp, ramp // 2], axis=-1).astype(np.uint8)


@given(PIXELS)
def test_png_is_lossless(pixels):
    """What is written as PNG is read back, pixel for pixel."""
    assert np.array_equal(decode_rgb(encode_rgb(pixels, "png"), where=""), pixels)


@pytest.mark.parametrize("format", sorted(EXTENSIONS))
def test_lossy_formats_come_close(format):
    """The header tells the format, and the pixels differ by little."""
    data = encode_rgb(smooth(), format, quality=95)

    assert read_header(data, where="").format == format
    difference = decode_rgb(data, where="").astype(int) - smooth()
    assert np.abs(difference).mean() < 3


@pytest.mark.parametrize("format", sorted(EXTENSIONS))
def test_equal_pixels_give_equal_bytes_whatever_their_layout(format):
    """Strides play no part, and nothing but pixels is stored."""
    turned = smooth().transpose(1, 0, 2)
    data = encode_rgb(turned, format)

    assert data == encode_rgb(turned.copy(), format)
    with Image.open(io.BytesIO(data)) as image:
        assert not {"exif", "icc_profile", "xmp", "comment"} & set(image.info)


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_quality_is_passed_on(format):
    """A lower quality takes fewer bytes."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert len(encode_rgb(noise, format, quality=20)) < len(encode_rgb(noise, format, quality=95))


def test_every_format_has_an_image_extension():
    """The extensions are ones that a reader takes for images."""
    assert EXTENSIONS["jpeg"] == "jpg"
    assert all(is_image_extension(extension) for extension in EXTENSIONS.values())


@pytest.mark.parametrize(
    ("pixels", "format", "quality", "message"),
    [
        (np.zeros((4, 4), np.uint8), "png", 90, r"image must be \(height, width, 3\) uint8"),
        (np.zeros((4, 4, 4), np.uint8), "png", 90, "image must be"),
        (np.zeros((4, 4, 3), np.float32), "png", 90, "image must be"),
        (np.zeros((0, 4, 3), np.uint8), "png", 90, "image must be"),
        (np.zeros((4, 4, 3), np.uint8), "gif", 90, "format must be one of jpeg, webp, png"),
        (np.zeros((4, 4, 3), np.uint8), "jpeg", 0, "quality must be 1 to 100, got 0"),
        (np.zeros((1, 17000, 3), np.uint8), "webp", 90, "cannot be written as webp"),
        (np.zeros((1, 70000, 3), np.uint8), "jpeg", 90, "cannot be written as jpeg"),
    ],
)
def test_wrong_arguments_are_refused(pixels, format, quality, message):
    """Each argument is checked, and so is the largest side of a format."""
    with pytest.raises(ValueError, match=message):
        encode_rgb(pixels, format, quality=quality)
