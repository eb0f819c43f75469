"""Gives a decoded sample another picture: its sidecars move along."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from vrs_wds.geometry.frame import Frame
from vrs_wds.images.coded import CodedPicture
from vrs_wds.pipeline.device_picture import DevicePicture
from vrs_wds.pipeline.stage import SampleDict
from vrs_wds.tasks.registry import registered_tasks


def with_picture(
    sample: SampleDict,
    image: NDArray[np.uint8] | CodedPicture,
    frame: Frame,
    *,
    min_visible: float = 0.0,
) -> SampleDict:
    """Return the sample with another picture, and every sidecar and `meta` in its frame.

    Args:
        sample: A decoded sample.
        image: The new picture, (H, W, 3) uint8; or what it will be made of.
        frame: Where it lies in the old one.
        min_visible: Least share of a box inside the new picture for its thing to stay.
    """
    moved = dict(sample)
    moved["image"] = image
    width, height = frame.size_wh
    moved["meta"] = msgspec.structs.replace(sample["meta"], width=width, height=height)
    for task in registered_tasks():
        if sample.get(task.name) is not None:
            moved[task.name] = task.move(sample[task.name], frame, min_visible=min_visible)
    return moved


def require_decoded(sample: SampleDict, stage: str) -> NDArray[np.uint8] | DevicePicture:
    """Return the sample's picture, which may be left to a device.

    Raises:
        TypeError: if the sample is not decoded: the stages are in the wrong order.
    """
    image = sample.get("image")
    if isinstance(image, CodedPicture):
        raise TypeError(
            f"{stage} needs decoded samples, but Decode(defer=True) leaves the picture to "
            "CropRegions or Tile: put one of them between, or leave defer out."
        )
    if not isinstance(image, np.ndarray | DevicePicture) or "meta" not in sample:
        raise TypeError(
            f"{stage} needs decoded samples: put Decode() before it. This one has "
            f"{', '.join(sorted(sample))}."
        )
    return image
