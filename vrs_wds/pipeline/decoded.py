"""What a decoded sample holds for a task."""

from typing import Any

from vrs_wds.errors import ConfigError
from vrs_wds.pipeline.stage import SampleDict, place_of
from vrs_wds.tasks.registry import task_names


def sidecar_of(sample: SampleDict, task: str, stage: str) -> Any:  # noqa: ANN401 - a task's Struct
    """Return a task's sidecar; None where the sample has none.

    Args:
        sample: A decoded sample.
        task: The task's name.
        stage: Begins the message of an error.

    Raises:
        ConfigError: if `Decode` was told to leave the task out.
    """
    if task not in sample:
        decoded = tuple(name for name in task_names() if name in sample)
        raise ConfigError(
            f"{stage}: {place_of(sample)} was decoded without task {task!r}; it has "
            f"{', '.join(decoded) or 'no task'}. Write Decode(tasks={(*decoded, task)!r})."
        )
    return sample[task]
