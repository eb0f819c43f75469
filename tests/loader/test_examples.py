"""`per=...`: several examples of one image, which is read and decoded once."""

import subprocess
import sys
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SmallSource
from vrs_wds.errors import TooManyBadSamples
from vrs_wds.loader.decoded_cache import DecodedCache
from vrs_wds.loader.executor import ChunkReader
from vrs_wds.loader.loader import StreamingLoader
from vrs_wds.order.world import World
from vrs_wds.pipeline.decode import Decode
from vrs_wds.pipeline.targets import Targets
from vrs_wds.reader.dataset import ShardedDataset
from vrs_wds.reader.open import open_dataset
from vrs_wds.writer.options import ShardConfig, ShardOptions
from vrs_wds.writer.write import write_shards

NUM_SAMPLES = 520  # eight streams of at least 64


@dataclass(frozen=True, repr=False)
class LoggedDecode(Decode):
    """Decodes, and writes down which samples; in a file, for worker processes."""

    log: str = ""

    def apply(self, sample: dict[str, Any], /) -> Any:
        """Decode one sample."""
        with Path(self.log).open("a") as file:
            file.write(sample["__key__"] + "\n")
        return super().apply(sample)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> ShardedDataset:
    """Enough samples for several streams."""
    root = tmp_path_factory.mktemp("many")
    config = ShardConfig(shards=ShardOptions(max_samples=50))
    write_shards(SmallSource(NUM_SAMPLES), root, split="train", config=config)
    return open_dataset(root)


def questions(dataset: ShardedDataset) -> dict[str, int]:
    """Return how many questions each sample has that has some."""
    columns = map(dataset.column, ("key", "vqa_count"))
    return {key: n for key, n in zip(*columns, strict=True) if n > 0}


def decoded(path: Path) -> Counter[str]:
    """Return how often each sample was decoded since the last time, and begin anew."""
    found = Counter(path.read_text().splitlines())
    path.unlink()
    return found


# A machine may have fewer cores than there are workers.
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
@pytest.mark.parametrize(
    ("batch_size", "num_streams", "workers"),
    [
        (256, 4, {"num_threads": 4}),  # a stream gives many samples in a row, others come between
        (3, 8, {"num_threads": 1}),  # an image's examples are in several batches
        (3, 8, {"num_threads": 6}),
        (40, 8, {"num_workers": 2, "persistent_workers": True}),
        (5, 8, {"num_workers": 3, "persistent_workers": True}),
    ],
)
def test_an_image_is_decoded_once_an_epoch(
    many: ShardedDataset,
    tmp_path: Path,
    batch_size: int,
    num_streams: int,
    workers: dict[str, Any],
) -> None:
    """However its examples lie; in threads and in processes, in every epoch."""
    log = tmp_path / "log"
    options: dict[str, Any] = {
        "per": "question",
        "batch_size": batch_size,
        "num_streams": num_streams,
        "shuffle": True,
    }
    stages = [LoggedDecode(tasks="vqa", size=(4, 4), log=str(log)), Targets("vqa")]
    loader = StreamingLoader(many, stages=stages, **options, **workers)
    plain = StreamingLoader(many, task="vqa", size=(4, 4), **options)

    assert loader.order.plan(0).num_streams == num_streams
    for _ in range(2):
        batches = list(loader)
        once = decoded(log)
        for batch, expected in zip(batches, plain, strict=True):
            assert batch["__key__"] == expected["__key__"]
            assert batch["__item__"].tolist() == expected["__item__"].tolist()
            assert (batch["image"] == expected["image"]).all()
        assert once == dict.fromkeys(questions(many), 1)


def test_ranks_decode_their_own_images(many: ShardedDataset, tmp_path: Path) -> None:
    """With a multiple of the ranks as streams, images are shared at the epoch's end alone."""
    log = tmp_path / "log"
    for rank in range(2):
        loader = StreamingLoader(
            many,
            stages=[LoggedDecode(tasks="vqa", size=(4, 4), log=str(log))],
            per="question",
            batch_size=4,
            num_streams=8,
            shuffle=True,
            world=World(rank, 2),
        )
        assert len(list(loader)) == len(loader)

    found = decoded(log)
    assert set(found) == set(questions(many))
    assert found.total() - len(found) <= 2 * 8  # two left-over samples a stream at most


