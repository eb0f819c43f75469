"""Moves a batch's tensors into pinned memory, from where a GPU copies them without waiting."""

from typing import Any

import torch

from vrs_wds.pipeline.ragged import Ragged


def pin(value: Any) -> Any:  # noqa: ANN401 - a batch or part of one
    """Return the same structure with pinned tensors; those on a device stay there."""
    if isinstance(value, torch.Tensor) and value.device.type != "cpu":
        return value
    if isinstance(value, torch.Tensor | Ragged):
        return value.pin_memory()
    if isinstance(value, dict):
        return {name: pin(part) for name, part in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], torch.Tensor):
        return [pin(part) for part in value]
    return value
