"""What is being written: source and options, as far as they decide the bytes."""

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

import msgspec

from vrs_wds.errors import ResumeError
from vrs_wds.sample import Source, SourceSample
from vrs_wds.shard.manifest import FORMAT_VERSION
from vrs_wds.tasks.registry import get_task, resolve_tasks, task_names
from vrs_wds.writer.options import ShardConfig


@runtime_checkable
class Fingerprinted(Protocol):
    """A source that can tell, without reading every picture, whether it has changed."""

    def fingerprint(self) -> str:
        """Return a text that is another one when a sample is."""
        ...


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """All that decides a split's bytes; two equal jobs write equal bytes."""

    format_version: int
    split: str
    source: str
    """The source's type and fingerprint, as far as it has one."""
    num_samples: int | None
    """None if the source does not know."""
    tasks: dict[str, int]
    """Tasks to write, and the versions of their schemas."""
    config: dict[str, object]
    """All options, as plain values."""


def make_job(source: Source | Iterable[SourceSample], split: str, config: ShardConfig) -> Job:
    """Describe what is to be written."""
    kind = type(source).__qualname__ if isinstance(source, Source) else "samples"
    mark = f"{kind}:{source.fingerprint()}" if isinstance(source, Fingerprinted) else kind
    tasks = resolve_tasks(config.tasks, task_names())
    return Job(
        format_version=FORMAT_VERSION,
        split=split,
        source=mark,
        num_samples=len(source) if isinstance(source, Source) else None,
        tasks={name: get_task(name).version for name in sorted(tasks)},
        # As JSON gives it back: lists, no tuples.
        config=msgspec.json.decode(msgspec.json.encode(config, enc_hook=int)),
    )


def differences(old: Job, new: Job) -> list[str]:
    """Say in which points two jobs differ.

    >>> job = Job(format_version=1, split="a", source="S", num_samples=3, tasks={}, config={"x": 1})
    >>> differences(job, msgspec.structs.replace(job, num_samples=4, config={"x": 2}))
    ['num_samples: was 3, is 4', 'x: was 1, is 2']
    """
    before, now = (_flat(msgspec.to_builtins(job)) for job in (old, new))
    return [
        f"{name.removeprefix('config.')}: was {before.get(name)!r}, is {now.get(name)!r}"
        for name in dict.fromkeys([*before, *now])
        if before.get(name) != now.get(name)
    ]


def check_same(old: Job, new: Job, where: str, done: str) -> None:
    """Refuse to go on with what another job left.

    Raises:
        ResumeError: if the jobs differ.
    """
    if found := differences(old, new):
        raise ResumeError(
            f"{where}: an unfinished write is there ({done}), of another source or other options: "
            f"{'; '.join(found)}. Finish it with those, or throw it away: resume=False "
            "(--no-resume)."
        )


def _flat(value: object, name: str = "") -> dict[str, object]:
    if not isinstance(value, dict) or not value:
        return {name: value}
    found: dict[str, object] = {}
    for key, part in value.items():
        found |= _flat(part, f"{name}.{key}" if name else str(key))
    return found
