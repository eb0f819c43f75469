"""`view_batch`: what a batch holds, name by name, with its pictures."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from vrs_wds.inspect.gallery import Gallery, view_samples
from vrs_wds.inspect.inline import grid
from vrs_wds.pipeline.ragged import Ragged

_HEAD = ("name", "in the batch", "of its first sample")
_MAX_TEXT = 100
"""Characters shown of a value."""


@dataclass(frozen=True)
class BatchView:
    """The names in a batch, what they hold, and the pictures."""

    rows: tuple[tuple[str, str, str], ...]
    """Name, such as `target.boxes`; type and shape; the first sample's value, shortened."""
    pictures: Gallery | None
    """The batch's pictures, if they are uint8."""

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {kind}; {first}" for name, kind, first in self.rows)

    def _repr_html_(self) -> str:
        shown = "" if self.pictures is None else self.pictures._repr_html_()
        return shown + grid(_HEAD, self.rows)


def view_batch(batch: Mapping[str, Any], *, side: int = 160) -> BatchView:
    """Return a view of a batch, as `StreamingLoader` or `collate` makes it.

    Args:
        batch: The batch.
        side: Longer side of the pictures shown, in pixels.
    """
    return BatchView(tuple(_rows(batch, "")), _pictures(batch, side))


def _rows(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _rows(value, f"{prefix}{name}.")
        else:
            first = _first_of(value)
            if name == "__url__":
                first = first.rpartition("/")[2]  # the shard; its folder is the same everywhere
            yield (f"{prefix}{name}", _kind_of(value), first)


def _kind_of(value: object) -> str:
    if isinstance(value, torch.Tensor):
        return f"{_type_of(value)} {tuple(value.shape)}"
    if isinstance(value, Ragged):
        lengths = " + ".join(str(length) for length in value.lengths.tolist())
        if not isinstance(value.values, torch.Tensor):
            return f"Ragged of {lengths} values"
        row = " x ".join(str(length) for length in value.values.shape[1:])
        return f"Ragged of {lengths} rows of {row or 1}, {_type_of(value.values)}"
    if isinstance(value, list):
        kinds = " or ".join(sorted({type(item).__name__ for item in value}))
        return f"list of {len(value)} {kinds}".rstrip()
    return type(value).__name__


def _first_of(value: object) -> str:
    if isinstance(value, torch.Tensor | Ragged | list):
        if len(value) == 0:
            return ""
        value = value[0]
    if isinstance(value, torch.Tensor):
        if value.ndim > 2:
            return f"from {value.min():g} to {value.max():g}" if value.numel() else "empty"
        value = value.tolist()
    if isinstance(value, Mapping):
        return ", ".join(map(str, value))
    return _list_text(value) if isinstance(value, list) else _shortened(_text(value))


def _list_text(values: list[Any]) -> str:
    """Return the first values, as many as there is room for, and how many more there are."""
    if not values:
        return "none"
    text = _shortened(_text(values[0]))
    for number, value in enumerate(values[1:], start=1):
        longer = f"{text}; {_text(value)}"
        if len(longer) > _MAX_TEXT:
            return f"{text}; and {len(values) - number} more"
        text = longer
    return text


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT].rstrip() + "..."


def _type_of(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _pictures(batch: Mapping[str, Any], side: int) -> Gallery | None:
    images, metas = batch.get("image"), batch.get("metas")
    if images is not None and "sizes_wh" in batch:  # without what is padded
        sizes_wh = batch["sizes_wh"].tolist()
        images = [image[:, :h, :w] for image, (w, h) in zip(images, sizes_wh, strict=True)]
    if images is None or metas is None or any(image.dtype != torch.uint8 for image in images):
        return None
    return view_samples(
        (
            {**meta, "image": image.permute(1, 2, 0).cpu().numpy()}
            for meta, image in zip(metas, images, strict=True)
        ),
        side=side,
    )
