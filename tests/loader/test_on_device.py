"""The loader with `device`: decoded by the consumer's thread; all else as without."""

import io
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import StandInDevice
from vrs_wds.errors import ConfigError, DecodeError
from vrs_wds.images.encode import encode_rgb
from vrs_wds.loader.hf_iterable import to_hf_iterable
from vrs_wds.loader.loader import StreamingLoader
from vrs_wds.loader.map_dataset import MapDataset
from vrs_wds.loader.pinning import pin
from vrs_wds.loader.stream import stream
from vrs_wds.pipeline.batch import Batch
from vrs_wds.pipeline.collate import collate
from vrs_wds.pipeline.crop_regions import CropRegions
from vrs_wds.pipeline.decode import Decode
from vrs_wds.pipeline.map import Map
from vrs_wds.pipeline.select import Select
from vrs_wds.reader.dataset import ShardedDataset
from vrs_wds.reader.open import open_dataset
from vrs_wds.sample import SourceSample
from vrs_wds.testing.pictures import draw_picture
from vrs_wds.writer.write import write_shards

NUM_SAMPLES = 18


def sample(number: int) -> SourceSample:
    """Make a sample: every fourth is a PNG; some are turned by EXIF."""
    image = draw_picture(np.random.default_rng(number), (40, 24))
    annotations = {
        "detection": {"objects": [{"object_id": 0, "label": "ship", "box": [number, 1, 30, 20]}]},
        "vqa": {
            "qa_pairs": [
                {"question": f"{i}?", "answer": str(number), "type": "number"}
                for i in range(1 + number % 3)
            ]
        },
    }
    if number % 4 == 3:
        return SourceSample(f"p{number:02d}", encode_rgb(image, "png"), "png", annotations)
    exif = Image.Exif()
    exif[0x0112] = 3 if number % 4 == 2 else 1
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", exif=exif)
    return SourceSample(f"p{number:02d}", buffer.getvalue(), "jpg", annotations)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> ShardedDataset:
    """Pictures of one size in two formats."""
    root = tmp_path_factory.mktemp("device")
    write_shards([sample(i) for i in range(NUM_SAMPLES)], root, split="train")  # type: ignore[arg-type]
    return open_dataset(root)


def flat(batches: Any) -> list[tuple[str, bytes]]:
    """Return key and pixels of each sample."""
    return [
        (key, image.permute(1, 2, 0).numpy().tobytes())
        for batch in batches
        for key, image in zip(batch["__key__"], batch["image"], strict=True)
    ]


@pytest.mark.parametrize(
    "options", [{}, {"num_threads": 3, "shuffle": True}, {"num_workers": 2}, {"task": "detection"}]
)
def test_batches_are_those_of_the_cpu(
    stand_in_device: StandInDevice, dataset: ShardedDataset, options: dict[str, Any]
) -> None:
    """The pictures too, as the same decoder makes them; one call a batch, in this thread."""
    expected = list(StreamingLoader(dataset, batch_size=5, **options))
    loader = StreamingLoader(dataset, batch_size=5, device="cuda", **options)
    found = list(loader)
    assert flat(found) == flat(expected)
    for batch, other in zip(found, expected, strict=True):
        assert batch["image"].shape == other["image"].shape
        assert batch["metas"] == other["metas"]
        assert torch.equal(batch["mask"], other["mask"])
    if "task" in options:
        boxes = [[box.tolist() for box in b["target"]["boxes"]] for b in (found[1], expected[1])]
        assert boxes[0] == boxes[1]
    assert len(stand_in_device.calls) == len(loader)
    assert stand_in_device.threads == {threading.current_thread().name}


def test_several_examples_of_a_picture(
    stand_in_device: StandInDevice, dataset: ShardedDataset
) -> None:
    """Each batch decodes a picture once, however many examples it has in it."""
    options: dict[str, Any] = {"task": "vqa", "per": "question", "batch_size": 6}
    expected = list(StreamingLoader(dataset, **options))
    found = list(StreamingLoader(dataset, device="cuda", **options))
    assert flat(found) == flat(expected)
    assert [b["__item__"].tolist() for b in found] == [b["__item__"].tolist() for b in expected]
    jpegs = [len({k for k in b["__key__"] if int(k[1:]) % 4 != 3}) for b in found]
    assert stand_in_device.calls == jpegs


def spoil(data: bytes) -> bytes:
    """Turn the second half of a JPEG to zeros."""
    middle = len(data) // 2
    return data[:middle] + bytes(len(data) - 2 - middle) + data[-2:]


def write_spoilt(root: Path, spoilt: set[int]) -> tuple[ShardedDataset, set[bytes]]:
    """Write JPEGs of which some cannot be decoded; return their bytes too."""
    samples, refused = [], set()
    for number in range(12):
        data = encode_rgb(draw_picture(np.random.default_rng(number), (40, 24)), "jpeg", quality=95)
        if number in spoilt:
            data = spoil(data)
            refused.add(data)
        samples.append(SourceSample(f"p{number:02d}", data, "jpg"))
    write_shards(samples, root, split="train")  # type: ignore[arg-type]
    return open_dataset(root), refused


