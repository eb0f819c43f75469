"""Memory for the pictures of batches, used again when nobody looks at it any more.

Fresh memory is slow: the system clears each page when it is first touched, which takes about as
long as a copy of the batch. So the same few buffers go round::

    pool --take--> BatchMemory --slot(i)--> Decode writes picture i
      ^                 |
      |                 '--stack--> batch["image"], a view of it --> the consumer
      '--------- when the last view of it is gone ----------------------'
"""

import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from vrs_wds.images.decode import Slot
from vrs_wds.pipeline.collate import stack_images

Pixels = NDArray[np.uint8]
Lease = tuple[torch.Tensor, Pixels]
"""The same memory as a tensor and as an array, both flat; it is free when all views are gone."""

_MAX_BACKOFF = 64


class MemoryPool:
    """Buffers for batches. Safe to use from several threads; pickles as an empty one.

    They are as large as the largest batch so far. A buffer is handed out again only when every
    array and tensor that shares its memory is gone: who keeps batches for ever gets new memory each
    time.
    """

    def __init__(self, max_free: int, *, pin_memory: bool = False) -> None:
        self.max_free = max_free
        """Buffers kept while nobody uses them."""
        self.pin_memory = pin_memory
        self._free: deque[Pixels] = deque(maxlen=max_free)
        self._largest = 0
        self._backoff = self._pause = 0

    def take(self, num_bytes: int) -> Lease:
        """Return memory of at least so many bytes, with anything in it."""
        if self.pin_memory:
            # torch keeps such memory itself, and knows of copies to the device still under way.
            tensor = torch.empty(num_bytes, dtype=torch.uint8, pin_memory=True)
            return tensor, tensor.numpy()
        return lease(self._raw(num_bytes), self._free.append)

    def allocate(self, num_bytes: int) -> torch.Tensor:
        """Return the same as a tensor alone."""
        return self.take(num_bytes)[0]

    def _raw(self, num_bytes: int) -> Pixels:
        self._largest = max(self._largest, num_bytes)
        while True:
            try:
                raw = self._free.pop()
            except IndexError:
                return np.empty(self._largest, dtype=np.uint8)
            if len(raw) >= num_bytes:  # else batches have become larger: let go of it
                return raw

    def use_slots(self) -> bool:
        """Say whether the next batch should be decoded in place: not soon after it went wrong."""
        if self._pause > 0:
            self._pause -= 1
            return False
        return True

    def note(self, *, in_place: bool) -> None:
        """Take note of whether all pictures of a batch came to lie in their slots."""
        self._backoff = 0 if in_place else min(_MAX_BACKOFF, 2 * self._backoff + 1)
        self._pause = self._backoff

    def __getstate__(self) -> dict[str, Any]:
        return {"max_free": self.max_free, "pin_memory": self.pin_memory}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]  # an empty one


def lease(raw: Pixels, give_back: Callable[[Pixels], object]) -> Lease:
    """Return an array and a tensor over `raw`; when all their views are gone, it is given back.

    `give_back` is called wherever the last view is dropped, in any thread: it takes no lock.
    """
    # Views of views refer to the first array that is not a view of another array: to this one, as
    # what is below it is a memoryview. torch keeps the array that a tensor was made from.
    array = np.frombuffer(memoryview(cast(Any, raw)), dtype=np.uint8)
    weakref.finalize(array, give_back, raw).atexit = False
    return torch.from_numpy(array), array


class BatchMemory:
    """The memory of one batch. The first picture's size is taken for that of all."""

    def __init__(self, pool: MemoryPool, count: int, capacity: int) -> None:
        """Take no memory yet.

        Args:
            pool: Where it is from.
            count: Pictures of the batch.
            capacity: Pictures that there is memory for; a last batch may have fewer.
        """
        self._pool = pool
        self._count = count
        self._capacity = capacity
        self._use_slots = pool.use_slots()
        self._lock = threading.Lock()
        self._tensor: torch.Tensor | None = None
        self._places: dict[int, int] = {}
        self._views: list[Pixels] = []

    def slot(self, number: int) -> Slot | None:
        """Return what gives the memory of one picture."""
        return partial(self._slot, number) if self._use_slots else None

    @classmethod
    def holding(cls, pool: MemoryPool, pixels: Lease, shape: tuple[int, ...]) -> "BatchMemory":
        """Return the memory of a batch whose pictures are there: (B, H, W, 3)."""
        memory = cls(pool, shape[0], shape[0])
        memory._use_slots = False
        memory._hold(pixels, shape)
        return memory

    @property
    def views(self) -> Sequence[Pixels]:
        """Each picture's memory, (H, W, 3)."""
        return self._views

    def _slot(self, number: int, height: int, width: int) -> Pixels | None:
        if not self._views:
            with self._lock:
                if not self._views:
                    self._allocate((height, width, 3))
        view = self._views[number]
        return view if view.shape == (height, width, 3) else None

    def _allocate(self, shape: tuple[int, ...]) -> None:
        pixels = self._pool.take(self._capacity * int(np.prod(shape)))
        self._hold(pixels, (self._count, *shape))

    def _hold(self, pixels: Lease, shape: tuple[int, ...]) -> None:
        size = int(np.prod(shape))
        tensor, array = pixels
        views = [*array[:size].reshape(shape)]
        self._tensor = tensor[:size].view(shape)
        self._places = {id(view): number for number, view in enumerate(views)}
        self._views = views  # at last: from then on threads use it without the lock

    def stack(self, images: Sequence[Any]) -> torch.Tensor | list[torch.Tensor]:
        """Return (B, 3, H, W), a view of this memory; see `stack_images`.

        Pictures that are not in their slots, or have to move up as samples before them are
        missing, are copied to other memory.
        """
        try:
            return self._stack(images)
        finally:
            self._views, self._tensor = [], None  # the consumer alone keeps the memory now

    def _stack(self, images: Sequence[Any]) -> torch.Tensor | list[torch.Tensor]:
        places = [self._places.get(id(image), -1) for image in images]
        in_place = bool(self._views) and -1 not in places and sorted(set(places)) == places
        if self._use_slots and self._views:
            self._pool.note(in_place=in_place)
        # Where samples are missing, pictures are not moved in place: a stage may have kept a view.
        if not in_place or places != [*range(len(images))]:
            self._views, self._tensor = [], None
            return self._copy(images)
        assert self._tensor is not None  # noqa: S101 - there are views of it
        return self._tensor[: len(images)].permute(0, 3, 1, 2)

    def _copy(self, images: Sequence[Any]) -> torch.Tensor | list[torch.Tensor]:
        shapes = {image.shape if isinstance(image, np.ndarray) else None for image in images}
        shape = shapes.pop()
        plain = all(isinstance(image, np.ndarray) and image.dtype == np.uint8 for image in images)
        fits = plain and len(images) <= self._capacity
        if shapes or shape is None or len(shape) != 3 or shape[2] != 3 or not fits:
            return stack_images(images)
        self._count = len(images)
        self._allocate(shape)
        for view, image in zip(self._views, images, strict=True):
            view[:] = image
        assert self._tensor is not None  # noqa: S101 - just made
        return self._tensor.permute(0, 3, 1, 2)
