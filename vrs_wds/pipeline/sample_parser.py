"""Does for a sample what `Decode` does but for the pixels: picture's header, `meta`, sidecars."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from vrs_wds.errors import DecodeError
from vrs_wds.images.coded import CodedPicture
from vrs_wds.images.header import is_image_extension
from vrs_wds.pipeline.stage import SampleDict, place_of
from vrs_wds.tasks.meta import Meta
from vrs_wds.tasks.registry import get_task, registered_tasks
from vrs_wds.tasks.sidecars import META_EXTENSION, SidecarParser, decode_meta
from vrs_wds.tasks.task import Task

Parse = Callable[[SampleDict], SampleDict]


def sample_parser(
    image_extension: str | None, tasks: tuple[str, ...] | None, max_pixels: int
) -> Parse:
    """Return what parses samples, for the tasks that are registered now; see `Decode.parse`.

    Args:
        image_extension: Member that holds the picture; None finds it.
        tasks: Those whose sidecars are parsed; None for all.
        max_pixels: The most pixels of a picture.
    """
    return _parser_of(image_extension, tasks, max_pixels, registered_tasks())


@dataclass(frozen=True, slots=True)
class _Layout:
    """What is done with members, by their names: many samples have the same."""

    images: tuple[str, ...]
    """Those that may be the picture; one, or the sample is refused."""
    hidden: tuple[str, ...]
    """Names with underscores, which are kept."""
    texts: tuple[str, ...]
    """Sidecars that are parsed."""
    sidecars: SidecarParser
    others: tuple[str, ...]
    """Members that are not known, which are kept."""


class _SampleParser:
    """Keeps the layout of the sample before: the next one mostly has the same."""

    def __init__(
        self,
        image_extension: str | None,
        tasks: tuple[str, ...] | None,
        max_pixels: int,
        registered: tuple[Task[Any], ...],
    ) -> None:
        self._options = image_extension, tasks, registered
        self._max_pixels = max_pixels
        self._last: tuple[tuple[str, ...], _Layout] | None = None  # one object for all threads

    def __call__(self, sample: SampleDict) -> SampleDict:
        """Parse one sample."""
        names, last = tuple(sample), self._last
        if last is None or last[0] != names:
            last = self._last = names, _layout_of(names, *self._options)
        layout = last[1]
        where = place_of(sample)
        if isinstance(sample.get("meta"), Meta):
            raise TypeError(f"{where}: was decoded before; leave one Decode out.")
        if len(layout.images) != 1:
            raise _not_one_image(layout, sample, where)
        extension = layout.images[0]
        data = _bytes_of(sample, extension, where) or b""
        member = f"{where}: member {extension!r}"
        coded = CodedPicture.read(data, where=member, max_pixels=self._max_pixels)
        parsed: SampleDict = {name: sample[name] for name in layout.hidden}
        parsed["image"] = coded
        parsed["meta"] = _meta(sample, coded.size_wh, where)
        for name in layout.texts:
            _bytes_of(sample, name, where)
        layout.sidecars.fill(parsed, sample, lambda: where)
        for name in layout.others:
            parsed[name] = sample[name]
        return parsed


_parser_of = lru_cache(maxsize=64)(_SampleParser)


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
    others = tuple(name for name in names if name not in known)
    texts = tuple(task.extension for task in tasks if task.extension in names)
    sidecars = SidecarParser(tasks, present=texts, with_meta=False)
    return _Layout(images, hidden, texts, sidecars, others)


def _meta(sample: SampleDict, size_wh: tuple[int, int], where: str) -> Meta:
    """Return what `meta.json` says, or the picture where there is none."""
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


def _not_one_image(layout: _Layout, sample: SampleDict, where: str) -> DecodeError:
    members = ", ".join(name for name in sample if not name.startswith("__"))
    return DecodeError(
        f"{where}: expected one image, found {len(layout.images)} among the members "
        f"{members or '-'}. Name it with Decode(image_extension=...)."
    )


def _bytes_of(sample: SampleDict, extension: str, where: str) -> bytes | None:
    data = sample.get(extension)
    if data is None or isinstance(data, bytes):
        return data
    raise TypeError(
        f"{where}: Decode needs the bytes of member {extension!r}, got {type(data).__name__}: it "
        "was decoded before. Leave webdataset's .decode() out, or name by `only=` what it decodes."
    )
