"""Checks options of `StreamingLoader`, and finds out those that were left open."""

import os

from vrs_wds.checks import whole_number, yes_or_no
from vrs_wds.errors import ConfigError
from vrs_wds.loader.switching import MIN_SWITCH_INTERVAL
from vrs_wds.order.plan import TailRule


def check_options(
    num_workers: int,
    num_threads: int | None,
    switch_interval: float | None,
    prefetch_factor: int,
    read_ahead_bytes: int,
    persistent_workers: bool,
) -> None:
    """Raise a `ConfigError` for what is out of its range, or contradicts something else."""
    for option, value, least in (
        ("num_workers", num_workers, 0),
        ("num_threads", 1 if num_threads is None else num_threads, 1),
        ("prefetch_factor", prefetch_factor, 1),
        ("read_ahead_bytes", read_ahead_bytes, 0),
    ):
        whole_number(option, value, least=least)
    yes_or_no("persistent_workers", persistent_workers)
    is_number = isinstance(switch_interval, int | float) and not isinstance(switch_interval, bool)
    if switch_interval is not None and not (
        is_number and MIN_SWITCH_INTERVAL <= switch_interval <= 1
    ):
        raise ConfigError(
            f"switch_interval: expected {MIN_SWITCH_INTERVAL:g} to 1 second, or None, got "
            f"{switch_interval!r}."
        )
    if persistent_workers and num_workers == 0:
        raise ConfigError("persistent_workers: there are none to keep with num_workers=0.")
    if num_threads is not None and num_workers > 0:
        raise ConfigError("num_threads: worker processes run one thread each; use num_workers=0.")


def tail_rule(tail: TailRule | None, *, drop_last: bool) -> TailRule:
    """Return what becomes of a last batch that is not full."""
    if tail is not None and drop_last and tail != "drop":
        raise ConfigError(f"drop_last: contradicts tail={tail!r}; give one of them.")
    return "drop" if drop_last else tail or "exact"


def usable_cpus() -> set[int]:
    """Return the processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))
