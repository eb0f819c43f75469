"""The member `meta.json`: what is known of the image itself."""

from typing import Any

import msgspec


class Meta(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, kw_only=True):
    """Sidecar that every sample has."""

    name: str
    """Name of the sample in its source, before it became a key."""
    width: int
    """Pixels, of the picture as shown: after EXIF orientation. The sidecars' frame."""
    height: int
    extra: dict[str, Any] = {}
    """Whatever else the source knows of the image."""

    @property
    def size_wh(self) -> tuple[int, int]:
        """The picture's size, `(width, height)`."""
        return (self.width, self.height)
