"""Decodes the pictures of a batch on a CUDA device, by torchcodec's nvJPEG, all at once.

It happens in the thread that makes the batch, on a CUDA stream of its own: the decoder waits for
its stream, and would otherwise wait for all that the training step has queued. The caller's stream
waits for what is made on it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch.utils.data import get_worker_info

from vrs_wds.errors import ConfigError, DecodeError
from vrs_wds.images.coded import CodedPicture
from vrs_wds.images.decode import decode_picture
from vrs_wds.images.encode import encode_rgb
from vrs_wds.images.fallbacks import count_fallback
from vrs_wds.images.for_device import UNUSED_MARKER, exif_markers
from vrs_wds.images.orientation import swaps_sides
from vrs_wds.pipeline.device_picture import DevicePicture
from vrs_wds.pipeline.resize import Fit, inner_size
from vrs_wds.pipeline.stage import SampleDict

DecodeFiles = Callable[[list[torch.Tensor]], list[torch.Tensor]]
"""Takes JPEG files, each (bytes,) uint8 on the CPU; gives (3, H, W) uint8 RGB on the device, not
turned. Raises `RuntimeError` if there is one that it does not take."""


@dataclass(frozen=True)
class OpenDevice:
    """A device that is ready to decode."""

    device: torch.device
    decode: DecodeFiles
    stream: torch.cuda.Stream | None = None
    """Where the decoder's work is queued; None on a device without streams."""

    @contextmanager
    def on_stream(self) -> Iterator[None]:
        """Queue work on the decoder's stream; the caller's waits for it at the end."""
        if self.stream is None:
            yield
            return
        callers = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self.stream):
            yield
        callers.wait_stream(self.stream)

    def hand_over(self, pixels: torch.Tensor) -> None:
        """Say that the caller's stream uses the memory too: it is not given out anew before."""
        if self.stream is not None:
            pixels.record_stream(torch.cuda.current_stream(self.device))


def open_device(name: str) -> OpenDevice:
    """Return a CUDA device; `cuda` is the current one.

    Raises:
        ConfigError: if torchcodec cannot decode there.
    """
    device = torch.device(name)
    number = torch.cuda.current_device() if device.index is None else device.index
    return _open_cuda(number)


@cache
def _open_cuda(number: int) -> OpenDevice:
    device = torch.device("cuda", number)
    try:
        decoders: Any = import_module("torchcodec.decoders")
        decode = partial(decoders.decode_jpeg, mode="RGB", device=device)
        sample = encode_rgb(np.zeros((64, 64, 3), np.uint8), "jpeg")
        decode([torch.frombuffer(bytearray(sample), dtype=torch.uint8)])
    except (ImportError, AttributeError, RuntimeError, OSError) as error:
        raise ConfigError(
            f"device: torchcodec cannot decode JPEGs on {device} ({error}). Install torchcodec "
            "0.16 or later, built for this torch and its CUDA, or leave device out."
        ) from error
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    return OpenDevice(device, decode, stream)


def decode_samples(samples: Sequence[SampleDict]) -> list[SampleDict]:
    """Return samples with every `DevicePicture` decoded: `image` is (3, H, W) on its device.

    Raises:
        DecodeError: that of the first picture that cannot be decoded.
        ConfigError: see `decode_on_device`.
    """
    pictures = [sample.get("image") for sample in samples]
    waiting = [picture for picture in pictures if isinstance(picture, DevicePicture)]
    if not waiting:
        return list(samples)
    found = decode_on_device(waiting)
    for pixels in found:
        if isinstance(pixels, DecodeError):
            raise pixels
    decoded = iter(found)
    return [
        {**sample, "image": next(decoded)} if isinstance(picture, DevicePicture) else sample
        for sample, picture in zip(samples, pictures, strict=True)
    ]


def decode_on_device(pictures: Sequence[DevicePicture]) -> list[torch.Tensor | DecodeError]:
    """Return each picture as (3, H, W) uint8 RGB on its device, or why it cannot be decoded.

    One that comes several times is decoded once. What nvJPEG refuses is decoded on the CPU, copied,
    and counted; see `vrs_wds.images.fallbacks`.

    Raises:
        ConfigError: in a worker process of a `DataLoader`; or if the device cannot decode.
    """
    if get_worker_info() is not None:
        raise ConfigError(
            "device: pictures are decoded where batches are made, which is a worker process of a "
            "DataLoader here. Let a StreamingLoader make batches, or use num_workers=0."
        )
    made: dict[int, torch.Tensor | DecodeError] = {}
    for name in dict.fromkeys(picture.device for picture in pictures):
        unique = {id(picture): picture for picture in pictures if picture.device == name}
        made.update(zip(unique, _decode_all([*unique.values()], open_device(name)), strict=True))
    return [made[id(picture)] for picture in pictures]


