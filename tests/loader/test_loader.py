"""`StreamingLoader`."""

import copy
import gc
import json
import math
import pickle
import shutil
import subprocess
import sys
import threading
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from vrs_wds.errors import (
    ChecksumMismatch,
    ConfigError,
    DecodeError,
    ShardTruncated,
    StorageError,
    TooManyBadSamples,
    UnknownTaskError,
)
from vrs_wds.loader.loader import StreamingLoader
from vrs_wds.loader.stream import stream
from vrs_wds.order.world import World
from vrs_wds.pipeline.crop_regions import CropRegions
from vrs_wds.pipeline.decode import Decode
from vrs_wds.pipeline.map import Map
from vrs_wds.pipeline.ragged import Ragged
from vrs_wds.pipeline.select import Select
from vrs_wds.pipeline.shuffle import Shuffle
from vrs_wds.pipeline.targets import Targets
from vrs_wds.pipeline.tile import Tile
from vrs_wds.reader.dataset import ShardedDataset
from vrs_wds.reader.open import open_dataset
from vrs_wds.storage.local import LocalStore
from vrs_wds.storage.reading import FAR
from vrs_wds.tasks.targets import get_task_targets

TASKS = ["captioning", "detection", "vqa", "all", None]


def keys(loader: StreamingLoader) -> list[list[str]]:
    """Return the keys of each batch of an epoch."""
    return [batch["__key__"] for batch in loader]


def plain(value: Any) -> Any:
    """Return a batch with tensors as lists, to compare it."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, Ragged):
        return [plain(row) for row in value]
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return value


@pytest.mark.parametrize("task", TASKS)
def test_batches_for_every_task(small_dataset: ShardedDataset, task: str | None) -> None:
    """Images stacked, targets, keys, and metas that `get_task_targets` takes."""
    loader = StreamingLoader(small_dataset, task=task, batch_size=5)
    batches = list(loader)

    assert len(batches) == len(loader) == 5
    assert [len(batch["__key__"]) for batch in batches] == [5, 5, 5, 5, 3]
    assert batches[0]["image"].shape == (5, 3, 16, 24)
    assert batches[0]["image"].dtype == torch.uint8
    assert batches[0]["image"].is_contiguous(memory_format=torch.channels_last)
    assert ("target" in batches[0]) == (task is not None)
    assert [key for batch in batches for key in batch["__key__"]] == small_dataset.column("key")
    if task == "vqa":
        pairs = get_task_targets(batches[0]["metas"], "vqa")
        questions = batches[0]["target"]["questions"]
        assert [len(rows) for rows in pairs] == questions.lengths.tolist() == [0, 1, 2, 0, 0]


def test_a_task_that_the_dataset_lacks(small_dataset: ShardedDataset) -> None:
    """Is an error at once, not empty targets for days."""
    with pytest.raises(UnknownTaskError, match=r"'grounding' is not .*captioning, detection, vqa"):
        StreamingLoader(small_dataset, task="grounding")


def test_the_picture_is_the_one_that_was_written(small_dataset: ShardedDataset) -> None:
    """Pixel by pixel, in RGB."""
    from vrs_wds.images.decode import decode_rgb

    for batch in StreamingLoader(small_dataset, batch_size=4):
        for key, image in zip(batch["__key__"], batch["image"], strict=True):
            expected = decode_rgb(small_dataset[key]["png"], where="")
            assert (image.permute(1, 2, 0).numpy() == expected).all()


def test_equal_batches_for_any_number_of_workers_and_threads(
    small_dataset: ShardedDataset,
) -> None:
    """Processes and threads divide the work, and change nothing."""
    options = {"task": "all", "batch_size": 4, "shuffle": True, "window": 9, "size": (12, 8)}
    expected = [plain(batch) for batch in StreamingLoader(small_dataset, **options)]

    for more in ({"num_threads": 1}, {"num_threads": 7}, {"num_workers": 2}):
        found = [plain(batch) for batch in StreamingLoader(small_dataset, **options, **more)]
        assert found == expected, more


def test_epochs_have_orders_of_their_own(small_dataset: ShardedDataset) -> None:
    """Each iteration is the next epoch; `set_epoch` goes back to one; workers may live on."""
    loader = StreamingLoader(small_dataset, batch_size=4, shuffle=True, seed=3)
    first, second = keys(loader), keys(loader)
    loader.set_epoch(0)

    assert first != second
    assert keys(loader) == first
    assert sorted(key for batch in first for key in batch) == sorted(small_dataset.column("key"))
    alive = StreamingLoader(
        small_dataset,
        batch_size=4,
        shuffle=True,
        seed=3,
        num_workers=1,
        persistent_workers=True,
    )
    assert [keys(alive), keys(alive)] == [first, second]


def test_a_last_batch_that_is_not_full(small_dataset: ShardedDataset) -> None:
    """Kept by default; dropped on request; `len` says how many there are."""
    for drop_last, expected in ((False, 3), (True, 2)):
        loader = StreamingLoader(small_dataset, batch_size=10, drop_last=drop_last)
        assert len(loader) == len(keys(loader)) == expected


def test_ranks_get_equal_numbers_of_batches(small_dataset: ShardedDataset) -> None:
    """And together every sample."""
    loaders = [
        StreamingLoader(small_dataset, batch_size=3, world=World(rank, 4), shuffle=True)
        for rank in range(4)
    ]
    batches = [keys(loader) for loader in loaders]

    assert {len(rank) for rank in batches} == {len(loaders[0])} == {2}
    assert {key for rank in batches for batch in rank for key in batch} == set(
        small_dataset.column("key")
    )


@pytest.mark.parametrize("tail", ["exact", "pad", "wrap"])
def test_the_mask_tells_repeated_samples(small_dataset: ShardedDataset, tail: Any) -> None:
    """One rank of two: 23 samples make 12 and 11; each is real once over both."""
    real: list[str] = []
    for rank in range(2):
        options = {"batch_size": 4, "tail": tail, "world": World(rank, 2), "shuffle": True}
        batches = list(StreamingLoader(small_dataset, **options))
        assert [len(batch["mask"]) for batch in batches] == [4, 4, 4]
        for batch in batches:
            real += [k for k, m in zip(batch["__key__"], batch["mask"], strict=True) if m]

    assert sorted(real) == sorted(small_dataset.column("key"))


def test_selections_and_folders_are_loaded(small_root: Path, small_dataset: ShardedDataset) -> None:
    """By address, or a selection of the index."""
    selected = small_dataset.select(tasks=["vqa"])

    assert keys(StreamingLoader(small_root, batch_size=30)) == [small_dataset.column("key")]
    assert keys(StreamingLoader(selected, batch_size=30)) == [selected.column("key")]


def test_only_needed_members_are_read(small_dataset: ShardedDataset) -> None:
    """A task's own sidecar, meta.json and the image."""
    loader = StreamingLoader(small_dataset, task="vqa", batch_size=4)

    assert loader._reader.extensions == ("vqa.json", "meta.json", "png")
    assert set(next(iter(loader))["metas"][0]) == {"__key__", "__url__", "meta", "vqa"}