def test_few_decoded_images_are_kept(many: ShardedDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """One for each stream, and those that are read ahead; none at the end."""
    caches: list[DecodedCache] = []
    fresh = ChunkReader.fresh

    def watched(reader: ChunkReader) -> ChunkReader:
        caches.append((made := fresh(reader)).cache)
        return made

    monkeypatch.setattr(ChunkReader, "fresh", watched)
    loader = StreamingLoader(
        many,
        task="vqa",
        size=(4, 4),
        per="question",
        batch_size=8,
        num_streams=8,
        shuffle=True,
        num_threads=1,
        prefetch_factor=1,
    )
    kept = [len(caches[-1]) for _ in loader]

    assert 1 <= max(kept) <= 8 + 2 * 8
    assert kept[-1] == 0


def test_a_cache_drops_what_was_used_up() -> None:
    """Or, beyond its size, what was asked for longest ago."""
    made: list[int] = []

    def make(keys: list[int]) -> list[str]:
        made.extend(keys)
        return [f"made of {key}" for key in keys]

    cache = DecodedCache(2)
    assert cache.get_many([1, 2], make) == {1: "made of 1", 2: "made of 2"}
    cache.release(1, uses=2, of=3)
    cache.release(2, uses=1, of=1)
    assert len(cache) == 1
    cache.get_many([1], make)
    cache.release(1, uses=1, of=3)
    assert (len(cache), made) == (0, [1, 2])

    cache.get_many([3], make)
    cache.get_many([4], make)
    cache.get_many([3, 5], make)
    cache.get_many([3], make)
    assert made == [1, 2, 3, 4, 5]
    cache.get_many([4], make)
    assert made == [1, 2, 3, 4, 5, 4]


def test_a_cache_makes_anew_what_failed() -> None:
    """An error is raised, and not kept."""

    def fail(keys: list[int]) -> list[str]:
        raise ZeroDivisionError

    cache = DecodedCache(2)
    with pytest.raises(ZeroDivisionError):
        cache.get_many([1], fail)
    assert cache.get_many([1], lambda keys: ["good"]) == {1: "good"}


def test_threads_share_what_one_of_them_makes() -> None:
    """The second one waits for the first."""
    cache, begun, go_on = DecodedCache(2), threading.Event(), threading.Event()

    def slow(keys: list[int]) -> list[str]:
        begun.set()
        assert go_on.wait(60)
        return ["slow"]

    first = threading.Thread(target=cache.get_many, args=([1], slow))
    first.start()
    assert begun.wait(60)
    threading.Timer(0.05, go_on.set).start()
    assert cache.get_many([1], lambda keys: ["again"]) == {1: "slow"}
    first.join()


@pytest.fixture
def damaged(many: ShardedDataset, tmp_path: Path) -> tuple[Path, list[str]]:
    """A copy with two damaged pictures that have three questions each; and their keys."""
    import shutil

    root = Path(shutil.copytree(many.url, tmp_path / "damaged"))
    dataset = open_dataset(root)
    counts = dataset.column("vqa_count")
    numbers = [n for n, count in enumerate(counts) if count == 3][5:7]
    for number in numbers:
        path = root / f"train-{int(dataset.column('png:shard')[number]):06d}.tar"
        data = bytearray(path.read_bytes())
        data[dataset.column("png:offset")[number] + 40] ^= 255
        path.write_bytes(data)
    return root, [dataset.key_at(number) for number in numbers]


@pytest.mark.parametrize("workers", [{"num_threads": 3}, {"num_workers": 2}])
def test_a_bad_image_counts_once(damaged: tuple[Path, list[str]], workers: dict[str, Any]) -> None:
    """Not once for each of its examples; every good example comes through."""
    root, bad = damaged
    loader = StreamingLoader(
        root, task="vqa", size=(4, 4), per="question", batch_size=3, max_skipped=2, **workers
    )
    found = Counter(
        key
        for batch in loader
        for key, real in zip(batch["__key__"], batch["mask"], strict=True)
        if real
    )

    assert [skip.key for skip in loader.skipped] == bad
    expected = questions(open_dataset(root))
    assert found == {key: n for key, n in expected.items() if key not in bad}


def test_a_bad_image_counts_again_in_another_epoch(damaged: tuple[Path, list[str]]) -> None:
    """The budget is for the whole run."""
    root, bad = damaged
    loader = StreamingLoader(
        root, task="vqa", size=(4, 4), per="question", batch_size=8, max_skipped=3
    )
    for _ in loader:
        pass
    with pytest.raises(TooManyBadSamples, match="4 bad samples, expected at most 3"):
        list(loader)

    assert [skip.key for skip in loader.skipped] == [*bad, *bad]


@pytest.mark.parametrize("tail", ["pad", "wrap"])
def test_a_bad_sample_that_is_repeated_counts_once(
    damaged: tuple[Path, list[str]], tail: Any
) -> None:
    """The last batch is filled up with samples that were there before."""
    root, bad = damaged
    dataset = open_dataset(root)
    place = dataset.column("key").index(bad[0])
    loader = StreamingLoader(
        dataset[place - 1 : place + 2], size=(4, 4), batch_size=2, tail=tail, max_skipped=1
    )

    assert len(list(loader)) == 2
    assert [skip.key for skip in loader.skipped] == bad[:1]


def test_a_scripts_own_unit_reaches_its_workers(tmp_path: Path) -> None:
    """A task that is registered in the main part may be taken apart in worker processes."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, msgspec, numpy as np, vrs_wds as vw\n"
        "from vrs_wds.images.encode import encode_rgb\n"
        "class Sky(msgspec.Struct, frozen=True):\n"
        "    clouds: list[float]\n"
        "class SkyTask(vw.Task[Sky]):\n"
        "    name, schema, unit = 'sky', Sky, 'cloud'\n"
        "    def empty(self): return Sky([])\n"
        "    def count(self, sidecar): return len(sidecar.clouds)\n"
        "    def pick(self, sidecar, number): return Sky([sidecar.clouds[number]])\n"
        "    def target(self, sidecar, size_wh, options): return sidecar.clouds[0]\n"
        "    plain_target = target\n"
        "if __name__ == '__main__':\n"
        "    vw.register_task(SkyTask())\n"
        "    png = encode_rgb(np.zeros((4, 4, 3), np.uint8), 'png')\n"
        "    sample = vw.SourceSample('a', png, 'png', {'sky': {'clouds': [0.5, 0.25]}})\n"
        "    vw.write_shards([sample], sys.argv[1], split='train')\n"
        "    loader = vw.StreamingLoader(sys.argv[1], task='sky', per='cloud', num_workers=1)\n"
        "    print([batch['target'].tolist() for batch in loader])\n"
    )
    command = [sys.executable, str(script), str(tmp_path / "out")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)

    assert (result.stdout, result.stderr) == ("[[0.5], [0.25]]\n", "")
