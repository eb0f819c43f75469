"""Size, format and orientation of an image, without decoding its pixels."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from PIL import TiffImagePlugin

from vrs_wds.images.jpeg_header import JpegHeader, parse_jpeg_header
from vrs_wds.images.magic import tell_format
from vrs_wds.images.orientation import swaps_sides
from vrs_wds.images.pillow import open_lazily, stored_orientation
from vrs_wds.images.png import parse_png_header
from vrs_wds.images.refusal import refusal

IMAGE_EXTENSIONS: Final = frozenset(
    {"apng", "avif", "avifs", "bmp", "gif", "jfif", "jpe", "jpeg", "jpg", "mpo", "png", "webp"}
    | {"j2c", "j2k", "jp2", "jpc", "jpf", "jpx"}
    | {"pbm", "pgm", "pnm", "ppm", "tif", "tiff"}
)
"""Extensions, lower case and without a dot, of members that are taken for images."""

_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What a viewer knows before it decodes."""

    width: int
    """Pixels, of the upright picture: after the EXIF orientation."""
    height: int
    """Pixels, of the upright picture: after the EXIF orientation."""
    format: str
    """Lower case: `png`, `jpeg` (MPO too), `webp`, `tiff`, `gif`, `bmp`, `ppm`, ..."""
    orientation: int
    """EXIF orientation of the stored picture, 1..8; 1 is upright."""


@lru_cache(maxsize=1024)
def is_image_extension(extension: str) -> bool:
    """Say whether a member of this extension is an image; only what follows the last dot counts.

    >>> is_image_extension("left.JPG"), is_image_extension("png.json")
    (True, False)
    """
    return extension.rpartition(".")[2].lower() in IMAGE_EXTENSIONS


def read_header(data: bytes, *, where: str) -> ImageHeader:
    """Read the header of a whole image file; decodes no pixels, so that cut data may pass.

    Args:
        data: the whole file.
        where: shard, member or path, for the message of an error.

    Raises:
        DecodeError: if this is no image of a known format, or its header cannot be read.
    """
    return read_headers(data, where=where)[0]


def read_headers(data: bytes, *, where: str) -> tuple[ImageHeader, JpegHeader | None]:
    """Read the header; and for a JPEG what else it says, so that it is parsed once.

    Raises:
        DecodeError: see `read_header`.
    """
    image_format = tell_format(data, where=where)
    jpeg = parse_jpeg_header(data, where=where) if image_format == "jpeg" else None
    if jpeg is not None:
        width, height, orientation = jpeg.width, jpeg.height, jpeg.orientation
    else:
        width, height, orientation = _stored(data, image_format, where=where)
    if width < 1 or height < 1:
        found = f"a size of {width} x {height}"
        raise refusal(where, expected=f"a {image_format} image with pixels", found=found)
    if swaps_sides(orientation):
        width, height = height, width
    return ImageHeader(width, height, image_format, orientation), jpeg


def _stored(data: bytes, image_format: str, *, where: str) -> tuple[int, int, int]:
    """Return width and height as stored, and the orientation."""
    if image_format == "png":
        png = parse_png_header(data, where=where)
        return png.width, png.height, png.orientation
    image = open_lazily(data, image_format, where=where)
    orientation = stored_orientation(image, where=where)
    if isinstance(image, TiffImagePlugin.TiffImageFile):  # its `size` may be turned already
        tags = image.tag_v2
        return int(tags[_TIFF_WIDTH]), int(tags[_TIFF_HEIGHT]), orientation
    return image.width, image.height, orientation