def double(sample: dict[str, Any]) -> dict[str, Any]:
    """Add a number to a sample; importable, so that workers can use it."""
    return {**sample, "number": 2 * sample["meta"].width}


def is_even(sample: dict[str, Any]) -> bool:
    """Keep samples with an even number in their names."""
    return int(sample["__key__"][-1]) % 2 == 0


@pytest.mark.parametrize("num_workers", [0, 2])
def test_own_stages(small_dataset: ShardedDataset, num_workers: int) -> None:
    """Sample stages, then stream stages; lengths are unknown when samples come or go."""
    stages = [Decode(), Map(double), Select(is_even), Tile(size=(12, 16)), Shuffle(5)]
    part = small_dataset[:9]
    loader = StreamingLoader(part, stages=stages, batch_size=3, num_workers=num_workers)
    batches = list(loader)

    assert sum(len(batch["__key__"]) for batch in batches) == 10  # 5 samples, two tiles each
    assert batches[0]["image"].shape == (3, 3, 16, 12)
    assert batches[0]["number"].tolist() == [48, 48, 48]
    with pytest.raises(TypeError, match=r"not known beforehand: Select"):
        len(loader)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size: expected at least 1"),
        ({"num_workers": -1}, "num_workers: expected at least 0"),
        ({"num_threads": 0}, "num_threads: expected at least 1"),
        ({"num_workers": 1, "num_threads": 2}, "num_threads: worker processes run one"),
        ({"prefetch_factor": 0}, "prefetch_factor: expected at least 1"),
        ({"persistent_workers": True}, "persistent_workers: there are none"),
        ({"max_skipped": -1}, "max_skipped: expected at least 0"),
        ({"num_workers": "2"}, "num_workers: expected a whole number, got '2'"),
        ({"num_workers": 1.5}, "num_workers: expected a whole number, got 1.5"),
        ({"num_threads": 1.5}, "num_threads: expected a whole number"),
        ({"prefetch_factor": None}, "prefetch_factor: expected a whole number"),
        ({"max_skipped": "a"}, "max_skipped: expected a whole number"),
        ({"read_ahead_bytes": "1MiB"}, "read_ahead_bytes: expected a whole number"),
        ({"shuffle": "yes"}, "shuffle: expected True or False, got 'yes'"),
        ({"persistent_workers": "no"}, "persistent_workers: expected True or False"),
        ({"drop_last": "no"}, "drop_last: expected True or False"),
        ({"world": (0, 2)}, r"world: expected vrs_wds.World\(rank, world_size\), got \(0, 2\)"),
        ({"stages": Decode()}, "stages: expected a list of stages, got Decode"),
        ({"stages": [Decode]}, r"got the class Decode: write Decode\(...\)"),
        ({"quarantine": "/no/such/folder/bad.jsonl"}, "quarantine: .* there is no such folder"),
        ({"quarantine": "/tmp"}, "quarantine: .* is a folder"),
        ({"window": -1}, "window: expected at least 0"),
        ({"seed": -1}, "seed: expected at least 0"),
        ({"size": (0, 3)}, r"size: expected \(width, height\)"),
        ({"stages": [Decode()], "task": "vqa"}, "task: stages are given"),
        ({"stages": [3]}, "stages: expected callables"),
        ({"num_streams": 0}, "num_streams: expected at least 1"),
        ({"tail": "keep"}, "tail: expected one of exact, drop, pad, wrap"),
        ({"tail": "pad", "drop_last": True}, "drop_last: contradicts tail='pad'"),
        ({"images": "x"}, "images: expected 'list' or 'padded'"),
        ({"ragged": "x"}, "ragged: expected 'packed' or 'list'"),
        ({"split": "val"}, "split: the dataset given is 'train', not 'val'"),
    ],
)
def test_options_that_do_not_fit(
    small_dataset: ShardedDataset, options: dict[str, Any], message: str
) -> None:
    """Refused at once, with the reason."""
    with pytest.raises(ConfigError, match=message):
        StreamingLoader(small_dataset, **options)


