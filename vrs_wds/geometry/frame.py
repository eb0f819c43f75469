"""Moving coordinates from one picture's frame to another's: resizing, cropping, padding."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a new picture lies in an old one: `new = old * scale + offset`, for x and y alone.

    A crop whose top left corner is at (30, 20) and that is then shown at half size::

        Frame(size_wh=(50, 50), scale_xy=(0.5, 0.5), offset_xy=(-15, -10))
    """

    size_wh: tuple[int, int]
    """Size of the new picture."""
    scale_xy: tuple[float, float] = (1.0, 1.0)
    offset_xy: tuple[float, float] = (0.0, 0.0)
    """Added after scaling, in pixels of the new picture."""

    @classmethod
    def crop(cls, left: int, top: int, right: int, bottom: int) -> "Frame":
        """Return the frame of the region `[left, right) x [top, bottom)`, unscaled."""
        return cls((right - left, bottom - top), offset_xy=(float(-left), float(-top)))

    @classmethod
    def resize(cls, old_wh: tuple[int, int], new_wh: tuple[int, int]) -> "Frame":
        """Return the frame of a picture stretched from `old_wh` to `new_wh`."""
        return cls(new_wh, scale_xy=(new_wh[0] / old_wh[0], new_wh[1] / old_wh[1]))

    def move(self, coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Move x, y, x, y, ... along the last axis into the new picture; nothing is clipped."""
        pairs = coordinates.reshape(*coordinates.shape[:-1], coordinates.shape[-1] // 2, 2)
        return (pairs * self.scale_xy + self.offset_xy).reshape(coordinates.shape)
