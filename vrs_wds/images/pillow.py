"""Pillow, held to a few formats, opened lazily, and loaded into RGB."""

import importlib
import io
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFile

from vrs_wds.errors import ConfigError
from vrs_wds.images.jpeg2000 import has_end_of_codestream
from vrs_wds.images.orientation import parse_orientation, turn_upright
from vrs_wds.images.refusal import refusal, refusing
from vrs_wds.images.rgb import to_rgb
from vrs_wds.images.tiff16 import decode_tiff16, is_tiff16

_PLUGINS: Final = {
    "avif": ("AvifImagePlugin", "AvifImageFile"),
    "bmp": ("BmpImagePlugin", "BmpImageFile"),
    "gif": ("GifImagePlugin", "GifImageFile"),
    "jpeg": ("JpegImagePlugin", "JpegImageFile"),
    "jpeg2000": ("Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    "ppm": ("PpmImagePlugin", "PpmImageFile"),
    "tiff": ("TiffImagePlugin", "TiffImageFile"),
    "webp": ("WebPImagePlugin", "WebPImageFile"),
}
_ORIENTATION, _BITS, _SAMPLE_FORMAT = 274, 258, 339
_UNSIGNED: Final = 1
_MODES_8_BIT: Final = frozenset(
    {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"}
)


def open_lazily(data: bytes, image_format: str, *, where: str) -> ImageFile.ImageFile:
    """Return the first frame with its header read and its pixels not.

    Opens by the plugin itself. `Image.open` would try others, warn of large pictures, and warn of
    odd MPO files; filters of warnings are shared by all threads, so that they cannot be muted.
    """
    module, name = _PLUGINS[image_format]
    with refusing(where, image_format):
        plugin = getattr(importlib.import_module(f"PIL.{module}"), name)
        image: ImageFile.ImageFile = plugin(io.BytesIO(data), "")
    return image


def stored_orientation(image: ImageFile.ImageFile, *, where: str) -> int:
    """Return the EXIF orientation, 1..8, of a lazily opened image."""
    if image.format != "TIFF":
        return parse_orientation(image.info.get("exif") or b"")
    with refusing(where, "tiff"):  # what Pillow will apply when it loads the pixels
        orientation = image.getexif().get(_ORIENTATION, 1)
    return orientation if orientation in range(1, 9) else 1


def decode_with_pillow(data: bytes, image_format: str, *, where: str) -> NDArray[np.uint8]:
    """Return the first frame as Pillow loads it.

    TIFF comes upright, as Pillow loads it so; the others are not yet turned.

    Raises:
        ConfigError: if Pillow has been told to fill in what is missing.
        DecodeError: if Pillow refuses the data, or the pixels have no stated range.
    """
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise ConfigError(
            f"{where}: PIL.ImageFile.LOAD_TRUNCATED_IMAGES is set, so that Pillow would return "
            f"grey for missing {image_format} data. Set it to False; some package may have set it."
        )
    image = open_lazily(data, image_format, where=where)
    _check_stated_range(image, data, where=where)
    if is_tiff16(image):
        return decode_tiff16(data, image, stored_orientation(image, where=where), where=where)
    with refusing(where, image_format):
        image.load()
        return _rgb(image)


def upright(pixels: NDArray[np.uint8], image_format: str, orientation: int) -> NDArray[np.uint8]:
    """Turn what a decoder returned; TIFF is upright already."""
    return pixels if image_format == "tiff" else turn_upright(pixels, orientation)


def _check_stated_range(image: ImageFile.ImageFile, data: bytes, *, where: str) -> None:
    """Raise if the pixels are signed, 32-bit or float, or if a codestream has no end."""
    tags: Any = getattr(image, "tag_v2", {})
    unsigned = set(tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))) == {_UNSIGNED}
    known = image.mode in _MODES_8_BIT or image.mode.startswith("I;16") or _is_deep_pgm(image)
    if not (unsigned and known):
        raise refusal(
            where,
            expected="unsigned pixels of 1 to 16 bits",
            found=f"Pillow's mode {image.mode!r}, {'unsigned' if unsigned else 'signed or float'}",
            advice="Convert the image to 8 bits, with the range that you mean.",
        )
    if image.format == "JPEG2000" and not has_end_of_codestream(data):
        raise refusal(
            where,
            expected="a complete jpeg2000 image",
            found=f"no end of its codestream in {len(data)} bytes",
        )


def _rgb(image: ImageFile.ImageFile) -> NDArray[np.uint8]:
    """Convert loaded pixels."""
    if image.mode in _MODES_8_BIT:
        mode = "RGBA" if image.has_transparency_data else "RGB"
        return to_rgb(np.array(image.convert(mode)), max_value=255)
    samples = np.array(image).astype(np.uint16)
    bits: Any = getattr(image, "tag_v2", {}).get(_BITS, (16,))
    return to_rgb(samples, max_value=2 ** int(bits[0]) - 1)


def _is_deep_pgm(image: ImageFile.ImageFile) -> bool:
    """Pillow scales a PGM of more than 8 bits to 0..65535, though it calls it 32-bit."""
    return image.format == "PPM" and image.mode == "I"
