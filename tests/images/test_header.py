"""Headers are read without pixels, and agree with what is decoded."""

import io

import numpy as np
import pytest
from PIL import Image

from vrs_wds.errors import DecodeError
from vrs_wds.images.decode import decode_rgb
from vrs_wds.images.header import IMAGE_EXTENSIONS, ImageHeader, is_image_extension, read_header
from vrs_wds.images.magic import FORMATS

ORIENTED_FORMATS = ["jpeg", "png", "webp", "tiff"]
PLAIN_FORMATS = ["bmp", "gif", "ppm", "jpeg2000"]


def picture(width=24, height=16):
    """Make a picture whose corners differ."""
    ramp = np.add.outer(np.arange(height) * 9, np.arange(width) * 2)
    pixels = np.stack([ramp, ramp[::-1], ramp[:, ::-1]], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8))


def encoded(image, format, orientation=None, **options):
    """Encode with Pillow, with an EXIF orientation if one is given."""
    if orientation is not None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("format", ORIENTED_FORMATS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_size_is_that_of_the_upright_picture(format, orientation):
    """Orientations 5 to 8 exchange width and height; header and pixels agree."""
    data = encoded(picture(), format, orientation)
    width, height = (16, 24) if orientation >= 5 else (24, 16)

    header = read_header(data, where="here")

    assert header == ImageHeader(width, height, format, orientation)
    assert decode_rgb(data, where="here").shape == (height, width, 3)


@pytest.mark.parametrize("format", ORIENTED_FORMATS + PLAIN_FORMATS)
def test_format_comes_from_the_bytes(format):
    """The format is named in lower case and the orientation is 1 where none is stated."""
    assert read_header(encoded(picture(), format), where="") == ImageHeader(24, 16, format, 1)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_is_none_counts_as_upright(orientation):
    """Values outside 1..8 mean nothing."""
    data = encoded(picture(), "jpeg", orientation)
    assert read_header(data, where="").orientation == 1


@pytest.mark.parametrize("kept", [6, 10, 14, 20])
def test_a_cut_exif_block_counts_as_upright(kept):
    """A damaged EXIF block does not make a sound picture unreadable."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(picture(), "jpeg", exif=exif.tobytes()[:kept])
    assert read_header(data, where="").orientation == 1


@pytest.mark.parametrize("format", ["jpeg", "png", "webp"])
def test_the_header_survives_the_loss_of_pixels(format):
    """Only the header is read: the second half of the file may be missing."""
    data = encoded(picture(200, 150), format)
    if format != "webp":  # libwebp wants the whole file
        data = data[: len(data) * 3 // 4]
    header = read_header(data, where="")
    assert (header.width, header.height) == (200, 150)


@pytest.mark.parametrize("data", [b"", b"\x00", b"{}", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"RIFF"])
def test_what_is_no_image_is_refused(data):
    """The message says where, what was expected, what was found and what to do."""
    with pytest.raises(DecodeError) as caught:
        read_header(data, where="train-0.tar: a.png")
    message = str(caught.value)
    assert message.startswith("train-0.tar: a.png: expected an image (")
    assert f"found {len(data)} bytes" in message
    assert "Replace the file" in message


@pytest.mark.parametrize("format", ["jpeg", "png", "tiff", "webp", "bmp", "gif"])
def test_a_lone_signature_is_refused(format):
    """A file that ends after its first bytes has no header."""
    with pytest.raises(DecodeError, match=r"^here: expected a complete"):
        read_header(encoded(picture(), format)[:12] + b" " * 4, where="here")


@pytest.mark.parametrize(
    ("extension", "expected"),
    [("jpg", True), ("JPEG", True), ("left.png", True), ("png.json", False), ("", False)],
)
def test_extensions(extension, expected):
    """Only the last dotted part counts, in any case."""
    assert is_image_extension(extension) is expected


def test_no_extension_of_a_sidecar_or_shard_is_an_image():
    """The set holds lower-case names without dots, and nothing that is not a picture."""
    assert IMAGE_EXTENSIONS.isdisjoint({"json", "txt", "tar", "eps", "npy"})
    assert all(name.isalnum() and name == name.lower() for name in IMAGE_EXTENSIONS)
    assert "eps" not in FORMATS
