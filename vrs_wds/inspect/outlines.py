"""What is outlined in a sample's picture, with which text and colour."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vrs_wds.inspect.labels import Point
from vrs_wds.tasks.detection import DetectedObject
from vrs_wds.tasks.grounding import Expression
from vrs_wds.tasks.items import LocatedItem, corners_of

# Okabe and Ito's palette, told apart by the colour-blind too; without black.
COLORS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
"""Colors of expressions; the eighth has the first one's again."""
PLAIN_COLOR = "#FFFFFF"
"""Color of objects that no expression means."""


@dataclass(frozen=True, slots=True)
class Outline:
    """One thing in the picture."""

    points: tuple[Point, ...]
    """Its corners in pixels of the picture; they may lie outside."""
    label: str
    """Its class; may be empty."""
    numbers: tuple[int, ...] = ()
    """Numbers, from 1, of the expressions that mean it."""
    color: str = PLAIN_COLOR

    @property
    def text(self) -> str:
        """The numbers and the class: `2 ship`."""
        return " ".join(part for part in (self.number_text, self.label) if part)

    @property
    def number_text(self) -> str:
        """The numbers alone: `2`, or `1, 4`."""
        return ", ".join(map(str, self.numbers))


def outlines_of(sample: Mapping[str, Any]) -> list[Outline]:
    """Return the outlines of a decoded sample: objects without an expression, then the others.

    An object and the expressions that mean it are one outline, if they lie in the same place.
    """
    objects = items_in(sample, "detection", "objects")
    expressions = items_in(sample, "grounding", "expressions")
    places: dict[tuple[Any, ...], list[int]] = {}
    for i, expression in enumerate(expressions):
        places.setdefault(_place(expression), []).append(i)
    outlines = [
        Outline(_points(item), item.label) for item in objects if _place(item) not in places
    ]
    labels = {_place(item): item.label for item in objects}
    for place, members in places.items():
        first = expressions[members[0]]
        outlines.append(
            Outline(
                _points(first),
                first.label or labels.get(place, ""),
                tuple(i + 1 for i in members),
                COLORS[members[0] % len(COLORS)],
            )
        )
    return outlines


def colors_of(outlines: Sequence[Outline]) -> dict[int, str]:
    """Return the color of each expression, by its number."""
    return {number: outline.color for outline in outlines for number in outline.numbers}


def text_color_on(color: str) -> str:
    """Return black or white, whichever is read better on a color.

    >>> text_color_on("#F0E442"), text_color_on("#0072B2")
    ('#000000', '#FFFFFF')
    """
    red, green, blue = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    # Relative luminance as WCAG 2 defines it, with a plain square for its gamma; both contrasts
    # are equal at 0.18.
    return "#000000" if 0.2126 * red**2 + 0.7152 * green**2 + 0.0722 * blue**2 > 0.18 else "#FFFFFF"


def items_in(sample: Mapping[str, Any], task: str, field: str) -> tuple[Any, ...]:
    """Return a field of a task's sidecar; nothing where the sample has none."""
    sidecar = sample.get(task)
    return () if sidecar is None else getattr(sidecar, field)


def _place(item: DetectedObject | Expression) -> tuple[Any, ...]:
    return (item.box, item.corners)


def _points(item: LocatedItem) -> tuple[Point, ...]:
    return tuple((x, y) for x, y in corners_of([item]).reshape(4, 2).tolist())
