"""A list of decoded samples to a batch."""

import reprlib
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, Literal

import msgspec
import numpy as np
import torch

from vrs_wds.images.coded import CodedPicture
from vrs_wds.pipeline.device_decode import decode_samples
from vrs_wds.pipeline.pad import Allocate, ImagesForm, check_images, pad_images
from vrs_wds.pipeline.ragged import Ragged
from vrs_wds.pipeline.stage import SampleDict
from vrs_wds.tasks.registry import task_names

RaggedForm = Literal["packed", "list"]
"""Columns of different lengths: packed as `Ragged`, or a list with one tensor or list a sample."""


def collate(
    samples: Sequence[SampleDict],
    ragged: RaggedForm = "packed",
    images: ImagesForm = "list",
    *,
    stack: Callable[[Sequence[Any]], Any] | None = None,
    allocate: Allocate | None = None,
) -> dict[str, Any]:
    """Make a batch of decoded samples.

    ============ ==========================================================================
    `image`      uint8 (B, 3, H, W), a channels-last view; a list where sizes differ,
                 or one tensor, padded with black at the right and below; tensors that a
                 stage has made, or that were decoded on a device, are stacked as they are
    `sizes_wh`   where pictures are padded: int64 (B, 2), width and height of each
    `target`     texts: list; numbers: int64 (B,); columns: dict of `Ragged` (or lists)
    `metas`      list of dicts: `__key__`, `__url__`, `meta` and the parsed sidecars;
                 what `get_task_targets` takes
    `__key__`    list of keys
    `__url__`    list of shards
    others       numbers and arrays of one shape: tensors; anything else: lists
    ============ ==========================================================================

    Args:
        samples: At least one.
        ragged: Form of columns of different lengths.
        images: Form of pictures of different sizes: `list`, or `padded`.
        stack: Makes `image` of the pictures; None copies them side by side.
        allocate: Gives memory for pictures that are padded.

    Raises:
        DecodeError: if a picture left to a device by `Decode(device=...)` cannot be decoded.
        ConfigError: if there is such a one and this is a worker process of a `DataLoader`.
        TypeError: if a sample is no dict; if a picture is none, or is padded and unlike the others.
    """
    check_images(images)
    for sample in samples:
        if not isinstance(sample, Mapping):
            raise TypeError(
                f"expected samples, which are dicts, to make a batch of; got a "
                f"{type(sample).__name__}, {reprlib.repr(sample)}. That is what the last stage "
                "before the batch gives."
            )
    samples = decode_samples(samples)
    batch: dict[str, Any] = {}
    in_metas = {"meta", *task_names()}
    names = dict.fromkeys(chain.from_iterable(samples))
    for name in names:
        if name in in_metas:
            continue
        values = [sample.get(name) for sample in samples]
        if name == "image":
            batch["image"] = (stack or stack_images)(values)
            if images == "padded":
                batch["image"], batch["sizes_wh"] = pad_images(batch["image"], allocate)
        elif name == "target":
            batch["target"] = _collate_target(values, ragged)
        else:
            batch[name] = _collate_field(values)
    kept = [name for name in names if name in in_metas or name in ("__key__", "__url__")]
    batch["metas"] = [{name: s[name] for name in kept if name in s} for s in samples]
    return batch


def stack_images(images: Sequence[Any]) -> torch.Tensor | list[torch.Tensor]:
    """Stack pictures of one size to (B, 3, H, W); else give a list of (3, H, W).

    Arrays are (H, W, 3), as `Decode` gives them; tensors are (C, H, W), as torchvision does, and
    stay as they are.

    Raises:
        TypeError: if a picture is neither.
    """
    if all(isinstance(image, torch.Tensor) and image.ndim == 3 for image in images):
        same = len({(image.shape, image.dtype) for image in images}) == 1
        return torch.stack(list(images)) if same else list(images)
    for image in images:
        if not (isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] == 3):
            shape = getattr(image, "shape", None)
            if isinstance(image, CodedPicture):
                raise TypeError(
                    "image: not decoded: Decode(defer=True) leaves it to CropRegions or Tile. Put "
                    "one of them before the batch, or leave defer out."
                )
            raise TypeError(
                "image: expected arrays of shape (height, width, 3), or tensors of shape "
                f"(channels, height, width), got {type(image).__name__}"
                f"{'' if shape is None else f' of shape {tuple(shape)}'}."
            )
    if len({image.shape for image in images}) == 1:
        # The permuted view is channels_last; making it contiguous would cost a copy.
        return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    return [torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1) for image in images]


def _collate_target(values: Sequence[Any], ragged: RaggedForm) -> Any:  # noqa: ANN401
    first = values[0]
    if isinstance(first, dict):
        return {name: _collate_target([value[name] for value in values], ragged) for name in first}
    if isinstance(first, list | tuple | np.ndarray):
        if ragged == "packed":
            return Ragged.pack(values)
        return Ragged.pack(values).to_list()
    return _collate_field(values)


def _collate_field(values: Sequence[Any]) -> Any:  # noqa: ANN401
    if all(isinstance(value, bool | int | float | np.number) for value in values):
        return torch.tensor(values)
    arrays = all(isinstance(value, np.ndarray | torch.Tensor) for value in values)
    if arrays and len({(value.shape, value.dtype) for value in values}) == 1:
        return torch.stack([torch.as_tensor(value) for value in values])
    return [msgspec.to_builtins(v) if isinstance(v, msgspec.Struct) else v for v in values]
