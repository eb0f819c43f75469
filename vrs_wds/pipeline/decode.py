"""Decodes a sample: image bytes to RGB uint8, sidecars to Structs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, get_args

import numpy as np
from numpy.typing import NDArray

from vrs_wds.errors import ConfigError, DecodeError
from vrs_wds.images.coded import DEFAULT_MAX_PIXELS, CodedPicture
from vrs_wds.images.decode import Slot, decode_picture
from vrs_wds.images.for_device import is_for_device
from vrs_wds.images.header import is_image_extension
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
from vrs_wds.pipeline.stage import SampleDict, SampleStage, place_of
from vrs_wds.tasks.meta import Meta
from vrs_wds.tasks.registry import get_task, registered_tasks
from vrs_wds.tasks.sidecars import META_EXTENSION, decode_meta, decode_sidecar
from vrs_wds.tasks.task import Task


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
        where = place_of(sample)
        if isinstance(sample.get("meta"), Meta):
            raise TypeError(f"{where}: was decoded before; leave one Decode out.")
        extension = self._find_image(sample, where)
        image = _bytes_of(sample, extension, where) or b""
        coded = CodedPicture.read(
            image, where=f"{where}: member {extension!r}", max_pixels=self.max_pixels
        )
        parsed: SampleDict = {name: sample[name] for name in sample if name[:2] == "__"}
        parsed["image"] = coded
        parsed["meta"] = self._meta(sample, coded.size_wh, where)
        known = _known_tasks(self._named_tasks(), registered_tasks())
        for task in known.tasks:
            text = sample.get(task.extension)
            if text is not None:
                if not isinstance(text, bytes):
                    raise _not_bytes(text, task.extension, where)
                text = decode_sidecar(task, text, where=where)
            parsed[task.name] = text
        # A foreign member may be named as a task is; that name is the parsed sidecar's.
        for name in sample:
            if name not in known.names and name != extension and name not in parsed:
                parsed[name] = sample[name]
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

    def _pixels(self, coded: CodedPicture, slot: Slot | None) -> NDArray[np.uint8]:
        if self.size is None:
            return decode_picture(coded, slot=slot)
        return self._resized(coded, self.size, slot)

    def _resized(
        self, coded: CodedPicture, target: tuple[int, int], slot: Slot | None
    ) -> NDArray[np.uint8]:
        """Decode a picture and resize it; what is decoded to its last size is put in its slot."""
        inner = inner_size(coded.size_wh, target, self.fit)

        def last_slot(height: int, width: int) -> NDArray[np.uint8] | None:
            return slot(height, width) if slot and (width, height) == target else None

        shrink = (lambda _: inner) if self.filter == "shrunk" else None
        image = decode_picture(coded, slot=last_slot, shrink=shrink)
        if (image.shape[1], image.shape[0]) == target:
            return image
        out = None if slot is None else slot(target[1], target[0])
        return resize_rgb(image, target, self.fit, filter=self.filter, inner_wh=inner, out=out)

    def _named_tasks(self) -> tuple[str, ...] | None:
        if self.tasks is None or self.tasks in ("all", "complete"):
            return None
        return (self.tasks,) if isinstance(self.tasks, str) else tuple(self.tasks)

    def _find_image(self, sample: SampleDict, where: str) -> str:
        if self.image_extension is not None:
            found = [self.image_extension] if self.image_extension in sample else []
        else:
            found = [name for name in sample if is_image_extension(name)]
            if len(found) > 1:  # `jpg` beside `mask.png`: the plain extension is the picture
                found = [name for name in found if "." not in name] or found
        if len(found) == 1:
            return found[0]
        members = ", ".join(name for name in sample if not name.startswith("__"))
        raise DecodeError(
            f"{where}: expected one image, found {len(found)} among the members {members or '-'}. "
            "Name it with Decode(image_extension=...)."
        )

    def _meta(self, sample: SampleDict, size_wh: tuple[int, int], where: str) -> Meta:
        data = _bytes_of(sample, META_EXTENSION, where)
        if data is None:  # a shard made by somebody else
            return Meta(name=str(sample.get("__key__", "")), width=size_wh[0], height=size_wh[1])
        meta = decode_meta(data, where=where)
        if meta.size_wh != size_wh:
            raise DecodeError(
                f"{where}: meta.json says {meta.width} x {meta.height} pixels, the image has "
                f"{size_wh[0]} x {size_wh[1]}: boxes would not fit. Write the sample anew."
            )
        return meta


@dataclass(frozen=True)
class _KnownTasks:
    """What `Decode` does with the members that it knows."""

    tasks: tuple[Task[Any], ...]
    """Those whose sidecars are parsed."""
    names: frozenset[str]
    """All that is given or taken, for all registered tasks."""


@lru_cache(maxsize=8)
def _known_tasks(named: tuple[str, ...] | None, registered: tuple[Task[Any], ...]) -> _KnownTasks:
    names = [name for task in registered for name in (task.name, task.extension)]
    parsed = registered if named is None else tuple(get_task(name) for name in named)
    return _KnownTasks(parsed, frozenset([META_EXTENSION, *names]))


def _bytes_of(sample: SampleDict, extension: str, where: str) -> bytes | None:
    data = sample.get(extension)
    if data is None or isinstance(data, bytes):
        return data
    raise _not_bytes(data, extension, where)


def _not_bytes(data: object, extension: str, where: str) -> TypeError:
    return TypeError(
        f"{where}: Decode needs the bytes of member {extension!r}, got {type(data).__name__}: it "
        "was decoded before. Leave webdataset's .decode() out, or name by `only=` what it decodes."
    )
