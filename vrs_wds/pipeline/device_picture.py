"""A picture on its way to a graphics device, where it is decoded when its batch is made.

Threads and worker processes never touch the device. They read headers, check, and parse sidecars;
whoever makes the batch, in the main process, decodes its pictures at once::

    Decode(device="cuda")                              making a batch
    '- in threads or workers: DevicePicture ---------> decode_on_device: (3, H, W) on the device
"""

from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from vrs_wds.errors import ConfigError
from vrs_wds.images.coded import CodedPicture
from vrs_wds.pipeline.resize import Fit


@dataclass(frozen=True, slots=True, eq=False)
class DevicePicture:
    """What `image` is between `Decode(device=...)` and the batch."""

    picture: CodedPicture | NDArray[np.uint8]
    """A JPEG to be decoded there; or pixels (H, W, 3) of the last size, which are copied."""
    new_wh: tuple[int, int]
    """Width and height that it will have."""
    fit: Fit
    """How they are reached."""
    device: str

    def copy(self) -> "DevicePicture":
        """Return itself: it cannot be written to."""
        return self

    def __repr__(self) -> str:
        width, height = self.new_wh
        return f"DevicePicture({width} x {height}, for {self.device})"


def check_device(device: object) -> str | None:
    """Return the name of a CUDA device that can decode; None for the CPU.

    Args:
        device: What torch calls a device: `cuda`, `cuda:1`, `cpu`; or None.

    Raises:
        ConfigError: if it is no such name, or no JPEG can be decoded there: torchcodec or the
            device is missing.
    """
    if device is None:
        return None
    import torch  # not needed by those who decode on the CPU

    try:
        parsed = torch.device(device)  # type: ignore[call-overload]  # it is anything so far
    except (RuntimeError, TypeError):
        parsed = None
    if parsed is None or parsed.type not in ("cpu", "cuda"):
        raise ConfigError(f"device: expected 'cuda', 'cuda:1', ... or 'cpu', got {device!r}.")
    if parsed.type == "cpu":
        return None
    require_nvjpeg(parsed.index)
    return str(parsed)


def require_nvjpeg(number: int | None) -> None:
    """Raise unless there is torchcodec, and a CUDA device of this number.

    Raises:
        ConfigError: which says what to install, or which devices there are.
    """
    import torch

    if find_spec("torchcodec") is None:
        raise ConfigError(
            "device: JPEGs are decoded on a GPU by torchcodec, which is not installed. Run "
            'pip install "vrs_wds[cuda]", or leave device out.'
        )
    if not torch.cuda.is_available():
        built = torch.version.cuda
        found = "this torch is built without CUDA" if built is None else "torch finds none here"
        raise ConfigError(
            f"device: expected a CUDA device, but {found}. Leave device out to decode on the CPU."
        )
    if number is not None and number >= torch.cuda.device_count():
        raise ConfigError(
            f"device: expected a number below {torch.cuda.device_count()}, got 'cuda:{number}'."
        )
