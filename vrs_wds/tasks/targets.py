"""`get_task_targets`: the targets of a batch of metadata, as plain lists."""

from collections.abc import Iterable, Mapping
from typing import Any

from vrs_wds.errors import ConfigError, UnknownTaskError
from vrs_wds.geometry.formats import BoxFormat, Coordinates
from vrs_wds.tasks.meta import Meta
from vrs_wds.tasks.registry import get_task, resolve_tasks, task_names
from vrs_wds.tasks.task import TargetOptions


def get_task_targets(
    metas: Iterable[Mapping[str, Any]],
    task: str,
    label_key: str | None = None,
    *,
    box_format: BoxFormat = "xywh",
    coordinates: Coordinates = "pixels",
) -> Any:  # noqa: ANN401 - each task has its own target
    """Return the targets of one task, one for each image, in the images' order.

    ============== ==================================================================
    task           target of one image
    ============== ==================================================================
    captioning     the caption, `str`
    classification the label, `str`; or the field that `label_key` names
    detection      the boxes, `[[x, y, width, height], ...]`
    grounding      one box an expression, `[[x, y, width, height], ...]`
    vqa            `[(question, answer), ...]`
    ============== ==================================================================

    An image without a sidecar for the task gives what an empty one gives.

    Args:
        metas: What `dataset.metadata(...)` or `batch["metas"]` gives: dicts with one parsed sidecar
            for each task, and `meta`.
        task: A task's name; `all` or `complete` gives a dict from task to its list of targets.
        label_key: For classification: `label`, `labels`, `scene`, or another key, of `meta.extra`.
        box_format: Layout of boxes.
        coordinates: Unit of boxes.

    Raises:
        UnknownTaskError: if no such task is registered, or if it was not read with `metas`.
        ConfigError: if an option does not fit, or needs the size of an image without `meta`.
    """
    if isinstance(metas, Mapping):
        raise TypeError(
            "metas: expected a list of metadata, one dict an image, as batch['metas'] or "
            f"dataset.metadata_many(...) gives; got one dict with {', '.join(map(str, metas))}."
        )
    rows = list(metas)
    if task in ("all", "complete"):
        found = {name for name in task_names() if any(name in row for row in rows)}
        return {
            name: get_task_targets(
                rows, name, label_key, box_format=box_format, coordinates=coordinates
            )
            for name in resolve_tasks(None, found)
        }
    options = TargetOptions(box_format=box_format, coordinates=coordinates, label_key=label_key)
    return [_target(row, task, options) for row in rows]


def _target(row: Mapping[str, Any], task: str, options: TargetOptions) -> Any:  # noqa: ANN401
    handler = get_task(task)
    if task not in row:
        raise UnknownTaskError(
            f"sample {row.get('__key__', '?')!r}: the metadata hold no {task!r}; they were read "
            f"for {', '.join(name for name in task_names() if name in row) or 'no task'}. "
            f"Read them with tasks=[{task!r}]."
        )
    sidecar = handler.empty() if row[task] is None else row[task]
    key = options.label_key
    if task == "classification" and key is not None and key not in sidecar.__struct_fields__:
        meta: Meta | None = row.get("meta")
        if meta is not None and key in meta.extra:
            return meta.extra[key]
    return handler.plain_target(sidecar, _size_wh(row, options), options)


def _size_wh(row: Mapping[str, Any], options: TargetOptions) -> tuple[int, int]:
    meta: Meta | None = row.get("meta")
    if meta is not None:
        return meta.size_wh
    if options.coordinates != "pixels":
        raise ConfigError(
            f"sample {row.get('__key__', '?')!r}: coordinates {options.coordinates!r} need the "
            "picture's size, and the sample has no meta.json. Ask for 'pixels'."
        )
    return (0, 0)  # pixels stay as they are, whatever the size
