"""Data that many tests share: a small dataset, written once, and the real pictures."""

import importlib
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import torch
from hypothesis import settings

from vrs_wds.images.encode import encode_rgb
from vrs_wds.pipeline import device_decode, device_picture
from vrs_wds.reader.dataset import ShardedDataset
from vrs_wds.reader.open import open_dataset
from vrs_wds.sample import SourceSample
from vrs_wds.writer.options import ShardConfig, ShardOptions
from vrs_wds.writer.write import write_shards

pytest.register_assert_rewrite("vrs_wds.testing.stores")
pytest_plugins = [
    "tests.servers.moto",
    "tests.servers.fake_gcs",
    "tests.servers.radosgw",
    "tests.servers.azurite",
]

# Property tests give the same examples each time, however long they take.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


# What a shell starts in the background ignores Ctrl-C, and so would the processes that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real pictures and records, which only some machines have."""
    if not SHARED_DATA.is_dir():
        pytest.skip("REAL DATA MISSING: there is no shared/data folder beside the checkout")
    return SHARED_DATA


class SmallSource:
    """Small pictures with annotations for some tasks; a `Source` that pickles.

    Every third sample has no vqa sidecar, every second no detection sidecar: sparse, as real
    datasets are. Names need escaping now and then.
    """

    def __init__(self, length: int = 23) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, number: int) -> SourceSample:
        return small_sample(number)


def small_sample(number: int) -> SourceSample:
    """Return a sample: 24 x 16 pixels, and two or three sidecars."""
    image = np.random.default_rng(number).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    annotations: dict[str, object] = {"captioning": {"captions": [f"Picture {number}"]}}
    if number % 3:
        annotations["vqa"] = {
            "qa_pairs": [
                {"question": f"Which of {i}?", "answer": str(number), "type": "number"}
                for i in range(number % 4)
            ]
        }
    if number % 2:
        label = "ship" if number % 4 == 1 else "car"
        objects = [
            {"object_id": i, "label": label, "box": [i, 1, i + 4, 9]} for i in range(number % 5)
        ]
        annotations["detection"] = {"objects": objects}
    name = f"tile.{number} ü" if number % 10 == 9 else f"tile_{number:04d}"
    return SourceSample(
        name=name,
        image=encode_rgb(image, "png"),
        extension="png",
        annotations=annotations,
        origin=f"picture {number}",
    )


@pytest.fixture
def small_source() -> SmallSource:
    """23 small samples."""
    return SmallSource()


SMALL_CONFIG = ShardConfig(shards=ShardOptions(max_samples=7))


@pytest.fixture(scope="session")
def small_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 23 samples in four shards. Tests that change files copy it."""
    root = tmp_path_factory.mktemp("small")
    write_shards(SmallSource(), root, split="train", config=SMALL_CONFIG)
    return root


@pytest.fixture
def small_dataset(small_root: Path) -> ShardedDataset:
    """The small dataset, opened."""
    return open_dataset(small_root, "train")


@pytest.fixture
def small_samples(small_source: SmallSource) -> Sequence[SourceSample]:
    """The samples of the small dataset, as the source gives them."""
    return [small_source[i] for i in range(len(small_source))]


@pytest.fixture
def config() -> ShardConfig:
    """Options that give shards of seven samples."""
    return SMALL_CONFIG


@pytest.fixture(scope="session")
def mini_root(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """The 50 real tiles, written as shards: 38 for train, 12 for val."""
    from vrs_wds.sources.vrsbench.source import VRSBenchSource

    root = tmp_path_factory.mktemp("mini")
    for split in ("train", "val"):
        source = VRSBenchSource(shared_data / "vrsbench_mini", split)
        small = ShardConfig(shards=ShardOptions(max_samples=10))
        write_shards(source, root, split=split, config=small)
    return root


@dataclass
class StandInDevice:
    """A decoder on the CPU in place of nvJPEG, and what it was asked."""

    decode: Callable[[list[torch.Tensor]], list[torch.Tensor]]
    refused: set[bytes] = field(default_factory=set)
    """Files that it does not take."""
    calls: list[int] = field(default_factory=list)
    """How many files each call had."""
    threads: set[str] = field(default_factory=set)
    """Names of the threads that called it."""

    def __call__(self, files: list[torch.Tensor]) -> list[torch.Tensor]:
        """Decode as nvJPEG would: all files or none."""
        self.calls.append(len(files))
        self.threads.add(threading.current_thread().name)
        if any(bytes(file.numpy()) in self.refused for file in files):
            raise RuntimeError("nvjpegDecode failed: 8")
        return self.decode(files)


def decode_by_simplejpeg(files: list[torch.Tensor]) -> list[torch.Tensor]:
    """Decode each file; errors are of the class that torchcodec raises."""
    try:
        return [
            torch.from_numpy(simplejpeg.decode_jpeg(file.numpy(), "RGB")).permute(2, 0, 1)
            for file in files
        ]
    except ValueError as error:
        raise RuntimeError(str(error)) from error


@pytest.fixture
def stand_in_device(monkeypatch: pytest.MonkeyPatch) -> StandInDevice:
    """Let `Decode(device="cuda")` run without a GPU: all but nvJPEG itself is as there.

    torchcodec decodes on the CPU, where it is installed.
    """
    try:
        decode = importlib.import_module("torchcodec.decoders").decode_jpeg
    except ImportError:
        decode = decode_by_simplejpeg
    device = StandInDevice(decode)
    opened = device_decode.OpenDevice(torch.device("cpu"), device)
    monkeypatch.setattr(device_picture, "require_nvjpeg", lambda number: None)
    monkeypatch.setattr(device_decode, "open_device", lambda name: opened)
    return device
