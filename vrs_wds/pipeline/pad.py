"""One tensor of pictures of several sizes: each at the top left, with black around it."""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch

from vrs_wds.errors import ConfigError

ImagesForm = Literal["list", "padded"]
"""Pictures of several sizes: a list of tensors, or one tensor, padded, and their sizes."""

Allocate = Callable[[int], torch.Tensor]
"""Takes a number of bytes; gives a flat uint8 tensor of at least so many, with anything in it."""


def check_images(images: object) -> None:
    """Raise unless this is an `ImagesForm`.

    Raises:
        ConfigError: if not.
    """
    if images not in ("list", "padded"):
        raise ConfigError(f"images: expected 'list' or 'padded', got {images!r}.")


def pad_images(
    images: torch.Tensor | Sequence[torch.Tensor], allocate: Allocate | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return pictures as one tensor (B, C, H, W), and their sizes (B, 2).

    H and W are the largest height and width. Coordinates stay as they are, since nothing is added
    at the left or above::

        +----+----+     +-------+-+
        | 3x2|0000|     |  6x2  |0|     sizes_wh   [[3, 2],
        +----+0000|     +-------+0|                 [6, 2],
        |000000000|     |000000000|                 [7, 4], ...]
        +---------+     +---------+

    Args:
        images: At least one, each (C, H, W); a tensor of all (B, C, H, W) is returned as it is.
        allocate: Gives memory for uint8 on the CPU, which comes as a channels-last view.

    Raises:
        TypeError: if they differ in channels, type or device.
    """
    sizes_wh = torch.tensor([(image.shape[-1], image.shape[-2]) for image in images])
    if isinstance(images, torch.Tensor):
        return images, sizes_wh
    kinds = {(image.shape[0], image.dtype, image.device) for image in images}
    if len(kinds) > 1:
        found = ", ".join(sorted(f"{kind[0]} channels of {kind[1]} on {kind[2]}" for kind in kinds))
        raise TypeError(f"image: pictures that are padded to one size must be alike, got {found}.")
    width, height = sizes_wh.amax(dim=0).tolist()
    channels, dtype, device = kinds.pop()
    if dtype == torch.uint8 and device.type == "cpu":
        shape = (len(images), height, width, channels)
        return _pad_pixels(images, shape, allocate or _new), sizes_wh
    padded = torch.zeros(len(images), channels, height, width, dtype=dtype, device=device)
    for place, image in zip(padded, images, strict=True):
        place[:, : image.shape[1], : image.shape[2]] = image
    return padded, sizes_wh


def _pad_pixels(
    images: Sequence[torch.Tensor], shape: tuple[int, int, int, int], allocate: Allocate
) -> torch.Tensor:
    """Write pictures and what is black around them into (B, H, W, C); return (B, C, H, W)."""
    size = math.prod(shape)
    padded = allocate(size)[:size].view(shape)
    # NumPy copies rows of pixels many times faster than torch does.
    for place, image in zip(padded.numpy(), images, strict=True):
        height, width = image.shape[1:]
        place[:height, :width] = image.permute(1, 2, 0).numpy()
        place[:height, width:] = 0
        place[height:] = 0
    return padded.permute(0, 3, 1, 2)


def _new(num_bytes: int) -> torch.Tensor:
    return torch.empty(num_bytes, dtype=torch.uint8)
