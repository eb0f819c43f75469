"""Which stages a loader runs, and which of them are sample stages."""

from collections.abc import Sequence

from vrs_wds.errors import ConfigError
from vrs_wds.pipeline.batch import Batch
from vrs_wds.pipeline.decode import Decode
from vrs_wds.pipeline.stage import BriefRepr, SampleStage, StreamStage
from vrs_wds.pipeline.targets import Targets

Stages = Sequence[SampleStage | StreamStage]


def default_stages(
    task: str | None, size: tuple[int, int] | None, device: str | None
) -> list[SampleStage]:
    """Return what a loader runs if no stages are given.

    Raises:
        ConfigError: if `task` is not a name, or if `Decode` refuses an option.
    """
    if task is not None and not isinstance(task, str):
        raise ConfigError(f"task: expected one name, or 'all', got {task!r}.")
    decode = Decode(size=size, tasks=task, device=device)
    return [decode] if task is None else [decode, Targets(task)]


def check_given(stages: Stages, **options: object) -> Stages:
    """Return the stages given, if no option is that they should name themselves.

    Raises:
        ConfigError: if there is one.
    """
    for option, value in options.items():
        if value is not None:
            raise ConfigError(
                f"{option}: stages are given, so name it there: Decode(size=..., device=...), "
                "Targets(...)."
            )
    return stages


def split_stages(
    stages: Stages,
) -> tuple[tuple[SampleStage, ...], tuple[StreamStage, ...]]:
    """Split stages into the sample stages at the front and everything after them.

    Raises:
        ConfigError: if one of them is no stage, or cannot run where it stands.
    """
    if not isinstance(stages, Sequence):
        raise ConfigError(f"stages: expected a list of stages, got {stages!r}.")
    count = 0
    while count < len(stages) and isinstance(stages[count], SampleStage):
        count += 1
    head = tuple(stage for stage in stages[:count] if isinstance(stage, SampleStage))
    for stage in stages[count:]:
        if isinstance(stage, Batch):
            raise ConfigError("stages: the loader makes batches itself; leave Batch out.")
        # Any other class may take the iterator when it is made.
        if isinstance(stage, type) and issubclass(stage, BriefRepr):
            raise ConfigError(
                f"stages: expected stages, got the class {stage.__name__}: write "
                f"{stage.__name__}(...)."
            )
        if not callable(stage):
            raise ConfigError(
                f"stages: expected callables from iterator to iterator, got {stage!r}."
            )
    if (device := device_of(stages)) is not None:
        needy = next((s for s in stages if getattr(s, "needs_pixels", False)), None)
        if needy is not None:
            raise ConfigError(
                f"device: {needy!r} needs pixels on the CPU, but Decode(device={device!r}) decodes "
                "when the batch is made. Leave device out."
            )
    return head, tuple(stages[count:])


def device_of(stages: Stages) -> str | None:
    """Return the device that pictures are decoded on; None for the CPU."""
    return next((s.device for s in stages if isinstance(s, Decode) and s.device is not None), None)


def tasks_of(stages: tuple[SampleStage, ...]) -> str | Sequence[str] | None:
    """Return the tasks that the first stage decodes: sidecars of others need not be read."""
    return stages[0].tasks if stages and isinstance(stages[0], Decode) else None
