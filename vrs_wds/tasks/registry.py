"""The tasks by name. A user's task joins with one call of `register_task`."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, get_args

import msgspec

from vrs_wds.errors import ConfigError, UnknownTaskError
from vrs_wds.tasks.task import FactKind, Task

_TASKS: dict[str, Task[Any]] = {}
"""In the order of their names. Replaced, never changed: threads look at it."""
_RESERVED = {"meta", "all", "complete", "image", "target", "region"}

INDEX_COLUMNS = {"key", "shard", "offset", "size", "width", "height", "format"}
"""Columns of every index; facts of tasks have other names."""

TaskT = TypeVar("TaskT", bound=Task[Any])


def register_task(task: TaskT) -> TaskT:
    """Add a task, and return it; the same class may be registered again.

    Raises:
        ConfigError: if it is a class or no task at all; if the name is malformed, reserved or taken
            by another class; if the schema is no Struct; if an index column has an unknown kind, or
            a name that is taken.
    """
    global _TASKS
    _check_type(task)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", task.name) or task.name in _RESERVED:
        raise ConfigError(
            f"task name {task.name!r}: expected lower case letters, digits and underscores, and "
            f"none of {', '.join(sorted(_RESERVED))}."
        )
    for column, kind in task.fact_kinds.items():
        if not isinstance(column, str) or kind not in get_args(FactKind):
            raise ConfigError(
                f"task {task.name!r}: fact_kinds: expected index columns, each with one of "
                f"{', '.join(get_args(FactKind))}, got {column!r}: {kind!r}."
            )
        if column in INDEX_COLUMNS or column.endswith("_count") or ":" in column:
            raise ConfigError(
                f"task {task.name!r}: the index column {column!r} is one that every index has."
            )
    for other in _TASKS.values():
        if other.name == task.name:
            # A module that is reloaded, as in a notebook, makes its class anew under one name.
            if type(other).__qualname__ != type(task).__qualname__:
                raise ConfigError(f"task name {task.name!r} is taken by {other!r}.")
        elif shared := set(other.fact_kinds) & set(task.fact_kinds):
            raise ConfigError(
                f"task {task.name!r}: the index column {min(shared)!r} is taken by {other!r}."
            )
    tasks: dict[str, Task[Any]] = {**_TASKS, task.name: task}
    _TASKS = dict(sorted(tasks.items()))
    return task


def _check_type(task: object) -> None:
    """Refuse what would fail, with a message of Python's own, when it is used."""
    if not isinstance(task, Task):
        is_class = isinstance(task, type) and issubclass(task, Task)
        hint = f" Write register_task({getattr(task, '__name__', '')}())." if is_class else ""
        raise ConfigError(
            f"register_task: expected an instance of vrs_wds.Task's subclass, got {task!r}.{hint}"
        )
    for field, kind, what in (
        ("name", str, "a text"),
        ("fact_kinds", Mapping, "a dict of index columns and their kinds"),
    ):
        if not isinstance(value := getattr(task, field, None), kind):
            raise ConfigError(f"{type(task).__name__}.{field}: expected {what}, got {value!r}.")
    schema = getattr(task, "schema", None)
    if not (isinstance(schema, type) and issubclass(schema, msgspec.Struct)):
        raise ConfigError(
            f"task {task.name!r}: schema: expected a subclass of msgspec.Struct, got {schema!r}."
        )


def get_task(name: str) -> Task[Any]:
    """Return the task of that name.

    Raises:
        UnknownTaskError: if there is none; the message lists those that there are.
    """
    try:
        return _TASKS[name]
    except KeyError:
        raise UnknownTaskError(
            f"unknown task {name!r}; registered are {', '.join(task_names())}. "
            "A task of your own needs vrs_wds.register_task first."
        ) from None


def task_names() -> list[str]:
    """Return the names of all registered tasks, in the order of their members in a sample."""
    return list(_TASKS)


def task_of_unit(unit: str) -> Task[Any]:
    """Return the task whose sidecars hold several of a unit, such as `question`.

    Raises:
        ConfigError: if there is none; the message lists those that there are.
    """
    units = {task.unit: task for task in registered_tasks() if task.unit}
    if unit not in units:
        raise ConfigError(f"per: expected image, {', '.join(sorted(units))}, got {unit!r}.")
    return units[unit]


def registered_tasks() -> tuple[Task[Any], ...]:
    """Return all registered tasks, to register them in another process."""
    return tuple(_TASKS.values())


def resolve_tasks(tasks: str | Iterable[str] | None, available: Iterable[str]) -> tuple[str, ...]:
    """Turn what a user gives for tasks into names: one, several, or `all`/`complete`/None for all.

    Raises:
        UnknownTaskError: if a task is not available.
    """
    names = sorted(available)
    if tasks is None or tasks in ("all", "complete"):
        return tuple(names)
    chosen = (tasks,) if isinstance(tasks, str) else tuple(tasks)
    for name in chosen:
        if name not in names:
            raise UnknownTaskError(
                f"task {name!r} is not among those available here: {', '.join(names) or 'none'}."
            )
    return chosen
