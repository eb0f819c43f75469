"""A picture that is not decoded yet."""

from typing import Final

import msgspec
from PIL import Image

from vrs_wds.images.header import ImageHeader, read_headers
from vrs_wds.images.jpeg_header import JpegHeader
from vrs_wds.images.png import PngHeader
from vrs_wds.images.refusal import refusal

DEFAULT_MAX_PIXELS: Final = 2**28
"""A square of 16384: 768 MiB as RGB. A small file can claim any size, so there is a limit."""


class CodedPicture(msgspec.Struct, frozen=True, gc=False):
    """An image file whose header is sound, and within the limit of pixels."""

    data: bytes
    """The whole file."""
    header: ImageHeader
    stored: JpegHeader | PngHeader | None
    """What else the header of a JPEG or PNG says; None for all other formats."""
    where: str
    """Shard, member or path, for the message of an error."""

    @classmethod
    def read(
        cls, data: bytes, *, where: str, max_pixels: int = DEFAULT_MAX_PIXELS
    ) -> "CodedPicture":
        """Read the header of an image file.

        Raises:
            DecodeError: if it cannot be read, or the picture has too many pixels.
        """
        header, stored = read_headers(data, where=where)
        _check_pixels(header, max_pixels, where=where)
        return cls(data, header, stored, where)

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of the upright picture."""
        return self.header.width, self.header.height

    def copy(self) -> "CodedPicture":
        """Return itself: it cannot be written to."""
        return self

    def __repr__(self) -> str:
        header = self.header
        return f"CodedPicture({header.format}, {header.width} x {header.height})"


def _check_pixels(header: ImageHeader, max_pixels: int, *, where: str) -> None:
    """Raise if the picture is larger than allowed."""
    limit, name = max_pixels, "max_pixels"
    pillow_limit = Image.MAX_IMAGE_PIXELS
    if header.format not in ("jpeg", "png") and pillow_limit is not None and pillow_limit < limit:
        # Pillow warns above its limit, from inside its decoders and to every thread.
        limit, name = pillow_limit, "PIL.Image.MAX_IMAGE_PIXELS"
    if header.width * header.height > limit:
        raise refusal(
            where,
            expected=f"at most {name}={limit} pixels",
            found=f"{header.width} x {header.height} = {header.width * header.height}",
            advice=f"Raise {name} if the picture is meant to be so large.",
        )
