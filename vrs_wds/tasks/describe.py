"""What the index is told of a sidecar: its count and its facts, checked."""

import operator
import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from vrs_wds.errors import ConfigError
from vrs_wds.tasks.task import FactKind, Task

_COUNTS = range(2**31)
"""What the index's column of counts (int32) holds; -1 there says that there is no sidecar."""
_NUMBERS = range(-(2**63), 2**63)
"""What an index column of kind `int` holds."""
_EXPECTED: dict[FactKind, str] = {
    "int": "a whole number of 64 bits",
    "str": "a text",
    "strings": "a list of texts",
}

Fact = int | str | list[str]


def describe(task: Task[Any], sidecar: Any, *, where: str) -> tuple[int, dict[str, Fact]]:  # noqa: ANN401
    """Return what a task counts in a sidecar, and its facts, as the index can hold them.

    Args:
        task: The task.
        sidecar: Its Struct.
        where: Begins the message of an error: shard or sample.

    Raises:
        ConfigError: if the task gives something else than it promises.
    """
    count, facts = task.count(sidecar), task.facts(sidecar)
    if type(count) is not int or count not in _COUNTS:
        count = _count(count, f"{where}: task {task.name!r}")
    kinds = task.fact_kinds
    is_mapping = type(facts) is dict or isinstance(facts, Mapping)  # the first is quicker
    if not is_mapping or facts.keys() != kinds.keys():
        found = sorted(facts, key=str) if is_mapping else reprlib.repr(facts)
        raise ConfigError(
            f"{where}: task {task.name!r}: facts() gave {found}, fact_kinds promises "
            f"{sorted(kinds)}."
        )
    checked: dict[str, Fact] = {}
    for name, kind in kinds.items():
        value = _plain(facts[name], kind)
        if value is None:
            raise ConfigError(
                f"{where}: task {task.name!r}: fact {name!r}: expected {_EXPECTED[kind]}, as "
                f"fact_kinds promises, got {reprlib.repr(facts[name])}. Mend the task's facts()."
            )
        checked[name] = value
    return count, checked


def _plain(value: object, kind: FactKind) -> Fact | None:
    """Return a fact as Python's own kind of value; None if it is of another kind."""
    if kind == "int":
        number = value if type(value) is int else _whole(value)
        return number if number is not None and number in _NUMBERS else None
    if kind == "str":
        return value if type(value) is str and value.isascii() else _text(value)
    # Not any iterable: a text would become its letters, and a set has no order.
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, list | tuple):
        return None
    texts = []
    for item in value:
        text = item if type(item) is str and item.isascii() else _text(item)
        if text is None:
            return None
        texts.append(text)
    return texts


def _count(value: object, where: str) -> int:
    number = _whole(value)
    if number is None or number not in _COUNTS:
        raise ConfigError(
            f"{where}: count(): expected a whole number from 0 to {_COUNTS[-1]:,}, got "
            f"{reprlib.repr(value)}. Mend the task's count()."
        )
    return number


def _whole(value: Any) -> int | None:  # noqa: ANN401
    """Return a whole number, such as NumPy's, as Python's own; a truth value is none."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def _text(value: object) -> str | None:
    """Return a text, such as NumPy's, as Python's own, if UTF-8 can hold it."""
    if not isinstance(value, str):
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    return str.__str__(value)  # `str()` of an Enum's member would be its name
