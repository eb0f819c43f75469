"""One source sample to the members of a sample in a shard. Pure; runs in worker processes."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from vrs_wds.errors import DecodeError, SourceError, UnknownTaskError
from vrs_wds.images.decode import decode_rgb
from vrs_wds.images.encode import EXTENSIONS, encode_rgb
from vrs_wds.images.header import ImageHeader, is_image_extension, read_header
from vrs_wds.sample import SourceSample, check_key, name_to_key
from vrs_wds.tasks.describe import describe
from vrs_wds.tasks.meta import Meta
from vrs_wds.tasks.registry import registered_tasks, resolve_tasks
from vrs_wds.tasks.sidecars import META_EXTENSION, encode_meta, encode_sidecar
from vrs_wds.tasks.task import Task
from vrs_wds.writer.options import ImageOptions, ShardConfig

_FIELDS: tuple[tuple[str, tuple[type, ...], str], ...] = (
    ("name", (str,), "a text"),
    ("image", (bytes,), "the bytes of an image file"),
    ("extension", (str,), "a text"),
    # dict is a Mapping, and told more quickly.
    ("annotations", (dict, Mapping), "a dict of tasks and their sidecars (empty: no annotations)"),
    ("extra", (dict, Mapping), "a dict of JSON values (empty: nothing more is known)"),
)


class PreparedSample(msgspec.Struct, frozen=True, gc=False):  # quicker to make than a dataclass
    """A sample ready to be packed, and what the index will know of it."""

    key: str
    members: tuple[tuple[str, bytes], ...]
    """Extension and bytes, in member order: tasks by name, `meta.json`, the image."""
    width: int
    height: int
    format: str
    counts: Mapping[str, int]
    facts: Mapping[str, int | str | list[str]]
    origin: str
    """For messages: where the sample came from."""


def prepare_sample(sample: SourceSample, config: ShardConfig) -> PreparedSample:
    """Make a sample's members: validate and encode its sidecars, keep or re-encode its image.

    Raises:
        KeyFormatError: if the name makes no key.
        SidecarError: if an annotation does not fit its task.
        DecodeError: if the image's header cannot be read, or the image not be decoded.
        UnknownTaskError: if an annotation is for no registered task.
        ConfigError: if a task counts, or tells as facts, what the index cannot hold.
    """
    _check_types(sample)
    key = check_key(name_to_key(sample.name))
    origin = sample.origin or sample.name
    where = f"sample {key!r} ({origin})"
    header, extension, data = _prepare_image(sample, config.image, where)
    size_wh = (header.width, header.height)
    members, counts, facts = _prepare_sidecars(sample, config, size_wh, where)
    # A file name that is not UTF-8 is kept in the key; JSON cannot hold it.
    name = sample.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    meta = Meta(name=name, width=header.width, height=header.height, extra={**sample.extra})
    members.append((META_EXTENSION, encode_meta(meta, where=where)))
    members.append((extension, data))
    return PreparedSample(
        key=key,
        members=tuple(members),
        width=header.width,
        height=header.height,
        format=header.format,
        counts=counts,
        facts=facts,
        origin=origin,
    )


def _check_types(sample: SourceSample) -> None:
    if not isinstance(sample, SourceSample):
        raise SourceError(
            f"expected the source to give vrs_wds.SourceSample, got {type(sample).__name__}."
        )
    for field, kind, what in _FIELDS:
        if not isinstance(value := getattr(sample, field), kind):
            raise SourceError(
                f"{sample.origin or sample.name}: {field}: expected {what}, got "
                f"{type(value).__name__}."
            )


def _prepare_image(
    sample: SourceSample, options: ImageOptions, where: str
) -> tuple[ImageHeader, str, bytes]:
    extension = sample.extension.lower().lstrip(".")
    member = f"{where}: member {extension!r}"
    if not is_image_extension(extension) or "." in extension:
        raise DecodeError(f"{member}: expected an image's extension, such as 'png'.")
    if len(sample.image) > options.max_bytes:
        raise DecodeError(
            f"{member}: expected at most {int(options.max_bytes):,} bytes (image.max_bytes), "
            f"got {len(sample.image):,}."
        )
    header = read_header(sample.image, where=member)
    if header.width * header.height > options.max_pixels:
        raise DecodeError(
            f"{member}: expected at most {options.max_pixels:,} pixels (image.max_pixels), got "
            f"{header.width} x {header.height}."
        )
    if options.encode == "keep":
        return header, extension, sample.image
    image = decode_rgb(sample.image, where=member, max_pixels=options.max_pixels)
    try:
        data = encode_rgb(image, options.encode, quality=options.quality)
    except ValueError as error:
        raise DecodeError(f"{member}: cannot be encoded as {options.encode}: {error}") from error
    # The pixels are upright now; width and height already were.
    header = ImageHeader(header.width, header.height, options.encode, orientation=1)
    return header, EXTENSIONS[options.encode], data


def _prepare_sidecars(
    sample: SourceSample, config: ShardConfig, size_wh: tuple[int, int], where: str
) -> tuple[list[tuple[str, bytes]], dict[str, int], dict[str, Any]]:
    members: list[tuple[str, bytes]] = []
    counts: dict[str, int] = {}
    facts: dict[str, Any] = {}
    chosen = config.tasks if isinstance(config.tasks, str) else tuple(config.tasks)
    tasks, registered = _tasks_to_write(chosen, registered_tasks())
    annotations, omit = sample.annotations, config.sidecars.missing == "omit"
    for name in annotations:
        if name not in registered:
            raise UnknownTaskError(
                f"{where}: annotations for the unknown task {name!r}; registered are "
                f"{', '.join(sorted(registered))}. Register it with vrs_wds.register_task."
            )
    for task in tasks:
        name = task.name
        value = annotations.get(name)
        if value is None and omit:
            continue
        sidecar, data = encode_sidecar(
            task, task.empty() if value is None else value, where=where, size_wh=size_wh
        )
        members.append((task.extension, data))
        counts[name], found = describe(task, sidecar, where=where)
        facts.update(found)
    return members, counts, facts


@lru_cache(maxsize=16)
def _tasks_to_write(
    chosen: str | tuple[str, ...], registered: tuple[Task[Any], ...]
) -> tuple[list[Task[Any]], frozenset[str]]:
    """Return the tasks whose sidecars are written, in member order, and the names of all."""
    by_name = {task.name: task for task in registered}
    names = sorted(resolve_tasks(chosen, by_name))
    return [by_name[name] for name in names], frozenset(by_name)
