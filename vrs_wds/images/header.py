"""Size, format and orientation of an image, without decoding its pixels."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from PIL import TiffImagePlugin

from vrs_wds.images.jpeg_header import JpegHeader, parse_jpeg_header, size_up_to_scan
from vrs_wds.images.magic import tell_format
from vrs_wds.images.orientation import swaps_sides
from vrs_wds.images.pillow import open_lazily, stored_orientation
from vrs_wds.images.png import PngHeader, parse_png_header
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


def read_headers(data: bytes, *, where: str) -> tuple[ImageHeader, JpegHeader | PngHeader | None]:
    """Read the header; and for a JPEG or PNG what else it says, so that it is parsed once.

    Raises:
        DecodeError: see `read_header`.
    """
    global _last_jpeg
    beginning, *last = _last_jpeg
    if beginning and type(data) is bytes and data.startswith(beginning):
        return last[0], last[1]
    image_format = tell_format(data, where=where)
    stored: JpegHeader | PngHeader | None = None
    if image_format in _PARSERS:
        stored = _PARSERS[image_format](data, where=where)
        header = _upright(stored.width, stored.height, image_format, stored.orientation)
    else:
        header = _upright(*_read_by_pillow(data, image_format, where=where))
    if header.width < 1 or header.height < 1:
        found = f"a size of {header.width} x {header.height}"
        raise refusal(where, expected=f"a {image_format} image with pixels", found=found)
    if isinstance(stored, JpegHeader) and (size := size_up_to_scan(data, stored)):
        _last_jpeg = data[:size], header, stored
    return header, stored


_last_jpeg: tuple[bytes, Any, Any] = (b"", None, None)
"""A JPEG up to its first scan's data, and its headers. An encoder makes the same for all pictures
of a size, unless it optimises its tables; so the next one often begins with the same bytes."""

_PARSERS: Final[dict[str, Callable[..., JpegHeader | PngHeader]]] = {
    "jpeg": parse_jpeg_header,
    "png": parse_png_header,
}


@lru_cache(maxsize=256)
def _upright(width: int, height: int, image_format: str, orientation: int) -> ImageHeader:
    """Return what is known of a picture of this stored size."""
    if swaps_sides(orientation):
        width, height = height, width
    return ImageHeader(width, height, image_format, orientation)


def _read_by_pillow(data: bytes, image_format: str, *, where: str) -> tuple[int, int, str, int]:
    """Return width and height as stored, the format and the orientation."""
    image = open_lazily(data, image_format, where=where)
    orientation = stored_orientation(image, where=where)
    if isinstance(image, TiffImagePlugin.TiffImageFile):  # its `size` may be turned already
        tags = image.tag_v2
        width, height = int(tags[_TIFF_WIDTH]), int(tags[_TIFF_HEIGHT])
        return width, height, image_format, orientation
    return image.width, image.height, image_format, orientation
