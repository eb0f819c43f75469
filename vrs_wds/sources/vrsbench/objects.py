"""The objects of an annotation, put right: each with a place and a number of its own."""

from collections import Counter
from collections.abc import Sequence
from itertools import count

import msgspec

from vrs_wds.sources.vrsbench.location import Location, count_area, from_coord, from_corners
from vrs_wds.sources.vrsbench.raw import RawObject, Scalar
from vrs_wds.sources.vrsbench.report import Repair


class PlacedObject(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An object that is known to have a place."""

    object_id: int
    """Unique within the image."""
    label: str
    location: Location
    expression: str
    """Blank if nothing refers to the object."""
    is_unique: bool | None
    attributes: dict[str, Scalar]


def place_objects(raw: Sequence[RawObject], repairs: Counter[Repair]) -> list[PlacedObject]:
    """Return the objects that have a place, in their order; count what was put right.

    The place is `obj_corner`; where that is unusable `obj_coord`, which is rounded and clipped;
    an object with neither is left out.
    """
    placed = []
    for item, object_id in zip(raw, number_objects(raw, repairs), strict=True):
        location = from_corners(item.obj_corner) or from_coord(item.obj_coord, repairs)
        if location is None:
            repairs["objects_without_place"] += 1
            continue
        placed.append(
            PlacedObject(
                object_id=object_id,
                label=item.obj_cls or "",
                location=count_area(location, repairs),
                expression=item.referring_sentence or "",
                is_unique=item.is_unique,
                attributes=item.attributes,
            )
        )
    return placed


def number_objects(raw: Sequence[RawObject], repairs: Counter[Repair]) -> list[int]:
    """Return a number for each object: the first that has an `obj_id` keeps it.

    An object without one gets its position, if that is free; a later one with a number that is
    taken gets the next above all others.

    ========= ==== ==== ==== ====
    `obj_id`     3    3 none    0
    number       3    4    2    0
    ========= ==== ==== ==== ====
    """
    given = [_as_number(item.obj_id) for item in raw]
    taken = {number for number in given if number is not None}
    # Above every position too: a later object without a number may want its own.
    fresh = count(max([len(raw), *(number + 1 for number in taken)]))
    seen: set[int] = set()
    numbers = []
    for position, number in enumerate(given):
        if number is None or number in seen:
            is_free = number is None and position not in taken
            number = position if is_free else next(fresh)
            repairs["object_ids_given"] += 1
        seen.add(number)
        numbers.append(number)
    return numbers


def _as_number(object_id: int | float | str | None) -> int | None:
    try:
        number = None if object_id is None else int(object_id)
    except (ValueError, OverflowError):
        return None
    return number if isinstance(object_id, str) or number == object_id else None
