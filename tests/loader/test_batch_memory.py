"""Memory of batches: decoded in place, used again, and never while somebody looks at it."""

import gc
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import weakref
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vrs_wds.errors import DecodeError
from vrs_wds.images.encode import encode_rgb
from vrs_wds.loader.batch_memory import BatchMemory, MemoryPool, lease
from vrs_wds.loader.executor import ChunkReader
from vrs_wds.loader.loader import StreamingLoader
from vrs_wds.loader.map_dataset import MapDataset
from vrs_wds.loader.shared_memory import Layout, SharedPool, new_flags
from vrs_wds.loader.workers import _to_shared
from vrs_wds.pipeline.decode import Decode
from vrs_wds.pipeline.map import Map
from vrs_wds.pipeline.targets import Targets
from vrs_wds.reader.dataset import ShardedDataset
from vrs_wds.reader.open import open_dataset
from vrs_wds.sample import SourceSample
from vrs_wds.storage.reading import FAR
from vrs_wds.writer.write import write_shards


def pixels(batch: dict[str, Any]) -> list[np.ndarray]:
    """Return a batch's pictures, (H, W, 3), as copies."""
    return [image.permute(1, 2, 0).numpy().copy() for image in batch["image"]]


def write_pictures(root: Path, sizes: list[tuple[int, int]], formats: list[str]) -> ShardedDataset:
    """Write noise of these sizes (width, height)."""
    rng = np.random.default_rng(0)
    samples = []
    for i, (width, height) in enumerate(sizes):
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        kind = formats[i % len(formats)]
        data = encode_rgb(image, kind)  # type: ignore[arg-type]
        samples.append(SourceSample(f"p{i:03d}", data, {"jpeg": "jpg"}.get(kind, kind)))
    write_shards(samples, root, split="train")  # type: ignore[arg-type]
    return open_dataset(root)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> ShardedDataset:
    """Forty pictures of three formats: most of one size, some of others."""
    sizes = [(40, 24)] * 40
    sizes[9], sizes[10], sizes[30] = (24, 40), (8, 8), (41, 24)
    return write_pictures(tmp_path_factory.mktemp("mixed"), sizes, ["png", "jpeg", "webp"])


def test_a_sample_that_comes_twice_in_a_chunk_has_two_pictures(mixed: ShardedDataset) -> None:
    """As where batches are filled up: who writes into one picture does not change the other."""
    reader = ChunkReader(mixed, mixed.extensions, (Decode(),))
    memory = BatchMemory(MemoryPool(1), 3, 3)
    found = reader([(0, 0), (1, 0), (0, 0)], [memory.slot(i) for i in range(3)])
    images = [sample["image"] for sample in found if isinstance(sample, dict)]
    assert len(images) == 3
    assert np.array_equal(images[0], images[2])
    assert not np.may_share_memory(images[0], images[2])
    stacked = memory.stack(images)
    assert isinstance(stacked, torch.Tensor)
    stacked[0] = 0
    assert torch.equal(stacked[2], torch.from_numpy(images[2]).permute(2, 0, 1))
    assert stacked[2].any()