def _decode_all(
    pictures: Sequence[DevicePicture], opened: OpenDevice
) -> list[torch.Tensor | DecodeError]:
    with opened.on_stream():
        made = _decode_on_stream(pictures, opened)
    for pixels in made:
        if isinstance(pixels, torch.Tensor):
            opened.hand_over(pixels)
    return made


def _decode_on_stream(
    pictures: Sequence[DevicePicture], opened: OpenDevice
) -> list[torch.Tensor | DecodeError]:
    coded = [p.picture for p in pictures if isinstance(p.picture, CodedPicture)]
    decoded = iter(_decode_coded(coded, opened))
    made: list[torch.Tensor | DecodeError] = []
    for picture in pictures:
        if not isinstance(picture.picture, CodedPicture):
            made.append(_copied(picture.picture, opened.device))
            continue
        pixels = next(decoded)
        if isinstance(pixels, torch.Tensor):
            pixels = fit_on_device(pixels, picture.new_wh, picture.fit)
        made.append(pixels)
    return made


def _decode_coded(
    pictures: Sequence[CodedPicture], opened: OpenDevice
) -> list[torch.Tensor | DecodeError]:
    """Return pictures upright, in their full size."""
    files = _without_exif([picture.data for picture in pictures])
    try:
        found: list[Any] = opened.decode(files) if files else []
    except RuntimeError:  # of one of them; a full memory shows again below
        found = [_decode_one(file, opened) for file in files]
    made: list[torch.Tensor | DecodeError] = []
    for picture, stored in zip(pictures, found, strict=True):
        if stored is not None and tuple(stored.shape) == _stored_shape(picture):
            made.append(_upright(stored, picture.header.orientation))
            continue
        count_fallback("device: refused by the decoder")
        try:
            pixels = decode_picture(picture)
        except DecodeError as error:
            made.append(error)
        else:
            made.append(_copied(pixels, opened.device))
    return made


def _decode_one(file: torch.Tensor, opened: OpenDevice) -> torch.Tensor | None:
    try:
        return opened.decode([file])[0]
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:
        return None


def _without_exif(files: Sequence[bytes]) -> list[torch.Tensor]:
    """Copy files to one piece of memory; pictures are turned here, as the rule says."""
    whole = bytearray().join(files)
    tensors, start = [], 0
    for data in files:
        for offset in exif_markers(data):
            whole[start + offset] = UNUSED_MARKER
        tensors.append(torch.frombuffer(whole, dtype=torch.uint8, count=len(data), offset=start))
        start += len(data)
    return tensors


def _stored_shape(picture: CodedPicture) -> tuple[int, int, int]:
    width, height = picture.size_wh
    if swaps_sides(picture.header.orientation):
        width, height = height, width
    return 3, height, width


def _upright(pixels: torch.Tensor, orientation: int) -> torch.Tensor:
    """Turn (3, H, W) as `images.orientation.turn_upright` does."""
    if swaps_sides(orientation):
        pixels = pixels.transpose(1, 2)
    axes = [1] * (orientation in (3, 4, 7, 8)) + [2] * (orientation in (2, 3, 6, 7))
    return pixels.flip(axes) if axes else pixels


def _copied(pixels: np.ndarray[Any, np.dtype[np.uint8]], device: torch.device) -> torch.Tensor:
    """Copy (H, W, 3) to the device, as (3, H, W)."""
    # A picture that somebody has made read-only would warn.
    return torch.from_numpy(np.require(pixels, requirements=["C", "W"])).to(device).permute(2, 0, 1)


def fit_on_device(pixels: torch.Tensor, new_wh: tuple[int, int], fit: Fit) -> torch.Tensor:
    """Resize (3, H, W) uint8 as `resize_rgb` does with `triangle`, to one grey level."""
    old_wh = (pixels.shape[2], pixels.shape[1])
    width, height = inner = inner_size(old_wh, new_wh, fit)
    if inner != old_wh:
        resized = torch.nn.functional.interpolate(
            pixels[None].float(), size=(height, width), mode="bilinear", antialias=True
        )
        pixels = resized[0].round_().clamp_(0, 255).to(torch.uint8)
    if inner == new_wh:
        return pixels
    left, top = (new_wh[0] - width) // 2, (new_wh[1] - height) // 2
    canvas = pixels.new_zeros(3, new_wh[1], new_wh[0])
    canvas[:, top : top + height, left : left + width] = pixels
    return canvas
