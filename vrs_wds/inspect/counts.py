"""Counts the values of an index column, and draws the counts as bars."""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BAR = "#0072B2"
_TEXT = "#808080"
"""Read on a white page and on a black one."""


def count_values(column: Iterable[str | list[str]]) -> dict[str, int]:
    """Return how many samples have each value: the most frequent first, then by name.

    Args:
        column: What `dataset.column(...)` gives: a text a sample, or a list of texts.

    >>> count_values([["ship", "harbor"], ["ship"], []])
    {'ship': 2, 'harbor': 1}
    """
    counts = Counter(
        value for cell in column for value in ([cell] if isinstance(cell, str) else set(cell))
    )
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def draw_counts(axes: "Axes", column: Iterable[str | list[str]], title: str) -> None:
    """Draw how many samples have each value of a column, as bars with their numbers.

    The background becomes transparent, for light and dark pages.

    Args:
        axes: Where to draw; matplotlib's.
        column: What `dataset.column(...)` gives.
        title: Stands above.
    """
    counts = count_values(column)
    bars = axes.barh(list(counts), list(counts.values()), color=_BAR)
    axes.bar_label(bars, padding=3, color=_TEXT)
    axes.invert_yaxis()
    axes.set_title(title, loc="left", color=_TEXT)
    axes.tick_params(left=False, bottom=False, labelbottom=False, labelcolor=_TEXT)
    axes.spines[:].set_visible(False)
    # Hidden, not transparent: behind a transparent figure a notebook puts a background of its own.
    axes.patch.set_visible(False)
    if axes.figure is not None:
        axes.figure.patch.set_visible(False)