def test_stages_that_do_not_pickle_need_no_workers(small_dataset: ShardedDataset) -> None:
    """The error says the way out."""
    stages = [Decode(), Map(lambda sample: sample)]
    assert len(keys(StreamingLoader(small_dataset, stages=stages, batch_size=8))) == 3
    loader = StreamingLoader(small_dataset, stages=stages, batch_size=8, num_workers=1)
    with pytest.raises(ConfigError, match="instead of lambdas, or num_workers=0"):
        next(iter(loader))


def our_threads() -> list[threading.Thread]:
    """Return the threads of loaders that live."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("vrs_wds")]


def test_no_thread_is_left(small_dataset: ShardedDataset) -> None:
    """After an epoch, a break, an exception in the consumer."""
    loader = StreamingLoader(small_dataset, batch_size=1, num_threads=3)
    for _ in loader:
        pass
    assert our_threads() == []

    iterator = iter(loader)
    next(iterator)
    assert our_threads()
    iterator.close()
    assert our_threads() == []


def fail(sample: dict[str, Any]) -> dict[str, Any]:
    """Fail as a mistake in code does."""
    raise ZeroDivisionError(sample["__key__"])


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_bug_in_a_stage_is_raised_and_names_the_sample(
    small_dataset: ShardedDataset, num_workers: int
) -> None:
    """Never skipped, whatever the budget."""
    loader = StreamingLoader(
        small_dataset, stages=[Decode(), Map(fail)], num_workers=num_workers, max_skipped=1000
    )
    with pytest.raises(ZeroDivisionError) as caught:
        next(iter(loader))

    text = str(caught.value) + "".join(getattr(caught.value, "__notes__", []))
    assert "tile_0000" in text
    if num_workers == 0:
        assert "train-000000.tar: sample 'tile_0000'" in text


@pytest.fixture
def damaged(small_root: Path, tmp_path: Path) -> Path:
    """A copy with two damaged pictures, and a third shard that is cut."""
    root = Path(shutil.copytree(small_root, tmp_path / "damaged"))
    dataset = open_dataset(root)
    for number in (2, 9):
        shard = int(dataset.column("png:shard")[number])
        path = root / f"train-{shard:06d}.tar"
        data = bytearray(path.read_bytes())
        data[dataset.column("png:offset")[number] + 40] ^= 255
        path.write_bytes(data)
    path = root / "train-000002.tar"
    path.write_bytes(path.read_bytes()[: dataset.column("offset")[19]])
    return root


@pytest.mark.parametrize("num_workers", [0, 1])
def test_bad_samples_are_raised_by_default(damaged: Path, num_workers: int) -> None:
    """With their own error, that names shard, key and member."""
    with pytest.raises(ChecksumMismatch, match=r"train-000000\.tar: sample 'tile_0002'"):
        list(StreamingLoader(damaged, batch_size=4, num_workers=num_workers))


def test_any_number_of_bad_samples_may_be_skipped(damaged: Path) -> None:
    """As many as there are."""
    loader = StreamingLoader(damaged, max_skipped=math.inf)
    found = [key for batch in keys(loader) for key in batch]

    assert loader.skipped
    assert len({*found}) + len(loader.skipped) == len(loader.dataset)


def test_a_quarantine_that_cannot_be_written_any_more(damaged: Path, tmp_path: Path) -> None:
    """Is one clear error, which holds what could not be written."""
    folder = tmp_path / "folder"
    folder.mkdir()
    loader = StreamingLoader(damaged, max_skipped=4, quarantine=folder / "bad.jsonl")
    folder.rmdir()

    with pytest.raises(StorageError, match=r"quarantine: .*cannot be written.*'tile_0002'"):
        keys(loader)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_bad_samples_are_skipped_within_a_budget(
    damaged: Path, tmp_path: Path, num_workers: int
) -> None:
    """Counted, named, written down; every good sample comes through."""
    quarantine = tmp_path / "bad.jsonl"
    loader = StreamingLoader(
        damaged, batch_size=4, max_skipped=4, quarantine=quarantine, num_workers=num_workers
    )
    found = [key for batch in keys(loader) for key in batch]
    names = open_dataset(damaged).column("key")
    bad = [names[i] for i in (2, 9, 19, 20)]

    assert found == [name for name in names if name not in bad]
    assert [skip.key for skip in loader.skipped] == bad
    records = [json.loads(line) for line in quarantine.read_text().splitlines()]
    assert [record["key"] for record in records] == bad
    assert {record["error"] for record in records} == {"ChecksumMismatch", "ShardTruncated"}
    assert "train-000002.tar" in records[-1]["message"]
    assert [record["url"].rpartition("/")[2] for record in records] == [
        f"train-{shard:06d}.tar" for shard in (0, 1, 2, 2)
    ]


def test_more_bad_samples_than_allowed(damaged: Path) -> None:
    """The message counts and names them."""
    with pytest.raises(TooManyBadSamples, match="4 bad samples, expected at most 3") as caught:
        list(StreamingLoader(damaged, batch_size=4, max_skipped=3))

    assert isinstance(caught.value.__cause__, ShardTruncated)
    assert "'tile_0002'" in str(caught.value)


def test_a_picture_that_does_not_decode_is_a_bad_sample(tmp_path: Path) -> None:
    """Its error names shard, key and member."""
    import io

    import numpy as np
    from PIL import Image

    from vrs_wds.sample import SourceSample
    from vrs_wds.writer.write import write_shards

    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "JPEG")
    write_shards([SourceSample("a", buffer.getvalue()[:2000], "jpg")], tmp_path, split="x")

    with pytest.raises(DecodeError, match=r"x-000000\.tar: sample 'a': member 'jpg'"):
        list(StreamingLoader(tmp_path))


def test_a_loader_made_before_the_ranks_were_known_is_refused(
    small_dataset: ShardedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every rank would give every sample; a world that is given is believed."""
    early = StreamingLoader(small_dataset, stages=[])
    given = StreamingLoader(small_dataset, stages=[], world=World())
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")

    with pytest.raises(
        ConfigError, match=r"made as rank 0 of 1, but this is rank 1 of 2\. Make it"
    ):
        iter(early)
    assert len(list(given)) == 23
    assert len(list(StreamingLoader(small_dataset, stages=[]))) == 12


