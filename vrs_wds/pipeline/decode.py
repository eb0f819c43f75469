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
        named = self._named_tasks()
        layout = _layout_of(tuple(sample), self.image_extension, named, registered_tasks())
        extension = self._only_image(layout, sample, where)
        image = _bytes_of(sample, extension, where) or b""
        coded = CodedPicture.read(
            image, where=f"{where}: member {extension!r}", max_pixels=self.max_pixels
        )
        parsed: SampleDict = {name: sample[name] for name in layout.hidden}
        parsed["image"] = coded
        parsed["meta"] = self._meta(sample, coded.size_wh, where)
        for task in layout.tasks:
            text = sample.get(task.extension)
            if text is not None:
                if not isinstance(text, bytes):
                    raise _not_bytes(text, task.extension, where)
                text = decode_sidecar(task, text, where=where)
            parsed[task.name] = text
        for name in layout.others:
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

    def _only_image(self, layout: "_Layout", sample: SampleDict, where: str) -> str:
        if len(layout.images) == 1:
            return layout.images[0]
        members = ", ".join(name for name in sample if not name.startswith("__"))
        raise DecodeError(
            f"{where}: expected one image, found {len(layout.images)} among the members "
            f"{members or '-'}. Name it with Decode(image_extension=...)."
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


@dataclass(frozen=True, slots=True)
class _Layout:
    """What `Decode` does with members, by their names: many samples have the same."""

    images: tuple[str, ...]
    """Those that may be the picture; one, or the sample is refused."""
    hidden: tuple[str, ...]
    """Names with underscores, which are kept."""
    tasks: tuple[Task[Any], ...]
    """Those whose sidecars are parsed."""
    others: tuple[str, ...]
    """Members that `Decode` does not know, which are kept."""


@lru_cache(maxsize=256)
def _layout_of(
    names: tuple[str, ...],
    image_extension: str | None,
    named: tuple[str, ...] | None,
    registered: tuple[Task[Any], ...],
) -> _Layout:
    hidden = tuple(name for name in names if name[:2] == "__")
    images = tuple(
        name
        for name in names
        if (is_image_extension(name) if image_extension is None else name == image_extension)
    )
    if len(images) > 1:  # `jpg` beside `mask.png`: the plain extension is the picture
        images = tuple(name for name in images if "." not in name) or images
    tasks = registered if named is None else tuple(get_task(name) for name in named)
    # A foreign member may be named as a task is; that name is the parsed sidecar's.
    known = {name for task in registered for name in (task.name, task.extension)}
    known |= {META_EXTENSION, *hidden, *images, "image", "meta"}
    return _Layout(images, hidden, tasks, tuple(name for name in names if name not in known))


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
