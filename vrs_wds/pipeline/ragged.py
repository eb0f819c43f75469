"""Rows of different lengths, packed end to end."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True, eq=False)
class Ragged(Sequence[Any]):
    """One array for each sample of a batch, packed: all values, and where each sample's begin.

    Boxes of three pictures with two, none and one object::

        values    [[box], [box], [box]]         shape (3, 4)
        offsets   [0, 2, 2, 3]                  sample i has values[offsets[i]:offsets[i + 1]]
    """

    values: "torch.Tensor | list[Any]"
    """Everything in order: a tensor whose first axis counts, or a list (of texts)."""
    offsets: torch.Tensor
    """int64, one more than there are samples; begins with 0, does not fall."""

    @classmethod
    def pack(cls, rows: Sequence[Any]) -> "Ragged":
        """Pack one array or list for each sample."""
        offsets = torch.from_numpy(np.array([0, *accumulate(map(len, rows))], dtype=np.int64))
        if rows and all(issubclass(kind, np.ndarray) for kind in {*map(type, rows)}):
            values = np.concatenate(rows)
            if values.dtype == np.float64:
                values = values.astype(np.float32)  # torch's default; pixels are exact in it
            return cls(torch.from_numpy(values), offsets)
        return cls([*chain.from_iterable(rows)], offsets)

    @property
    def lengths(self) -> torch.Tensor:
        """Number of values of each sample, int64."""
        return self.offsets.diff()

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, i: Any) -> Any:  # noqa: ANN401 - a tensor or a list
        """Return the values of sample `i`: a view of the tensor, or a list."""
        if not isinstance(i, int):
            raise TypeError(f"expected a sample's place in the batch, got {i!r}")
        if not -len(self) <= i < len(self):
            raise IndexError(f"the batch has {len(self)} samples; there is no sample {i}.")
        i %= len(self)
        return self.values[int(self.offsets[i]) : int(self.offsets[i + 1])]

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def to_list(self) -> list[Any]:
        """Return a list of arrays or lists, one for each sample."""
        return list(self)

    def pin_memory(self) -> "Ragged":
        """Return a copy in pinned memory; called by `torch.utils.data.DataLoader`."""
        values = self.values.pin_memory() if isinstance(self.values, torch.Tensor) else self.values
        return Ragged(values, self.offsets.pin_memory())

    def to(self, *args: Any, **kwargs: Any) -> "Ragged":  # noqa: ANN401 - as torch.Tensor.to
        """Return a copy on another device or of another type, as `torch.Tensor.to`.

        The offsets move along but stay int64; texts stay where they are, with theirs.
        """
        if not isinstance(self.values, torch.Tensor):
            return self
        values = self.values.to(*args, **kwargs)
        non_blocking = bool(kwargs.get("non_blocking", False))
        return Ragged(values, self.offsets.to(values.device, non_blocking=non_blocking))

    def __repr__(self) -> str:
        kind = (
            f"{tuple(self.values.shape)} {self.values.dtype}"
            if isinstance(self.values, torch.Tensor)
            else f"list of {len(self.values)}"
        )
        return f"Ragged({kind}, lengths={self.lengths.tolist()})"
