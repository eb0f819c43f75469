"""Cuts a large picture into tiles that overlap."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from vrs_wds.errors import ConfigError
from vrs_wds.pipeline.regions import (
    Region,
    crop_many,
    cut_region,
    picture_wh_of,
    require_croppable,
)
from vrs_wds.pipeline.resize import check_size
from vrs_wds.pipeline.stage import SampleDict, SampleStage
from vrs_wds.tasks.registry import registered_tasks
from vrs_wds.tasks.task import Task

Edge = Literal["shift", "pad", "partial"]
"""The last tile of a row: moved back to the border, filled up with black, or cut at the border."""


@dataclass(frozen=True, repr=False)
class Tile(SampleStage):
    """Give one sample for each tile of a decoded sample, row by row.

    ============ ================================================================
    `image`      the tile, a copy
    sidecars     in the tile's pixels; things outside of it are left out
    `region`     its edges, `(4,)` int64 xyxy in pixels of the picture it is from
    `__region__` its number within the picture; tiles left out are counted too
    ============ ================================================================

    Key, shard and everything else are the sample's. `region[:2]` added to a tile's coordinates
    gives those in the picture. A box is whole in some tile if its sides are no longer than the
    overlap.

    Raises:
        TypeError: if the sample is not decoded, or has a target already.
        ConfigError: if `keep_empty` is False and no sidecar was decoded that could tell.
    """

    needs_pixels: ClassVar[bool] = True

    size: tuple[int, int]
    """`(width, height)` of a tile."""
    overlap: int | tuple[int, int] = 0
    """Pixels that neighbours share: one number, or `(across, down)`."""
    edge: Edge = "shift"
    """The last tile of a row or column: `shift` moves it back to end at the border, `pad` fills it
    up with black, `partial` makes it smaller. A picture smaller than a tile is padded by `shift`
    too: but for `partial`, all tiles have one size."""
    min_visible: float = 0.0
    """Least share (0 to 1) of a box's area inside a tile for its thing to stay."""
    keep_empty: bool = True
    """Give tiles without anything that has a place (an object, an expression) too."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", check_size(self.size))
        overlap = _both(self.overlap)
        if len(overlap) != 2 or any(
            not 0 <= shared < side for shared, side in zip(overlap, self.size, strict=True)
        ):
            raise ConfigError(
                f"overlap: expected 0 or more pixels and less than size={self.size!r}, "
                f"got {self.overlap!r}."
            )
        if self.edge not in get_args(Edge):
            raise ConfigError(
                f"edge: expected one of {', '.join(get_args(Edge))}, got {self.edge!r}."
            )
        if not 0 <= self.min_visible <= 1:
            raise ConfigError(f"min_visible: expected 0 to 1, got {self.min_visible}.")

    def apply(self, sample: SampleDict, /) -> Iterable[SampleDict]:
        """Cut one sample into tiles."""
        image = require_croppable(sample, "Tile")
        located = () if self.keep_empty else _located_tasks(sample)
        regions = plan_tiles(picture_wh_of(image), self.size, self.overlap, self.edge)
        tiles = (
            cut_region(sample, pixels, region, number, min_visible=self.min_visible)
            for number, (region, pixels) in enumerate(
                zip(regions, crop_many(image, regions), strict=True)
            )
        )
        if self.keep_empty:
            return tiles
        return (tile for tile in tiles if any(_has_something(tile, task) for task in located))


def plan_tiles(
    picture_wh: tuple[int, int],
    size_wh: tuple[int, int],
    overlap: int | tuple[int, int] = 0,
    edge: Edge = "shift",
) -> list[Region]:
    """Return the tiles of a picture, row by row: `(x_min, y_min, x_max, y_max)`.

    Pure. Tiles of 5 pixels that overlap by 2, in a row of 10:

    >>> def draw(edge):
    ...     print("-" * 10)
    ...     for left, _, right, _ in plan_tiles((10, 1), (5, 1), (2, 0), edge):
    ...         print(" " * left + "#" * (min(right, 10) - left) + "." * (right - 10))
    >>> draw("shift")
    ----------
    #####
       #####
         #####
    >>> draw("pad")
    ----------
    #####
       #####
          ####.
    >>> draw("partial")
    ----------
    #####
       #####
          ####
    """
    across, down = _both(overlap)
    columns = _plan_side(picture_wh[0], size_wh[0], across, edge)
    rows = _plan_side(picture_wh[1], size_wh[1], down, edge)
    return [(left, top, right, bottom) for top, bottom in rows for left, right in columns]


def _plan_side(length: int, size: int, overlap: int, edge: Edge) -> list[tuple[int, int]]:
    """Return where tiles begin and end along one side of the picture."""
    step = size - overlap
    count = 1 + max(0, -(-(length - size) // step))
    last = max(0, length - size) if edge == "shift" else (count - 1) * step
    starts = [*range(0, (count - 1) * step, step), last]
    ends = [start + size for start in starts]
    if edge == "partial":
        ends = [min(end, length) for end in ends]
    return list(zip(starts, ends, strict=True))


def _both(overlap: int | tuple[int, int]) -> tuple[int, int]:
    if not isinstance(overlap, int | tuple | list):
        raise ConfigError(f"overlap: expected pixels, one number or two, got {overlap!r}.")
    pair = (overlap, overlap) if isinstance(overlap, int) else (*overlap,)
    if len(pair) != 2 or not all(isinstance(side, int) for side in pair):
        raise ConfigError(f"overlap: expected pixels, one number or two, got {overlap!r}.")
    return pair


def _located_tasks(sample: SampleDict) -> tuple[Task[Any], ...]:
    """Return the decoded tasks whose things have a place in the picture."""
    tasks = tuple(
        task
        for task in registered_tasks()
        if task.name in sample and type(task).move is not Task.move
    )
    if not tasks:
        raise ConfigError(
            "keep_empty: no task was decoded whose things have a place, so every tile would seem "
            "empty. Write Decode(tasks='detection'), say, or keep_empty=True."
        )
    return tasks


def _has_something(tile: SampleDict, task: Task[Any]) -> bool:
    sidecar = tile[task.name]
    return sidecar is not None and task.count(sidecar) > 0
