"""Locks and open files after a fork: a child begins with fresh ones.

A process may be forked while another of its threads holds a lock; in the child nobody would ever
release it.
"""

import os
import weakref
from typing import Protocol


class Resettable(Protocol):
    """Has locks, caches or open files that a child of a fork must not share."""

    def reset_after_fork(self) -> None:
        """Replace them by fresh ones."""
        ...


_OBJECTS: "weakref.WeakSet[Resettable]" = weakref.WeakSet()


def reset_in_children(obj: Resettable) -> None:
    """Let an object be reset in every child process that is forked from now on."""
    _OBJECTS.add(obj)


def _reset_all() -> None:
    for obj in list(_OBJECTS):
        obj.reset_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_all)
