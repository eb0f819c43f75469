"""Network clients do not survive a fork: an error at once instead of waiting for ever."""

import os

from vrs_wds.errors import StorageError

_IS_USED = False
_IS_LOST = False


def mark_used() -> None:
    """Remember that this process has used the network."""
    global _IS_USED
    _IS_USED = True


def check_not_forked(url: str) -> None:
    """Refuse to go on in a child that was forked after its parent had used the network.

    The client's threads do not exist there, so a request, also by a new client, never ends.

    Raises:
        StorageError: that says how to start the process.
    """
    if _IS_LOST:
        raise StorageError(
            f"{url}: cannot be read or written in a process that was forked after its parent had "
            "used the network: the client's threads are not there, and a request would never end. "
            "Start workers by forkserver or spawn, as in "
            'DataLoader(..., multiprocessing_context="forkserver").'
        )


def _after_fork() -> None:
    global _IS_LOST
    _IS_LOST = _IS_LOST or _IS_USED


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