def test_repr_names_dataset_order_and_stages(small_dataset: ShardedDataset) -> None:
    """As a list of what happens to a sample; as HTML too."""
    loader = StreamingLoader(small_dataset, task="vqa", batch_size=4, shuffle=True)

    for part in (
        "epoch 0, shuffled, seed 0",
        "ShardedDataset",
        "Decode(tasks='vqa')",
        "Targets(task='vqa')",
        "Batch(batch_size=4)",
    ):
        assert part in repr(loader)
    assert "<li>" in loader._repr_html_()


class CountingDecode(Decode):
    """Decodes, and remembers which samples."""

    decoded: ClassVar[list[str]] = []

    def apply(self, sample: dict[str, Any], /) -> Any:
        """Decode one sample."""
        CountingDecode.decoded.append(sample["__key__"])
        return super().apply(sample)


@pytest.mark.parametrize("num_threads", [1, 4])
@pytest.mark.parametrize("shuffle", [False, True])
def test_an_example_for_each_question(
    small_dataset: ShardedDataset, num_threads: int, shuffle: bool
) -> None:
    """Each question of each sample once, each picture decoded once, lengths known beforehand."""
    columns = map(small_dataset.column, ("key", "vqa_count"))
    counts = {key: max(0, n) for key, n in zip(*columns, strict=True)}
    CountingDecode.decoded.clear()
    loader = StreamingLoader(
        small_dataset,
        stages=[CountingDecode(tasks="vqa"), Targets("vqa")],
        per="question",
        batch_size=4,
        shuffle=shuffle,
        num_threads=num_threads,
    )
    batches = list(loader)
    found = [
        (key, int(item))
        for batch in batches
        for key, item in zip(batch["__key__"], batch["__item__"], strict=True)
    ]

    assert sorted(found) == sorted((key, i) for key, n in counts.items() for i in range(n))
    assert len(batches) == len(loader) == -(-sum(counts.values()) // 4)
    assert all((batch["target"]["questions"].lengths == 1).all() for batch in batches)
    assert sorted(CountingDecode.decoded) == sorted(key for key, n in counts.items() if n)
    for batch in batches:
        for i, key in enumerate(batch["__key__"]):
            sidecar = small_dataset.metadata(key)["vqa"]
            expected = sidecar.qa_pairs[int(batch["__item__"][i])].question
            assert batch["target"]["questions"][i] == [expected]


@pytest.mark.parametrize(("per", "task"), [("object", "detection"), ("caption", "captioning")])
def test_an_example_for_each_object_or_caption(
    small_dataset: ShardedDataset, per: str, task: str
) -> None:
    """The same batches from processes as from threads; resumable."""
    options = {"task": task, "per": per, "batch_size": 4, "shuffle": True, "size": (8, 8)}
    expected = [plain(batch) for batch in StreamingLoader(small_dataset, **options)]
    loader = StreamingLoader(small_dataset, **options)
    next(iter(loader))
    resumed = StreamingLoader(small_dataset, **options, num_workers=2)
    resumed.load_state_dict(loader.state_dict())

    assert [plain(batch) for batch in resumed] == expected[1:]


def test_examples_need_their_task(small_dataset: ShardedDataset) -> None:
    """Whatever is missing, the message says it."""
    for options, message in (
        ({"per": "word"}, "per: expected image, caption, expression, object, question"),
        ({"per": "question", "task": "detection"}, "takes the sidecar of task 'vqa' apart"),
        ({"per": "question", "stages": []}, "must be Decode"),
    ):
        with pytest.raises(ConfigError, match=message):
            StreamingLoader(small_dataset, **options)
    with pytest.raises(UnknownTaskError, match="'grounding' is not among"):
        StreamingLoader(small_dataset, per="expression", task="grounding")


def run_script(code: str, *, interactive: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own; interactive: as a prompt or a notebook does."""
    command = [sys.executable, "-c", code] if interactive else [sys.executable, "-"]
    return subprocess.run(
        command, input=None if interactive else code, capture_output=True, text=True, timeout=120
    )


@pytest.mark.slow
def test_a_daemon_thread_that_loads_ends_quietly(small_root: Path) -> None:
    """The interpreter goes down while it asks for the next batches."""
    result = run_script(
        "import threading, vrs_wds as vw\n"
        f"loader = vw.StreamingLoader({str(small_root)!r}, batch_size=2)\n"
        "begun = threading.Event()\n"
        "def load():\n"
        "    while True:\n"
        "        for batch in loader:\n"
        "            begun.set()\n"
        "threading.Thread(target=load, daemon=True).start()\n"
        "begun.wait()"
    )

    assert (result.returncode, result.stderr) == (0, "")


def test_leaving_in_mid_epoch_ends_quietly(small_root: Path) -> None:
    """An iterator that is still alive when the interpreter exits says nothing."""
    result = run_script(
        "import vrs_wds as vw\n"
        f"iterator = iter(vw.StreamingLoader({str(small_root)!r}, batch_size=2))\n"
        "next(iterator)"
    )

    assert (result.returncode, result.stderr) == (0, "")


def test_functions_of_a_notebook_need_no_workers(small_root: Path) -> None:
    """The message says so, instead of a worker that dies."""
    result = run_script(
        "import vrs_wds as vw\n"
        "def f(sample): return sample\n"
        "stages = [vw.Decode(), vw.Map(f)]\n"
        f"loader = vw.StreamingLoader({str(small_root)!r}, stages=stages, num_workers=1)\n"
        "next(iter(loader))",
        interactive=True,
    )

    assert "made in a notebook or at a prompt" in result.stderr.splitlines()[-1]


def to_tensor(sample: dict[str, Any]) -> dict[str, Any]:
    """Make the picture a tensor (C, H, W), as torchvision does."""
    return {**sample, "image": torch.from_numpy(sample["image"]).permute(2, 0, 1) / 255}


def test_pictures_that_a_stage_made_tensors(small_dataset: ShardedDataset) -> None:
    """They are stacked as they are; what is neither is an error."""
    loader = StreamingLoader(small_dataset, stages=[Decode(), Map(to_tensor)], batch_size=4)
    batch = next(iter(loader))

    assert batch["image"].shape == (4, 3, 16, 24)
    assert batch["image"].dtype == torch.float32
    grey = Map(lambda sample: {**sample, "image": sample["image"][..., 0]})
    with pytest.raises(
        TypeError, match=r"image: expected arrays .* got ndarray of shape \(16, 24\)"
    ):
        next(iter(StreamingLoader(small_dataset, stages=[Decode(), grey], batch_size=4)))


def test_mistakes_are_not_skipped(small_dataset: ShardedDataset) -> None:
    """A function that gives nothing, a sample decoded twice: whatever the budget."""
    for stages, message in (
        ([Decode(), Map(lambda sample: None)], "Map.*expected a sample, got None"),
        ([Decode(), Decode()], "was decoded before"),
    ):
        with pytest.raises(TypeError, match=message):
            next(iter(StreamingLoader(small_dataset, stages=stages, max_skipped=100)))


def test_a_scripts_own_task_reaches_its_workers(tmp_path: Path) -> None:
    """Registered in the main part, which workers do not run."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, msgspec, numpy as np, vrs_wds as vw\n"
        "from vrs_wds.images.encode import encode_rgb\n"
        "class Weather(msgspec.Struct, frozen=True):\n"
        "    clouds: float\n"
        "class WeatherTask(vw.Task[Weather]):\n"
        "    name, schema = 'weather', Weather\n"
        "    def empty(self): return Weather(0.0)\n"
        "    def count(self, sidecar): return 1\n"
        "    def target(self, sidecar, size_wh, options): return sidecar.clouds\n"
        "    plain_target = target\n"
        "if __name__ == '__main__':\n"
        "    vw.register_task(WeatherTask())\n"
        "    png = encode_rgb(np.zeros((4, 4, 3), np.uint8), 'png')\n"
        "    sample = vw.SourceSample('a', png, 'png', {'weather': {'clouds': 0.5}})\n"
        "    vw.write_shards([sample], sys.argv[1], split='train')\n"
        "    loader = vw.StreamingLoader(sys.argv[1], task='weather', num_workers=1)\n"
        "    print(next(iter(loader))['target'].tolist())\n"
    )
    command = [sys.executable, str(script), str(tmp_path / "out")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)

    assert (result.stdout, result.stderr) == ("[0.5]\n", "")


def mirrored(sample: dict[str, Any]) -> dict[str, Any]:
    """Mirror the picture: an array with a negative stride."""
    return {**sample, "image": sample["image"][:, ::-1]}


def test_pictures_with_negative_strides_travel(small_dataset: ShardedDataset) -> None:
    """The same from workers as from threads."""
    stages = [Decode(), Map(mirrored)]
    options: dict[str, Any] = {"stages": stages, "batch_size": 8}
    expected = [plain(batch) for batch in StreamingLoader(small_dataset, **options)]

    found = [plain(b) for b in StreamingLoader(small_dataset, **options, num_workers=1)]
    assert found == expected


def test_persistent_workers_serve_one_iteration_at_a_time(small_dataset: ShardedDataset) -> None:
    """Two at once would share the batches out among them: an error says so."""
    loader = StreamingLoader(
        small_dataset, batch_size=4, num_workers=1, persistent_workers=True, stages=[]
    )
    first, second = iter(loader), iter(loader)
    next(first)
    next(second)
    with pytest.raises(ConfigError, match="another iteration of this loader was begun"):
        next(first)
    second.close()


def test_a_loader_with_workers_is_copied_without_them(small_dataset: ShardedDataset) -> None:
    """They live on between epochs; the copy starts its own."""
    loader = StreamingLoader(
        small_dataset, batch_size=8, num_workers=1, persistent_workers=True, stages=[]
    )
    expected = keys(loader)

    assert keys(copy.deepcopy(loader)) == keys(pickle.loads(pickle.dumps(loader))) == expected


def inverted(sample: dict[str, Any]) -> dict[str, Any]:
    """Invert the picture in place."""
    sample["image"][:] = 255 - sample["image"]
    return sample


def test_examples_of_an_image_do_not_share_its_pixels(small_dataset: ShardedDataset) -> None:
    """A stage that writes into one leaves the others alone."""
    decode = Decode(tasks="vqa")
    options: dict[str, Any] = {"per": "question", "batch_size": 50}
    (plain_batch,) = StreamingLoader(small_dataset, stages=[decode], **options)
    (batch,) = StreamingLoader(small_dataset, stages=[decode, Map(inverted)], **options)

    assert (batch["image"] == 255 - plain_batch["image"]).all()


def test_a_batch_of_bad_samples_keeps_the_step(damaged: Path) -> None:
    """A sample that was good stands in, with False in the mask."""
    loader = StreamingLoader(damaged, batch_size=1, max_skipped=10)
    masks = [batch["mask"].tolist() for batch in loader]

    assert len(masks) == len(loader) == 23
    assert [i for i, mask in enumerate(masks) if mask == [False]] == [2, 9, 19, 20]


def test_a_batch_of_bad_samples_after_resuming(damaged: Path) -> None:
    """The stand-in is the same; the search for it is not counted, also where it meets bad ones."""

    def make() -> StreamingLoader:
        return StreamingLoader(damaged, batch_size=1, max_skipped=4)

    loader, batches, states = make(), [], []
    for batch in loader:
        batches.append(plain(batch))
        states.append(loader.state_dict())
    assert [skip.key for skip in loader.skipped] == [
        open_dataset(damaged).column("key")[number] for number in (2, 9, 19, 20)
    ]

    for bad in (2, 9, 19, 20):
        resumed = make()
        resumed.load_state_dict(states[bad - 1])
        assert [plain(batch) for batch in resumed] == batches[bad:]
    last = make()
    last.load_state_dict(states[18])
    assert next(iter(last))["__key__"] == [open_dataset(damaged).column("key")[21]]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_first_batch_of_bad_samples(damaged: Path, num_workers: int) -> None:
    """Every rank makes its steps; where a rank has no good sample, it takes another's."""
    dataset = open_dataset(damaged)
    bad = dataset._selection(dataset.numbers[[2, 9, 3, 4]])
    found = []
    for rank in range(2):
        loader = StreamingLoader(bad, max_skipped=2, world=World(rank, 2), num_workers=num_workers)
        batches = [(batch["__key__"], batch["mask"].tolist()) for batch in loader]
        assert len(batches) == len(loader) == 2
        found.append([key for (key,), (real,) in batches if real])
    assert sorted(chain(*found)) == bad.column("key")[2:]

    nothing_good = StreamingLoader(
        dataset._selection(dataset.numbers[[2, 9]]), max_skipped=5, num_workers=num_workers
    )
    with pytest.raises(TooManyBadSamples, match="all 1 samples of a batch are bad"):
        next(iter(nothing_good))
    assert len(nothing_good.skipped) == 1


class FarStore(LocalStore):
    """A folder that is read as a distant server is."""

    reading = FAR


@pytest.mark.parametrize(
    "options",
    [
        {"shuffle": True, "seed": 3},
        {"per": "question", "task": "vqa", "shuffle": True},
        {"num_workers": 2},
        {"num_workers": 2, "per": "question", "task": "vqa"},
        {"read_ahead_bytes": 1},
        {"read_ahead_bytes": 0},
    ],
)
def test_a_far_store_gives_the_same_batches(small_root: Path, options: dict[str, Any]) -> None:
    """Fetched ahead, in threads and in worker processes; and no thread is left."""
    options = {"batch_size": 4, "ragged": "list", "size": (16, 16), **options}
    near = StreamingLoader(small_root, "train", **options)
    far = StreamingLoader(FarStore(small_root), "train", **options)

    assert [plain(batch) for batch in far] == [plain(batch) for batch in near]
    assert not [t for t in threading.enumerate() if t.name.startswith("vrs_wds")]


def test_a_far_loader_stops_cleanly(small_root: Path) -> None:
    """After a break, and after an error of a stage."""

    def fail(sample: dict[str, Any]) -> dict[str, Any]:
        raise RuntimeError("a bug")

    store = FarStore(small_root)
    for batch in StreamingLoader(store, "train", batch_size=2):
        assert len(batch["__key__"]) == 2
        break
    with pytest.raises(RuntimeError, match="a bug"):
        next(iter(StreamingLoader(store, "train", batch_size=2, stages=[Decode(), Map(fail)])))
    gc.collect()
    assert not [t for t in threading.enumerate() if t.name.startswith("vrs_wds")]


def test_a_far_stream_gives_the_same_samples(small_root: Path) -> None:
    """In the same order, read ahead or not."""
    near, far, plainly = (
        [sample["__key__"] for sample in stream(store, "train", shuffle=True, **options)]
        for store, options in (
            (small_root, {}),
            (FarStore(small_root), {}),
            (FarStore(small_root), {"read_ahead_bytes": 0}),
        )
    )
    assert near == far == plainly


def test_a_bad_sample_far_away_is_skipped_alone(small_root: Path, tmp_path: Path) -> None:
    """What was fetched together with it is not."""
    root = shutil.copytree(small_root, tmp_path / "far")
    dataset = open_dataset(root, "train")
    [request, *_] = dataset.members_of([2], ["meta.json"], item=0)
    shard = root / dataset.shard_names[request.shard]
    data = bytearray(shard.read_bytes())
    data[request.offset] ^= 1
    shard.write_bytes(data)

    loader = StreamingLoader(FarStore(root), "train", batch_size=4, max_skipped=1)

    assert sum(len(batch["__key__"]) for batch in loader) == len(dataset) - 1
    assert [bad.key for bad in loader.skipped] == [dataset.key_at(2)]


@pytest.mark.parametrize("options", [{}, {"per": "object", "task": None}, {"num_workers": 1}])
def test_deferred_pictures_take_no_slot(small_root: Path, options: dict[str, Any]) -> None:
    """The same crops, decoded by `Decode` or left to `CropRegions`, near or far."""

    def batches(store: Path | FarStore, *, defer: bool) -> list[Any]:
        stages = [Decode(defer=defer), CropRegions(size=(16, 16))]
        loader = StreamingLoader(
            store, "train", stages=stages, batch_size=4, ragged="list", **options
        )
        return [repr(plain(batch)) for batch in loader]

    whole = batches(small_root, defer=False)
    assert whole
    assert batches(small_root, defer=True) == whole
    assert batches(FarStore(small_root), defer=True) == whole


class Renamed:
    """A stream stage that says of itself that it keeps the number of samples."""

    one_to_one = True

    def __call__(self, samples: Any) -> Any:
        """Mark every sample."""
        for sample in samples:
            yield {**sample, "mark": 1}


def test_stream_stages_run_whatever_they_say_of_themselves(small_dataset: ShardedDataset) -> None:
    """They see the stream, so that batches cannot be planned."""
    loader = StreamingLoader(small_dataset, stages=[Decode(), Renamed()], batch_size=5)

    marks = [batch["mark"].tolist() for batch in loader]
    assert marks == [[1] * 5, [1] * 5, [1] * 5, [1] * 5, [1] * 3]
    with pytest.raises(ConfigError, match="Renamed"):
        loader.state_dict()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_what_is_selected_comes_once_on_all_ranks(
    small_dataset: ShardedDataset, num_workers: int
) -> None:
    """No sample is repeated to fill a batch up where batches are not planned."""
    found = []
    for rank in range(4):
        loader = StreamingLoader(
            small_dataset,
            stages=[Decode(), Select(bool)],
            batch_size=4,
            world=World(rank, 4),
            num_workers=num_workers,
        )
        found += [key for batch in loader for key in batch["__key__"]]

    assert sorted(found) == sorted(small_dataset.column("key"))


def test_collected_in_one_of_its_own_threads(
    small_dataset: ShardedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread cannot join itself; nothing is printed of that, and the threads end."""
    unraisable: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    given, dropped, collected = threading.Event(), threading.Event(), threading.Event()

    def collect(sample: dict[str, Any]) -> dict[str, Any]:
        if given.is_set() and not collected.is_set():
            dropped.wait(10)
            gc.collect()
            collected.set()
        return sample

    loader = StreamingLoader(
        small_dataset, batch_size=1, num_threads=1, stages=[Decode(), Map(collect)]
    )
    gc.disable()
    try:
        cycle: list[Any] = [iter(loader)]
        cycle.append(cycle)
        next(cycle[0])
        given.set()
        next(cycle[0])  # lets another sample be begun
        del cycle
        dropped.set()
        assert collected.wait(10)
    finally:
        gc.enable()
    assert [u.exc_value for u in unraisable] == []
