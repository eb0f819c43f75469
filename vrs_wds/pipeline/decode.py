"""Decodes a sample: image bytes to RGB uint8, sidecars to Structs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, get_args

import numpy as np
from numpy.typing import NDArray

from vrs_wds.errors import ConfigError
from vrs_wds.images.coded import DEFAULT_MAX_PIXELS, CodedPicture
from vrs_wds.images.decode import Shrink, Slot, decode_picture
from vrs_wds.images.for_device import is_for_device
from vrs_wds.images.together import decode_together
from vrs_wds.pipeline.device_picture import DevicePicture, check_device
from vrs_wds.pipeline.frames import with_picture
from vrs_wds.pipeline.resize import (
    Fit,
    ResizeFilter,
    check_size,
    fit_frame,
    inner_size,
    resize_rgb,
)
from vrs_wds.pipeline.sample_parser import Parse, sample_parser
from vrs_wds.pipeline.stage import SampleDict, SampleStage
from vrs_wds.tasks.registry import get_task


@dataclass(frozen=True, repr=False)
class Decode(SampleStage):
    """Decode the image and parse the sidecars of a sample.

    Takes a dict with bytes by extension, as `vrs_wds.stream` or webdataset give it. Returns
    `__key__` and other names with underscores, `image` (H, W, 3) uint8 RGB, `meta`, one Struct for
    each task (None where the sample has no sidecar; nothing for a task that `tasks` leaves out),
    and members it does not know as they are. How pictures become RGB is stated in `vrs_wds.images`.

    Raises:
        DecodeError: if the image is missing, damaged, or not of the size that `meta.json` says.
        SidecarError: if a sidecar does not fit its task.
        TypeError: if a member is not bytes: it was decoded before.
    """

    one_to_one: ClassVar[bool] = True

    size: tuple[int, int] | None = None
    """Resize to `(width, height)`; boxes move along. None keeps the picture's size."""
    tasks: str | Sequence[str] | None = None
    """Tasks whose sidecars are parsed; None or `all` for every one."""
    fit: Fit = "stretch"
    """How `size` is reached: `stretch`, or `letterbox` to keep the aspect."""
    image_extension: str | None = None
    """Member that holds the image; None finds the only one with an image's extension."""
    max_pixels: int = DEFAULT_MAX_PIXELS
    """An image with more pixels is a `DecodeError`."""
    filter: ResizeFilter = "shrunk"
    """How `size` is reached: `shrunk`, `triangle` or `area`; see docs/explanation/reading-speed.md
    for what they cost."""
    defer: bool = False
    """Leave the picture to `CropRegions`, which then decodes no more than it cuts out where that is
    faster. `image` is a `CodedPicture` until then, and other stages refuse it."""
    device: str | None = None
    """Decode JPEGs on this CUDA device, such as `cuda`, when their batch is made; `image` is a
    `DevicePicture` until then. None and `cpu` decode here. See docs/how-to/cuda.md."""

    def __post_init__(self) -> None:
        if self.size is not None:
            object.__setattr__(self, "size", check_size(self.size))
        if self.fit not in ("stretch", "letterbox"):
            raise ConfigError(f"fit: expected 'stretch' or 'letterbox', got {self.fit!r}.")
        if self.filter not in get_args(ResizeFilter):
            raise ConfigError(
                f"filter: expected one of {', '.join(get_args(ResizeFilter))}, got {self.filter!r}."
            )
        if self.defer and self.size is not None:
            raise ConfigError("size: the picture is left to CropRegions, so name it there.")
        object.__setattr__(self, "device", check_device(self.device))
        if self.device is not None:
            self._check_with_device()
        if self.tasks is not None and not isinstance(self.tasks, str):  # a tuple hashes
            object.__setattr__(self, "tasks", tuple(self.tasks))
        for name in self._named_tasks() or ():
            get_task(name)

    def _check_with_device(self) -> None:
        if self.defer:
            raise ConfigError("defer: regions are decoded on the CPU; leave device or defer out.")
        if self.filter == "area":
            raise ConfigError("filter: 'area' is for the CPU; a device resizes by 'triangle'.")

    def apply(self, sample: SampleDict, /) -> Iterable[SampleDict]:
        """Decode one sample."""
        return (self.decode(sample),)

    def decode(self, sample: SampleDict, slot: Slot | None = None) -> SampleDict:
        """Decode one sample; `slot` gives the memory for its picture, if it has some."""
        parsed = self.parse(sample)
        return parsed if self.defer else self.finish(parsed, slot)

    def parse(self, sample: SampleDict) -> SampleDict:
        """Do all but decode the picture: `image` is a `CodedPicture`, whose header was read.

        `meta` and the sidecars are already those of the picture as `finish` will make it.
        """
        return self.parser()(sample)

    def parser(self) -> Parse:
        """Return `parse`; what is the same for many samples is looked up once."""
        parse = sample_parser(self.image_extension, self._named_tasks(), self.max_pixels)
        return parse if self.size is None else lambda sample: self._moved(parse(sample))

    def _moved(self, parsed: SampleDict) -> SampleDict:
        """Let the sidecars move along where the picture will be resized."""
        coded: CodedPicture = parsed["image"]
        if self.size is None or self.size == coded.size_wh:
            return parsed
        return with_picture(parsed, coded, fit_frame(coded.size_wh, self.size, self.fit))

    def finish(self, parsed: SampleDict, slot: Slot | None = None) -> SampleDict:
        """Decode the picture of what `parse` has given, and put it there; or what a device will."""
        coded: CodedPicture = parsed["image"]
        if self.device is None:
            parsed["image"] = self._pixels(coded, slot)
        else:
            left = coded if is_for_device(coded) else self._pixels(coded, None)
            new_wh = self.size or coded.size_wh
            parsed["image"] = DevicePicture(left, new_wh, self.fit, self.device)
        return parsed

    def finish_together(self, parsed: Sequence[SampleDict], slots: Sequence[Slot]) -> None:
        """Decode the pictures that take nothing but a decoder; `finish` is for the others.

        Much of what `finish` would do between two pictures is done beforehand: see
        `vrs_wds.images.together`.
        """
        if self.device is not None:
            return
        pictures: list[CodedPicture] = [sample["image"] for sample in parsed]
        decoded = decode_together(pictures, slots, shrink=self._shrink(), only_wh=self.size)
        for sample, pixels in zip(parsed, decoded, strict=True):
            if pixels is not None:
                sample["image"] = pixels

    def _pixels(self, coded: CodedPicture, slot: Slot | None) -> NDArray[np.uint8]:
        if self.size is None:
            return decode_picture(coded, slot=slot)
        return self._resized(coded, self.size, slot)

    def _resized(
        self, coded: CodedPicture, target: tuple[int, int], slot: Slot | None
    ) -> NDArray[np.uint8]:
        """Decode a picture and resize it; what is decoded to its last size is put in its slot."""

        def last_slot(height: int, width: int) -> NDArray[np.uint8] | None:
            return slot(height, width) if slot and (width, height) == target else None

        image = decode_picture(coded, slot=last_slot, shrink=self._shrink())
        if (image.shape[1], image.shape[0]) == target:
            return image
        inner = inner_size(coded.size_wh, target, self.fit)
        out = None if slot is None else slot(target[1], target[0])
        return resize_rgb(image, target, self.fit, filter=self.filter, inner_wh=inner, out=out)

    def _shrink(self) -> Shrink | None:
        """Return what tells the decoder how small a picture may be."""
        if self.size is None or self.filter != "shrunk":
            return None
        return partial(inner_size, new_wh=self.size, fit=self.fit)

    def _named_tasks(self) -> tuple[str, ...] | None:
        if self.tasks is None or self.tasks in ("all", "complete"):
            return None
        return (self.tasks,) if isinstance(self.tasks, str) else tuple(self.tasks)
