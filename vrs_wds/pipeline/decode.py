"""Decodes a sample: image bytes to RGB uint8, sidecars to Structs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, get_args

import numpy as np
from numpy.typing import NDArray

from vrs_wds.errors import ConfigError, DecodeError
from vrs_wds.images.decode import DEFAULT_MAX_PIXELS, Slot, decode_into
from vrs_wds.images.for_device import read_for_device
from vrs_wds.images.header import is_image_extension
from vrs_wds.images.regions import CodedPicture
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
from vrs_wds.tasks.registry import get_task, task_names
from vrs_wds.tasks.sidecars import META_EXTENSION, decode_meta, decode_sidecar, extension_of


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
        where = place_of(sample)
        if isinstance(sample.get("meta"), Meta):
            raise TypeError(f"{where}: was decoded before; leave one Decode out.")
        extension = self._find_image(sample, where)
        image: NDArray[np.uint8] | CodedPicture | DevicePicture
        if self.device is None:
            image, size_wh = self._picture(sample, extension, where, slot)
        else:
            image, size_wh = self._for_device(sample, extension, where, self.device)
        decoded: SampleDict = {name: sample[name] for name in sample if name[:2] == "__"}
        decoded["image"] = image
        decoded["meta"] = self._meta(sample, size_wh, where)
        self._add_sidecars(decoded, sample, where)
        # A foreign member may be named as a task is; that name is the parsed sidecar's.
        consumed = _names_of_tasks(tuple(task_names()))
        for name, value in sample.items():
            if name not in consumed and name != extension:
                decoded.setdefault(name, value)
        if self.size is not None and size_wh != self.size and not isinstance(image, CodedPicture):
            return with_picture(decoded, image, fit_frame(size_wh, self.size, self.fit))
        return decoded

    def _picture(
        self, sample: SampleDict, extension: str, where: str, slot: Slot | None
    ) -> tuple[NDArray[np.uint8] | CodedPicture, tuple[int, int]]:
        """Return the picture, resized, and the size that it had; as it is, if it is deferred."""
        data = _bytes_of(sample, extension, where) or b""
        member = f"{where}: member {extension!r}"
        if self.defer:
            coded = CodedPicture.read(data, where=member, max_pixels=self.max_pixels)
            return coded, coded.size_wh
        target, fit = self.size, self.fit
        options: dict[str, Any] = {"slot": slot}
        if target is not None:
            # Only what is decoded to its last size goes straight to where it belongs.
            options["slot"] = slot and (lambda h, w: slot(h, w) if (w, h) == target else None)
            if self.filter == "shrunk":
                options["shrink"] = lambda wh: inner_size(wh, target, fit)
        image, header = decode_into(data, where=member, max_pixels=self.max_pixels, **options)
        size_wh = (header.width, header.height)
        if target is not None and (image.shape[1], image.shape[0]) != target:
            out = None if slot is None else slot(target[1], target[0])
            inner = inner_size(size_wh, target, fit)
            image = resize_rgb(image, target, fit, filter=self.filter, inner_wh=inner, out=out)
        return image, size_wh

    def _for_device(
        self, sample: SampleDict, extension: str, where: str, device: str
    ) -> tuple[DevicePicture, tuple[int, int]]:
        """Return what is decoded when the batch is made, and the size that the picture has."""
        data = _bytes_of(sample, extension, where) or b""
        member = f"{where}: member {extension!r}"
        coded = read_for_device(data, where=member, max_pixels=self.max_pixels)
        if coded is not None:
            size_wh = coded.size_wh
            return DevicePicture(coded, self.size or size_wh, self.fit, device), size_wh
        image, size_wh = self._picture(sample, extension, where, None)
        assert isinstance(image, np.ndarray)  # noqa: S101 - it is not deferred
        return DevicePicture(image, self.size or size_wh, self.fit, device), size_wh

    def _named_tasks(self) -> tuple[str, ...] | None:
        if self.tasks is None or self.tasks in ("all", "complete"):
            return None
        return (self.tasks,) if isinstance(self.tasks, str) else tuple(self.tasks)

    def _find_image(self, sample: SampleDict, where: str) -> str:
        if self.image_extension is not None:
            found = [self.image_extension] if self.image_extension in sample else []
        else:
            found = [name for name in sample if is_image_extension(name)]
            # `jpg` beside `mask.png`: the plain extension is the picture.
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

    def _add_sidecars(self, decoded: SampleDict, sample: SampleDict, where: str) -> None:
        named = self._named_tasks()
        for name in task_names() if named is None else named:
            data = _bytes_of(sample, extension_of(name), where)
            if data is not None:
                decoded[name] = decode_sidecar(get_task(name), data, where=where)
            else:
                decoded[name] = None


@lru_cache(maxsize=8)
def _names_of_tasks(tasks: tuple[str, ...]) -> frozenset[str]:
    """Return the names of what `Decode` gives or takes."""
    return frozenset([META_EXTENSION, *tasks, *map(extension_of, tasks)])


def _bytes_of(sample: SampleDict, extension: str, where: str) -> bytes | None:
    data = sample.get(extension)
    if data is None or isinstance(data, bytes):
        return data
    raise TypeError(
        f"{where}: Decode needs the bytes of member {extension!r}, got {type(data).__name__}: it "
        "was decoded before. Leave webdataset's .decode() out, or name by `only=` what it decodes."
    )
