"""Batch memory between processes: a worker decodes into it, the consumer looks at the same pages.

A worker has a few buffers; a flag in shared memory says which of them somebody has::

    worker    take: raises the flag --> decode --> send (a file descriptor or a number, no pixels)
    consumer  receive: raises it higher --> batch["image"] --> the last view is gone: lowers it

Who is sent a buffer keeps it mapped: its pages are touched for the first time only once, and the
next time its number is enough. (A file descriptor is handed over by a thread of the worker.)
"""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vrs_wds.loader.batch_memory import Lease, MemoryPool, lease

_FREE, _SENT, _RECEIVED = range(3)
"""Values of a flag."""
_NOT_KEPT = -1
_ALIGNMENT = 64

Parcel = tuple[int, tuple[int, ...], torch.Tensor | None]
"""A tensor on its way: its buffer's number, its shape, and itself if that is not mapped yet."""


class SharedPool(MemoryPool):
    """Buffers of one worker."""

    def __init__(self, flags: torch.Tensor) -> None:
        """Begin without a buffer.

        Args:
            flags: One byte in shared memory for each buffer that may be kept. What was sent in an
                epoch before, and not received, is lost: the consumer has left that epoch.
        """
        super().__init__(max_free=0)
        self._flags: NDArray[np.uint8] = flags.numpy()
        self._flags[self._flags == _SENT] = _FREE
        self._kept: dict[int, torch.Tensor] = {}
        self._begun: list[int] = []
        self._mapped: set[int] = set()  # those that the consumer has, and keeps

    def take(self, num_bytes: int) -> Lease:
        """Return memory that nobody has; if all that is kept is out, memory for once."""
        for number in np.flatnonzero(self._flags == _FREE).tolist():
            tensor = self._kept.get(number)
            if tensor is None or len(tensor) < num_bytes:
                tensor = self._kept[number] = _new_shared(num_bytes)
                self._mapped.discard(number)
            self._flags[number] = _SENT
            self._begun.append(number)
            return tensor, tensor.numpy()
        tensor = _new_shared(num_bytes)
        return tensor, tensor.numpy()

    def send(self, tensor: torch.Tensor) -> Parcel:
        """Return what is sent of a batch; other buffers that it began are let go of.

        They are not used again: a batch is sent later, by a thread, and parts of its samples may
        lie in them.
        """
        sent = _NOT_KEPT
        for number in self._begun:
            start = self._kept[number].untyped_storage().data_ptr()
            if tensor.untyped_storage().data_ptr() == start:
                sent = number
            else:
                del self._kept[number]
                self._flags[number] = _FREE
        self._begun.clear()
        if sent in self._mapped:
            return sent, tuple(tensor.shape), None
        if sent != _NOT_KEPT:
            self._mapped.add(sent)
        return sent, tuple(tensor.shape), tensor


class ReceivedBuffers:
    """What the consumer has of one worker's buffers."""

    def __init__(self, flags: torch.Tensor) -> None:
        self._flags: NDArray[np.uint8] = flags.numpy()
        self._mapped: dict[int, torch.Tensor] = {}

    def open(self, parcel: Parcel) -> Lease:
        """Return a received tensor, flat; when all its views are gone, the worker may use it again.

        Each that was sent is opened, in their order.
        """
        number, shape, tensor = parcel
        if tensor is not None and number == _NOT_KEPT:
            # A consumer that keeps many batches would run out of open files: it gets a copy.
            flat = tensor.flatten().clone()
            return flat, flat.numpy()
        if tensor is not None:
            self._mapped[number] = _whole(tensor.untyped_storage())
        self._flags[number] = _RECEIVED
        pixels = self._mapped[number][: math.prod(shape)]
        return lease(pixels.numpy(), partial(_lower, self._flags, number, os.getpid()))


@dataclass(frozen=True)
class Layout:
    """Where arrays of several shapes and types lie in one buffer, end to end."""

    arrays: Sequence[tuple[int, tuple[int, ...], np.dtype[Any]]]
    """Of each: where it begins, its shape and its type."""
    num_bytes: int

    @classmethod
    def of(cls, arrays: Sequence[NDArray[Any]]) -> "Layout":
        """Return a layout for these arrays."""
        sizes = [-(-array.nbytes // _ALIGNMENT) * _ALIGNMENT for array in arrays]
        starts = [0, *accumulate(sizes)]
        places = [(start, a.shape, a.dtype) for start, a in zip(starts, arrays, strict=False)]
        return cls(places, starts[-1])

    def views(self, buffer: NDArray[np.uint8]) -> Iterator[NDArray[Any]]:
        """Yield each array's part of a buffer."""
        for start, shape, dtype in self.arrays:
            stop = start + math.prod(shape) * dtype.itemsize
            yield buffer[start:stop].view(dtype).reshape(shape)


def new_flags(num_workers: int, num_buffers: int) -> Sequence[torch.Tensor]:
    """Return the flags of each worker's buffers, in shared memory."""
    flags = torch.zeros(num_workers, num_buffers, dtype=torch.uint8)
    return [*flags.share_memory_()]  # type: ignore[no-untyped-call]


def _lower(flags: NDArray[np.uint8], number: int, owner: int, _: Any) -> None:  # noqa: ANN401 - the memory
    # A forked child drops a copy of the batch: its parent may still have it.
    if os.getpid() == owner:
        flags[number] = _FREE


def _new_shared(num_bytes: int) -> torch.Tensor:
    # As torch's own collate does in workers: `share_memory_()` would copy.
    return _whole(torch.UntypedStorage._new_shared(num_bytes))  # type: ignore[no-untyped-call]


def _whole(storage: torch.UntypedStorage) -> torch.Tensor:
    """Return all bytes of a storage."""
    return torch.empty(0, dtype=torch.uint8).set_(storage)