def test_bad_pictures_are_skipped_within_the_budget(
    stand_in_device: StandInDevice, tmp_path: Path
) -> None:
    """They are known only in the consumer's thread; a batch without any gets a stand-in."""
    dataset, stand_in_device.refused = write_spoilt(tmp_path, {1, 4, 5, 6, 7, 8})
    loader = StreamingLoader(dataset, device="cuda", batch_size=4, max_skipped=6)
    batches = list(loader)
    assert [batch["__key__"] for batch in batches] == [
        ["p00", "p02", "p03"],
        ["p09"],
        ["p09", "p10", "p11"],
    ]
    assert [batch["mask"].all().item() for batch in batches] == [True, False, True]
    assert sorted(bad.key for bad in loader.skipped) == ["p01", "p04", "p05", "p06", "p07", "p08"]
    assert {bad.error for bad in loader.skipped} == {"DecodeError"}
    with pytest.raises(DecodeError, match=r"sample 'p01': member 'jpg'"):
        list(StreamingLoader(dataset, device="cuda", batch_size=4))


def is_even(sample: dict[str, Any]) -> bool:
    """Say whether the key's number is even."""
    return int(sample["__key__"][1:]) % 2 == 0


def test_stages_that_change_the_number_of_samples(
    stand_in_device: StandInDevice, dataset: ShardedDataset
) -> None:
    """Stream stages after them see pixels on the device."""
    seen = []

    def look(samples: Any) -> Any:
        for one in samples:
            seen.append(tuple(one["image"].shape))
            yield one

    stages = [Decode(device="cuda", size=(10, 6)), Select(is_even), look]
    (batch,) = StreamingLoader(dataset, stages=stages, batch_size=9)
    assert batch["image"].shape == (9, 3, 6, 10)
    assert seen == [(3, 6, 10)] * 9


def test_the_loader_resumes(stand_in_device: StandInDevice, dataset: ShardedDataset) -> None:
    """A state does not depend on the device."""
    loader = StreamingLoader(dataset, device="cuda", batch_size=4, shuffle=True)
    iterator = iter(loader)
    next(iterator)
    state = loader.state_dict()
    rest = flat(iterator)
    resumed = StreamingLoader(dataset, batch_size=4, shuffle=True)
    resumed.load_state_dict(state)
    assert flat(resumed) == rest


def test_streams_and_map_datasets(stand_in_device: StandInDevice, dataset: ShardedDataset) -> None:
    """`Batch` and `collate` decode what they are given."""
    expected = flat(StreamingLoader(dataset, batch_size=4))
    assert flat(stream(dataset).compose(Decode(device="cuda"), Batch(4))) == expected
    items = MapDataset(dataset, Decode(device="cuda"))
    assert flat([collate([items[i] for i in range(NUM_SAMPLES)])]) == expected


def test_options_that_do_not_fit(stand_in_device: StandInDevice, dataset: ShardedDataset) -> None:
    """Refused when the loader is made."""
    with pytest.raises(ConfigError, match="device: stages are given, so name it there: Decode"):
        StreamingLoader(dataset, device="cuda", stages=[Decode()])
    stages = [Decode(device="cuda"), Map(dict), CropRegions()]
    message = r"device: CropRegions\(\) needs pixels on the CPU, but Decode\(device='cuda'\)"
    with pytest.raises(ConfigError, match=message):
        StreamingLoader(dataset, stages=stages)
    with pytest.raises(ConfigError, match="device: pictures are decoded there by a Streaming"):
        to_hf_iterable(dataset, Decode(device="cuda"))
    with pytest.raises(ConfigError, match="device: expected 'cuda'"):
        StreamingLoader(dataset, device="tpu")


def test_what_is_on_a_device_is_not_pinned() -> None:
    """It stays where it is."""
    there = torch.empty(2, device="meta")
    assert pin({"image": there, "rest": [there]}) == {"image": there, "rest": [there]}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device and torchcodec")
def test_a_loader_on_a_real_device(dataset: ShardedDataset) -> None:
    """Batches are there, close to the CPU's, while the caller's stream works with earlier ones."""
    pytest.importorskip("torchcodec", reason="needs a CUDA device and torchcodec")
    expected = [batch["image"].float() for batch in StreamingLoader(dataset, batch_size=4)]
    loader = StreamingLoader(dataset, batch_size=4, device="cuda", pin_memory=True)
    for _ in range(10):
        for batch, image in zip(loader, expected, strict=True):
            assert batch["image"].is_cuda
            work = batch["image"].float()
            assert (work.cpu() - image).abs().mean() < 3
