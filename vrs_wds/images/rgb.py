"""Unsigned samples of any depth and channel count to RGB uint8."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.uint8] | NDArray[np.uint16]
"""`(H, W)` grey, or `(H, W, C)`: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha (straight)."""

_FULL: Final = 255


def to_rgb(samples: Samples, *, max_value: int) -> NDArray[np.uint8]:
    """Scale to 0..255, composite alpha over black, and replicate grey: `(H, W, 3)`.

    Each value is rounded once, to the nearest; there are no ties, as `max_value` is odd.

    Args:
        samples: grey or RGB, with or without alpha.
        max_value: what white, or opaque, is stored as: 255, 4095 or 65535.

    >>> to_rgb(np.array([[[65535, 32768]]], np.uint16), max_value=65535).tolist()
    [[[128, 128, 128]]]
    """
    if samples.ndim == 2:
        samples = samples[:, :, np.newaxis]
    colour = _over_black(samples, max_value)
    return np.repeat(colour, 3, axis=2) if colour.shape[2] == 1 else colour


def _over_black(samples: Samples, max_value: int) -> NDArray[np.uint8]:
    """Return `(H, W, 1)` or `(H, W, 3)` of 0..255."""
    if samples.shape[2] % 2:  # 1 or 3 channels: no alpha
        return _scaled(samples, max_value)
    colour, alpha = samples[:, :, :-1], samples[:, :, -1:]
    if alpha.size and alpha.min() == max_value:
        return _scaled(colour, max_value)
    if max_value == _FULL:
        short = np.multiply(colour, alpha, dtype=np.uint32)
        return ((short + np.uint32(_FULL // 2)) // np.uint32(_FULL)).astype(np.uint8)
    long = np.multiply(colour, alpha, dtype=np.uint64) * np.uint64(_FULL)
    whole = max_value * max_value
    return ((long + np.uint64(whole // 2)) // np.uint64(whole)).astype(np.uint8)


def _scaled(samples: Samples, max_value: int) -> NDArray[np.uint8]:
    if max_value == _FULL:
        return np.asarray(samples, np.uint8)
    wide = samples.astype(np.uint32) * np.uint32(_FULL)
    return ((wide + np.uint32(max_value // 2)) // np.uint32(max_value)).astype(np.uint8)