def test_pictures_read_one_by_one_lie_in_their_slots(
    mixed: ShardedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk that is read in several runs, as large samples are."""
    monkeypatch.setattr("vrs_wds.reader.dataset._LARGE_BYTES", 0)
    dataset = open_dataset(mixed.store)
    assert len(list(dataset.runs(range(4), 4))) == 4
    memory = BatchMemory(MemoryPool(1), 4, 4)
    reader = ChunkReader(dataset, dataset.extensions, (Decode(),))
    found = reader([(i, 0) for i in range(4)], [memory.slot(i) for i in range(4)])
    images = [sample["image"] for sample in found if isinstance(sample, dict)]
    assert all(image is view for image, view in zip(images, memory.views, strict=True))


@given(
    size=st.sampled_from([None, (40, 24), (20, 12), (12, 7), (50, 30)]),
    fit=st.sampled_from(["stretch", "letterbox"]),
    filter=st.sampled_from(["shrunk", "triangle", "area"]),
    batch_size=st.integers(1, 12),
    num_threads=st.integers(1, 3),
)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_pixels_are_those_of_plain_iteration(
    mixed: ShardedDataset, size: Any, fit: Any, filter: Any, batch_size: int, num_threads: int
) -> None:
    """Whatever the sizes, formats and threads; one size makes a tensor, several a list."""
    stage = Decode(size=size, fit=fit, filter=filter)
    expected = [next(iter(stage.apply(sample.to_dict())))["image"] for sample in mixed]

    loader = StreamingLoader(mixed, stages=[stage], batch_size=batch_size, num_threads=num_threads)
    for _ in range(2):  # the second time in memory that was used before
        found = []
        for batch in loader:
            assert isinstance(batch["image"], torch.Tensor) == (
                len({tuple(image.shape) for image in batch["image"]}) == 1
            )
            found += pixels(batch)
        assert all(map(np.array_equal, found, expected))
        assert len(found) == len(expected)


@given(
    sizes=st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=14),
    batch_size=st.integers(1, 5),
    num_threads=st.integers(1, 3),
)
@settings(max_examples=25)
def test_padded_pictures_in_memory_that_goes_round(
    tmp_path_factory: pytest.TempPathFactory, sizes: Any, batch_size: int, num_threads: int
) -> None:
    """What was in it before is not seen; batches that are kept stay as they are."""
    dataset = write_pictures(tmp_path_factory.mktemp("sizes"), sizes, ["png"])
    expected = [Decode().decode(sample.to_dict())["image"] for sample in dataset]
    loader = StreamingLoader(
        dataset, batch_size=batch_size, num_threads=num_threads, images="padded"
    )
    kept = []
    for epoch in range(4):
        for number, batch in enumerate(loader):
            images = batch["image"]
            pictures = expected[number * batch_size : (number + 1) * batch_size]
            assert isinstance(images, torch.Tensor)
            for place, (width, height), picture in zip(
                images, batch["sizes_wh"].tolist(), pictures, strict=True
            ):
                shown = place[:, :height, :width].permute(1, 2, 0).numpy()
                assert np.array_equal(shown, picture)
                assert place.sum() == picture.sum()
            if epoch == 1:
                kept.append((images, images.clone()))
            elif epoch > 1:
                images.fill_(255)  # the consumer's to write
            del batch, images
    assert all(torch.equal(images, copy) for images, copy in kept)


def test_a_new_buffer_is_as_large_as_the_largest() -> None:
    """A small one would be let go of when the next large batch comes."""
    pool = MemoryPool(2)
    large, small = pool.take(1000), pool.take(10)
    assert (len(large[1]), len(small[1])) == (1000, 1000)


def test_memory_of_padded_batches_goes_round(mixed: ShardedDataset) -> None:
    """In few buffers, as large as the largest batch."""
    loader = StreamingLoader(mixed, batch_size=8, images="padded")
    found = set()
    for _ in range(12):
        for batch in loader:
            found.add(batch["image"].untyped_storage().data_ptr())
            del batch
    assert len(found) <= 2 * loader._memory.max_free


@pytest.mark.parametrize("images", ["list", "padded"])
def test_batches_of_several_sizes_from_workers(mixed: ShardedDataset, images: str) -> None:
    """Equal to those of threads: a worker goes on only when nobody needs what it has made."""
    options: dict[str, Any] = {"batch_size": 8, "images": images}
    threads = list(StreamingLoader(mixed, **options))
    workers = list(StreamingLoader(mixed, num_workers=2, **options))
    for batch, other in zip(threads, workers, strict=True):
        assert all(map(torch.equal, batch["image"], other["image"]))
        if images == "padded":
            assert torch.equal(batch["sizes_wh"], other["sizes_wh"])
    if images == "padded":
        shapes = {batch["image"].shape[2:] for batch in threads}
        assert shapes == {(24, 40), (24, 41), (40, 40)}


def turned_with_corner(sample: dict[str, Any]) -> dict[str, Any]:
    """Put another array in place of the picture, and keep a view of the picture."""
    return {**sample, "image": sample["image"][::-1], "corner": [sample["image"][:4, :4]]}


def test_views_that_a_stage_keeps_come_from_workers(small_dataset: ShardedDataset) -> None:
    """As they were, though the picture's memory is not what is sent."""
    options: dict[str, Any] = {"stages": [Decode(), Map(turned_with_corner)], "batch_size": 4}
    loader = StreamingLoader(small_dataset, num_workers=1, persistent_workers=True, **options)
    expected = [c[0].copy() for b in StreamingLoader(small_dataset, **options) for c in b["corner"]]
    for _ in range(3):
        found = [corner[0] for batch in loader for corner in batch["corner"]]
        assert all(map(np.array_equal, found, expected))


def flipped(sample: dict[str, Any]) -> dict[str, Any]:
    """Give another array of the same size."""
    return {**sample, "image": sample["image"][::-1]}


def cropped(sample: dict[str, Any]) -> dict[str, Any]:
    """Give a view of a part."""
    return {**sample, "image": sample["image"][2:10, :8]}


def darkened(sample: dict[str, Any]) -> dict[str, Any]:
    """Write into the picture."""
    sample["image"][:4] //= 2
    return sample


@pytest.mark.parametrize("function", [flipped, cropped, darkened])
def test_stages_may_replace_the_picture_or_write_into_it(
    small_dataset: ShardedDataset, function: Any
) -> None:
    """What they give is what the batch holds."""
    stages = [Decode(), Map(function), Targets("vqa")]
    plain = MapDataset(small_dataset, *stages)
    expected = [plain[i]["image"] for i in range(len(plain))]

    loader = StreamingLoader(small_dataset, stages=stages, batch_size=5)
    found = [image for batch in loader for image in pixels(batch)]
    assert all(map(np.array_equal, found, expected))


def test_pictures_after_a_bad_one_move_up(tmp_path: Path) -> None:
    """The batch is shorter, and every picture beside its key."""
    dataset = write_pictures(tmp_path, [(16, 8)] * 12, ["png"])
    good = {sample.key: Decode().decode(sample.to_dict())["image"] for sample in dataset}

    def spoil(sample: dict[str, Any]) -> dict[str, Any]:
        if sample["__key__"] in ("p001", "p006"):
            raise DecodeError("spoilt")
        return sample

    loader = StreamingLoader(dataset, stages=[Decode(), Map(spoil)], batch_size=6, max_skipped=2)
    batches = list(loader)
    assert [len(batch["__key__"]) for batch in batches] == [5, 5]
    for batch in batches:
        for key, image in zip(batch["__key__"], pixels(batch), strict=True):
            assert np.array_equal(image, good[key])


HOLDS: dict[str, Any] = {
    "tensor": lambda batch: batch["image"],
    "one picture": lambda batch: batch["image"][1],
    "slice": lambda batch: batch["image"][:, :, 2:4, 1:3],
    "array": lambda batch: batch["image"].numpy(),
    "part of an array": lambda batch: batch["image"].numpy()[0, 1:2],
    "memoryview": lambda batch: memoryview(batch["image"].permute(0, 2, 3, 1).numpy()),
    "dlpack": lambda batch: np.from_dlpack(batch["image"]),
    "detached": lambda batch: batch["image"].detach().view(torch.int8),
    "storage": lambda batch: batch["image"].untyped_storage(),
}


@pytest.mark.parametrize("what", HOLDS)
def test_what_somebody_holds_is_never_overwritten(small_dataset: ShardedDataset, what: str) -> None:
    """Hold a view of every batch of two epochs; compare them at the end with copies."""
    loader = StreamingLoader(small_dataset, batch_size=4)
    held = []
    for batch in [*loader, *loader][:-1]:
        view = HOLDS[what](batch)
        held.append((view, bytes(np.asarray(view)) if what != "storage" else bytes(view)))
        del batch, view
    for _ in range(3):
        for batch in loader:
            batch["image"].fill_(0)

    for view, copy in held:
        assert (bytes(view) if what == "storage" else bytes(np.asarray(view))) == copy


def test_batches_that_go_to_another_thread(small_dataset: ShardedDataset) -> None:
    """It drops them at its own pace; none changes before."""
    loader = StreamingLoader(small_dataset, batch_size=2)
    expected = [image.tobytes() for batch in loader for image in pixels(batch)] * 4
    received: queue.Queue[Any] = queue.Queue(maxsize=7)
    found: list[bytes] = []

    def consume() -> None:
        waiting: list[Any] = []
        while (batch := received.get()) is not None:
            waiting.append(batch)
            if len(waiting) > 5:
                found.extend(image.tobytes() for image in pixels(waiting.pop(0)))
        for batch in waiting:
            found.extend(image.tobytes() for image in pixels(batch))

    thread = threading.Thread(target=consume)
    thread.start()
    for _ in range(4):
        for batch in loader:
            received.put(batch)
    received.put(None)
    thread.join()
    assert found == expected


@pytest.mark.parametrize("is_far", [False, True])
def test_memory_goes_round(
    small_dataset: ShardedDataset, monkeypatch: pytest.MonkeyPatch, *, is_far: bool
) -> None:
    """A consumer that drops its batches sees few buffers, over any number of epochs."""
    if is_far:
        monkeypatch.setattr(small_dataset.store, "reading", FAR, raising=False)
    loader = StreamingLoader(small_dataset, batch_size=4)
    found = set()
    for _ in range(20):
        for batch in loader:
            found.add(batch["image"].untyped_storage().data_ptr())
            assert not batch["image"].is_pinned()
            del batch
    # Those that are read ahead, the one that is begun, and the consumer's.
    assert len(found) <= loader._memory.max_free
    gc.collect()
    assert len(loader._memory._free) <= loader._memory.max_free


class BufferCount:
    """Counts the buffers that pools have made and that are still there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._seen: dict[int, weakref.ref[np.ndarray]] = {}
        take = MemoryPool._raw

        def counted(pool: MemoryPool, num_bytes: int) -> np.ndarray:
            raw = take(pool, num_bytes)
            self._seen[id(raw)] = weakref.ref(raw)
            return raw

        monkeypatch.setattr(MemoryPool, "_raw", counted)

    def __call__(self) -> int:
        """Return how many there are."""
        return sum(ref() is not None for ref in self._seen.values())


@pytest.mark.parametrize("num_kept", [0, 3])
@pytest.mark.parametrize(
    ("batch_size", "num_threads", "prefetch_factor", "num_ahead"),
    [(1, 1, 1, 1), (1, 2, 2, 2), (4, 3, 2, 3), (20, 1, 2, 2), (20, 3, 1, 2)],
)
def test_as_many_buffers_as_batches_are_held(
    small_dataset: ShardedDataset,
    monkeypatch: pytest.MonkeyPatch,
    batch_size: int,
    num_threads: int,
    prefetch_factor: int,
    num_ahead: int,
    num_kept: int,
) -> None:
    """Those ahead, the one in the making, the consumer's last one, and those that it keeps."""
    buffers = BufferCount(monkeypatch)
    loader = StreamingLoader(
        small_dataset,
        batch_size=batch_size,
        num_threads=num_threads,
        prefetch_factor=prefetch_factor,
    )
    kept: deque[torch.Tensor] = deque(maxlen=num_kept)
    counts = []
    for _ in range(20):
        for batch in loader:
            counts.append(buffers())
            kept.append(batch["image"])
    assert max(counts) <= num_ahead + 2 + num_kept
    kept.clear()
    del batch
    gc.collect()
    assert buffers() <= num_ahead + 2  # those that are kept for the next epoch


def test_a_consumer_that_keeps_every_batch(
    small_dataset: ShardedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has memory of its own, with the pixels that belong there."""
    buffers = BufferCount(monkeypatch)
    expected = [Decode().decode(sample.to_dict())["image"] for sample in small_dataset]
    loader = StreamingLoader(small_dataset, batch_size=3, num_threads=2)
    kept = [batch for _ in range(5) for batch in loader]
    assert len({batch["image"].untyped_storage().data_ptr() for batch in kept}) == len(kept)
    assert buffers() >= len(kept)
    for epoch in range(5):
        found = [x for batch in kept[epoch * 8 : (epoch + 1) * 8] for x in pixels(batch)]
        assert all(map(np.array_equal, found, expected))
        assert len(found) == len(expected)


@pytest.mark.slow
def test_memory_stays_flat(small_dataset: ShardedDataset) -> None:
    """Over thousands of batches, with views of some kept for a while."""
    loader = StreamingLoader(small_dataset, batch_size=1, num_threads=2)

    def resident_mb() -> float:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    kept: list[Any] = []
    before = 0.0
    for epoch in range(100):
        for batch in loader:
            kept = [*kept[-3:], batch["image"][0]]
        if epoch == 20:
            before = resident_mb()
    assert resident_mb() - before < 20


def test_workers_use_their_memory_again(small_dataset: ShardedDataset) -> None:
    """A consumer that keeps every second batch finds them as they were, over many epochs."""
    loader = StreamingLoader(
        small_dataset, batch_size=3, num_workers=2, persistent_workers=True, prefetch_factor=1
    )
    expected = [x for b in StreamingLoader(small_dataset, batch_size=3) for x in pixels(b)]
    kept, places = [], set()
    for epoch in range(6):
        found = []
        for number, batch in enumerate(loader):
            found += pixels(batch)
            if epoch < 2:  # later, buffers that are kept are replaced
                places.add(batch["image"].untyped_storage().data_ptr())
            if epoch == 2 and number % 2:
                kept.append((batch["image"], batch["image"].clone()))
            batch["image"].mul_(1)  # the consumer's to write
            del batch
        assert all(map(np.array_equal, found, expected))
    for image, copy in kept:
        assert torch.equal(image, copy)
    assert len(places) <= 2 * 4  # each worker has four buffers, mapped once


def test_epochs_that_are_left_lose_no_memory_of_workers(small_dataset: ShardedDataset) -> None:
    """What was sent and never received is used again in the next epoch."""
    loader = StreamingLoader(
        small_dataset, batch_size=3, num_workers=2, persistent_workers=True, prefetch_factor=1
    )
    for _ in range(6):
        for _batch in loader:
            break
    places = set()
    for batch in loader:
        places.add(batch["image"].untyped_storage().data_ptr())
        del batch
    assert loader._pool is not None
    del _batch
    assert [buffers._flags.tolist() for buffers in loader._pool._buffers] == [[0] * 4] * 2
    assert len(places) <= 2 * 4


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files in /proc")
@pytest.mark.parametrize("size", [None, (8, 8)])
def test_batches_of_workers_take_few_open_files(
    mixed: ShardedDataset, size: tuple[int, int] | None
) -> None:
    """However many are kept, and however many sizes they have: a process may have a thousand."""
    options: dict[str, Any] = {"batch_size": 5, "size": size, "prefetch_factor": 1}
    loader = StreamingLoader(mixed, num_workers=1, persistent_workers=True, **options)
    expected = [x for b in StreamingLoader(mixed, **options) for x in pixels(b)]
    kept: list[dict[str, Any]] = []
    counts = []
    for _ in range(3):
        kept += loader
        counts.append(len(list(Path("/proc/self/fd").iterdir())))
    assert counts[-1] <= counts[0] + 2
    found = [picture for batch in kept for picture in pixels(batch)]
    assert all(map(np.array_equal, found, 3 * expected))


def tensor_of(sample: dict[str, Any]) -> dict[str, Any]:
    """Make a tensor of the picture, as many libraries want it."""
    return {**sample, "image": torch.from_numpy(sample["image"].astype(np.float32).T)}


def test_tensors_of_a_stage_come_from_workers(mixed: ShardedDataset) -> None:
    """As tensors, of their type."""
    options: dict[str, Any] = {"stages": [Decode(), Map(tensor_of)], "batch_size": 8}
    threads = StreamingLoader(mixed, **options)
    for batch, other in zip(threads, StreamingLoader(mixed, num_workers=1, **options), strict=True):
        assert all(image.dtype == torch.float32 for image in other["image"])
        assert all(map(torch.equal, batch["image"], other["image"]))


@pytest.mark.parametrize("stages", [[Decode()], [Decode(), Map(tensor_of)]])
def test_pictures_of_several_sizes_travel_in_one_tensor(
    mixed: ShardedDataset, stages: list[Any]
) -> None:
    """Each tensor takes an open file of the worker until it has arrived."""
    results = [*MapDataset(mixed, *stages)]
    pool = SharedPool(new_flags(1, 2)[0])
    sent = _to_shared(results, BatchMemory(pool, len(results), len(results)), pool)
    assert len(tensors_in(sent)) == 1
    again = _to_shared(results, BatchMemory(pool, len(results), len(results)), pool)
    assert len(tensors_in(again)) == 1  # another buffer
    pool._flags[:] = 0  # the consumer has dropped both
    third = _to_shared(results, BatchMemory(pool, len(results), len(results)), pool)
    assert tensors_in(third) == []  # it has them mapped


def tensors_in(value: Any) -> list[torch.Tensor]:
    """Return all tensors in lists, tuples and dicts."""
    if isinstance(value, torch.Tensor):
        return [value]
    if not isinstance(value, dict | list | tuple):
        return []
    parts = value.values() if isinstance(value, dict) else value
    return [tensor for part in parts for tensor in tensors_in(part)]


def grown(sample: dict[str, Any]) -> dict[str, Any]:
    """Make a picture of a size and a colour that depend on the key; sizes go up and down."""
    number = sum(sample["__key__"].encode())
    side = 8 * (1 + number * 7 % 5)
    return {**sample, "image": np.full((side, side, 3), number % 251, np.uint8)}


def test_buffers_that_grow_and_epochs_that_are_left(small_dataset: ShardedDataset) -> None:
    """A buffer that was mapped is replaced by a larger one; a new epoch begins with none."""
    options: dict[str, Any] = {"stages": [Decode(), Map(grown)], "batch_size": 1}
    expected = [b["image"] for b in StreamingLoader(small_dataset, **options)]
    workers = StreamingLoader(
        small_dataset, num_workers=1, persistent_workers=True, prefetch_factor=1, **options
    )
    for stop in (3, None, 7, None):
        kept = []
        for batch, image in zip(workers, expected[:stop], strict=stop is None):
            assert torch.equal(batch["image"], image)
            kept = [*kept[-1:], batch["image"]]  # the last two, so that buffers go round


def left_part(sample: dict[str, Any]) -> dict[str, Any]:
    """Keep a view of the picture beside it."""
    return {**sample, "left": sample["image"][:, :4]}


def some_bad(sample: dict[str, Any]) -> dict[str, Any]:
    """Refuse a third of the samples."""
    if sum(sample["__key__"].encode()) % 3 == 0:
        raise DecodeError("bad")
    return sample


@pytest.mark.parametrize("num_workers", [0, 1])
def test_views_that_stages_keep(small_dataset: ShardedDataset, num_workers: int) -> None:
    """Where samples are missing, pictures move; what a stage has kept of them is still theirs."""
    stages = [Decode(size=(16, 16)), Map(left_part), Map(some_bad)]
    loader = StreamingLoader(
        small_dataset, stages=stages, batch_size=8, max_skipped=99, num_workers=num_workers
    )
    for batch in loader:
        assert torch.equal(batch["image"][:, :, :, :4].permute(0, 2, 3, 1), batch["left"])
    assert len(loader.skipped) > 3


def test_a_forked_child_drops_a_batch(small_dataset: ShardedDataset) -> None:
    """Its parent still has it: the worker must not decode into that memory."""
    batches = iter(StreamingLoader(small_dataset, batch_size=1, num_workers=1, size=(16, 16)))
    batch = next(batches)
    pixels = batch["image"].clone()
    if (child := os.fork()) == 0:
        del batch
        gc.collect()
        os._exit(0)
    os.waitpid(child, 0)
    for _ in batches:
        assert torch.equal(batch["image"], pixels)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["uint8", "float32", "bool", "int64"]),
            st.lists(st.integers(0, 5), max_size=4),
        )
    )
)
def test_arrays_of_several_kinds_in_one_buffer(kinds: list[tuple[str, list[int]]]) -> None:
    """They lie side by side."""
    arrays = [np.full(shape, i % 2, dtype) for i, (dtype, shape) in enumerate(kinds)]
    layout = Layout.of(arrays)
    buffer = np.zeros(layout.num_bytes, np.uint8)
    for view, array in zip(layout.views(buffer), arrays, strict=True):
        view[...] = array
    for view, array in zip(layout.views(buffer), arrays, strict=True):
        assert (view.dtype, view.shape) == (array.dtype, array.shape)
        assert np.array_equal(view, array)


def test_a_buffer_comes_back_when_its_last_view_is_gone() -> None:
    """Not before, and once."""
    back: list[Any] = []
    raw = np.zeros(24, dtype=np.uint8)
    tensor, array = lease(raw, back.append)
    views = [array.reshape(2, 3, 4)[1][::2].T, tensor.view(4, 6)[2]]
    del tensor, array
    gc.collect()
    assert back == []
    views[0][:] = 7
    assert raw.sum() == 7 * views[0].size
    while views:
        assert back == []
        views.pop()
    assert len(back) == 1
    assert back[0] is raw


def test_a_pool_pickles_as_an_empty_one() -> None:
    """Buffers do not travel."""
    pool = MemoryPool(3)
    pool.take(10)
    assert len(pool._free) == 1
    copy = pickle.loads(pickle.dumps(pool))
    assert (copy.max_free, len(copy._free)) == (3, 0)


def test_slots_are_left_out_for_a_while_where_they_do_not_fit() -> None:
    """Longer each time; one batch that fits ends it."""
    pool = MemoryPool(1)
    used = []
    for _ in range(12):
        memory = BatchMemory(pool, 2, 2)
        slot = memory.slot(0)
        used.append(slot is not None)
        if slot is not None:
            slot(2, 2)
        memory.stack([np.zeros((2, 2, 3), np.uint8)] * 2)
    assert used == [True, False, True, *[False] * 3, True, *[False] * 5]


def test_an_interrupt_ends_the_threads(small_root: Path) -> None:
    """Ctrl-C in the loop: KeyboardInterrupt, no thread left, and the interpreter ends."""
    code = (
        "import threading, time, vrs_wds as vw\n"
        "def ours():\n"
        "    return [t for t in threading.enumerate() if t.name.startswith('vrs_wds')]\n"
        f"loader = vw.StreamingLoader({str(small_root)!r}, batch_size=2, num_threads=3)\n"
        "try:\n"
        "    for number in range(10**9):\n"
        "        for batch in loader:\n"
        "            if number == 2: print('running', flush=True)\n"
        "except KeyboardInterrupt:\n"
        "    del loader\n"
        # It may come while one is started, or joined: these end all the same, a little later.
        "    deadline = time.monotonic() + 20\n"
        "    while ours() and time.monotonic() < deadline: time.sleep(0.01)\n"
        "    print('left', ours(), flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)

    assert (process.returncode, err) == (0, "")
    assert out.splitlines()[-1] == "left []"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="pinned memory needs a CUDA device")
def test_pinned_memory(small_dataset: ShardedDataset) -> None:
    """Pictures are decoded into pinned memory."""
    expected = [x for b in StreamingLoader(small_dataset, batch_size=4) for x in pixels(b)]
    loader = StreamingLoader(small_dataset, batch_size=4, pin_memory=True)
    for _ in range(3):
        found = []
        for batch in loader:
            assert batch["image"].is_pinned()
            found.append(batch["image"].to("cuda", non_blocking=True))
            del batch
        pictures = [x for images in found for x in pixels({"image": images.cpu()})]
        assert all(map(np.array_equal, pictures, expected))
