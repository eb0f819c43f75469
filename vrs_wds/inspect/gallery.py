"""`view_samples`: many samples as small pictures, such as regions, tiles or a batch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from PIL import Image

from vrs_wds.errors import ConfigError
from vrs_wds.inspect.draw import draw_outlines
from vrs_wds.inspect.inline import inline_picture
from vrs_wds.inspect.outlines import outlines_of
from vrs_wds.inspect.view import decoded_sample
from vrs_wds.sample import Sample


@dataclass(frozen=True)
class Thumbnail:
    """A small picture and what is written below it."""

    image: Image.Image
    name: str
    detail: str
    """A second line."""


@dataclass(frozen=True)
class Gallery:
    """Small pictures in rows, each with its name."""

    thumbnails: tuple[Thumbnail, ...]
    side: int
    """Longer side of the pictures, in pixels."""
    columns: int | None = None
    """Pictures in a row; None takes as many as there is room for."""

    def __len__(self) -> int:
        return len(self.thumbnails)

    def __repr__(self) -> str:
        lines = [f"  {small.name}, {small.detail}" for small in self.thumbnails]
        return "\n".join([f"Gallery of {len(self)}", *lines])

    def _repr_html_(self) -> str:
        cells = "".join(
            f'<figure style="margin:0;width:{self.side}px">'
            f"{inline_picture(small.image, small.name)}"
            f'<figcaption style="font-size:12px;line-height:1.3">{escape(small.name)}'
            f'<div style="opacity:.7">{escape(small.detail)}</div></figcaption></figure>'
            for small in self.thumbnails
        )
        width = "auto-fill" if self.columns is None else self.columns
        return (
            f'<div style="display:grid;grid-template-columns:repeat({width},{self.side}px);'
            f'gap:12px;align-items:start;color:inherit;margin:6px 0 14px">{cells}</div>'
        )


def view_samples(
    samples: Iterable[Sample | Mapping[str, Any]],
    *,
    side: int = 160,
    columns: int | None = None,
    outlines: bool = True,
) -> Gallery:
    """Return a gallery of samples, in their order.

    Below a picture stand a region's text, or else the key; then the region's number and the size.

    Args:
        samples: Samples, decoded or not; all of them are held in memory, as small pictures.
        side: Longer side of each picture, in pixels; smaller pictures are enlarged.
        columns: Pictures in a row; None takes as many as there is room for.
        outlines: Outline objects and expressions. Under 256 pixels only numbers are written.
    """
    for option, value in (("side", side), ("columns", columns)):
        if value is not None and value < 1:
            raise ConfigError(f"{option}: expected at least 1, got {value}.")
    thumbnails = []
    for sample in map(decoded_sample, samples):
        drawn = outlines_of(sample) if outlines else ()
        image = draw_outlines(sample["image"], drawn, side=side)
        thumbnails.append(Thumbnail(image, _name_of(sample), _detail_of(sample)))
    return Gallery(tuple(thumbnails), side, columns)


def _name_of(sample: Mapping[str, Any]) -> str:
    return str(sample.get("region_text") or sample.get("__key__", ""))


def _detail_of(sample: Mapping[str, Any]) -> str:
    height, width = sample["image"].shape[:2]
    number = sample.get("__region__")
    return f"{width} x {height}" if number is None else f"#{number}, {width} x {height}"
