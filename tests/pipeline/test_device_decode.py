"""Pictures left to a device: decoded when the batch is made, with the frame of the CPU's."""

import io
import pickle
from importlib import util
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vrs_wds.errors import ConfigError, DecodeError
from vrs_wds.images.encode import encode_rgb
from vrs_wds.images.fallbacks import fallback_counts
from vrs_wds.images.header import read_header
from vrs_wds.images.orientation import swaps_sides
from vrs_wds.pipeline import device_decode
from vrs_wds.pipeline.collate import collate
from vrs_wds.pipeline.crop_regions import CropRegions
from vrs_wds.pipeline.decode import Decode
from vrs_wds.pipeline.device_decode import decode_on_device, decode_samples, fit_on_device
from vrs_wds.pipeline.device_picture import check_device
from vrs_wds.pipeline.resize import resize_rgb
from vrs_wds.pipeline.tile import Tile
from vrs_wds.tasks.meta import Meta
from vrs_wds.tasks.sidecars import encode_meta
from vrs_wds.testing.pictures import draw_picture


def draw(size_wh: tuple[int, int], seed: int) -> np.ndarray:
    """Draw a picture (H, W, 3)."""
    return draw_picture(np.random.default_rng(seed), size_wh)


def jpeg(size_wh: tuple[int, int] = (40, 24), seed: int = 0, **options: Any) -> bytes:
    """Encode a picture; `orientation` goes into its EXIF."""
    if orientation := options.pop("orientation", None):
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = orientation
    mode = options.pop("mode", "RGB")
    buffer = io.BytesIO()
    Image.fromarray(draw(size_wh, seed)).convert(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def raw(data: bytes, size_wh: tuple[int, int] = (40, 24), **members: Any) -> dict[str, Any]:
    """Return a sample with a picture."""
    meta = encode_meta(Meta(name="a", width=size_wh[0], height=size_wh[1]), where="a")
    return {"__key__": "a", "__url__": "s.tar", "meta.json": meta, "jpg": data, **members}


def on_device(sample: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Decode a sample as its batch would be."""
    return decode_samples([Decode(device="cuda", **options).decode(sample)])[0]


def pixels(sample: dict[str, Any]) -> np.ndarray:
    """Return a decoded sample's picture, (H, W, 3)."""
    return np.asarray(sample["image"].permute(1, 2, 0))


def test_until_the_batch_nothing_is_decoded(stand_in_device):
    """The sample has the frame of its picture, and travels."""
    sample = Decode(device="cuda", size=(10, 12)).decode(raw(jpeg()))
    picture = sample["image"]
    assert repr(picture) == "DevicePicture(10 x 12, for cuda)"
    assert sample["meta"].size_wh == (10, 12)
    assert picture.copy() is picture
    assert pickle.loads(pickle.dumps(picture)).picture == picture.picture
    assert stand_in_device.calls == []


@pytest.mark.parametrize("options", [{}, {"mode": "L"}, {"progressive": True}, {"subsampling": 0}])
def test_the_pixels_are_those_of_the_cpu(stand_in_device, options):
    """Also of grey pictures; contiguous (3, H, W)."""
    sample = raw(jpeg(**options))
    image = on_device(sample)["image"]
    assert (image.shape, image.dtype) == ((3, 24, 40), torch.uint8)
    np.testing.assert_array_equal(image.permute(1, 2, 0), Decode().decode(sample)["image"])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_once(stand_in_device, orientation):
    """By EXIF, as on the CPU, whatever the decoder itself would do with it."""
    size_wh = (24, 40) if swaps_sides(orientation) else (40, 24)
    sample = raw(jpeg(orientation=orientation), size_wh)
    before = fallback_counts()
    np.testing.assert_array_equal(pixels(on_device(sample)), Decode().decode(sample)["image"])
    assert fallback_counts() == before


@pytest.mark.parametrize("options", [{}, {"mode": "L"}, {"progressive": True}, {"orientation": 5}])
def test_torchcodec_on_the_cpu(stand_in_device, options):
    """Called as it is for a device, it gives the same pixels."""
    reason = "needs torchcodec"
    stand_in_device.decode = pytest.importorskip("torchcodec.decoders", reason=reason).decode_jpeg
    size_wh = (24, 40) if "orientation" in options else (40, 24)
    sample = raw(jpeg(**options), size_wh)
    np.testing.assert_array_equal(pixels(on_device(sample)), Decode().decode(sample)["image"])


def test_a_decoder_sees_no_exif(stand_in_device):
    """One that turns by itself, and reads odd values otherwise, has nothing to read."""
    seen = []
    decode = stand_in_device.decode
    stand_in_device.decode = lambda files: seen.extend(map(bytes, files)) or decode(files)
    data = jpeg(orientation=6)
    on_device(raw(data, (24, 40)))
    assert read_header(data, where="").orientation == 6
    assert read_header(bytes(seen[0]), where="").orientation == 1
    assert len(seen[0]) == len(data)


@given(
    old_wh=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    new_wh=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    fit=st.sampled_from(["stretch", "letterbox"]),
)
@settings(max_examples=60)
def test_resizing_is_that_of_the_cpu(old_wh, new_wh, fit):
    """To one grey level, with the border where it belongs."""
    image = draw(old_wh, 3)
    expected = resize_rgb(image, new_wh, fit)
    found = fit_on_device(torch.from_numpy(image).permute(2, 0, 1), new_wh, fit)
    assert found.shape == (3, new_wh[1], new_wh[0])
    difference = np.abs(found.permute(1, 2, 0).numpy().astype(int) - expected)
    assert difference.max() <= 1


@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
def test_sidecars_move_as_on_the_cpu(stand_in_device, raw_sample, detection, fit):
    """Boxes and meta are those of `Decode(size=...)`."""
    sample = raw_sample("a", (40, 24), detection=detection((1, 2, 30, 20)))
    del sample["png"]
    sample["jpg"] = jpeg()
    options = {"size": (16, 16), "fit": fit, "filter": "triangle"}
    found, expected = on_device(sample, **options), Decode(**options).decode(sample)
    assert (found["detection"], found["meta"]) == (expected["detection"], expected["meta"])
    assert np.abs(pixels(found).astype(int) - expected["image"]).max() <= 1


@pytest.mark.parametrize("size", [None, (10, 6)])
def test_other_formats_are_decoded_before_and_copied(stand_in_device, size):
    """By the threads, by the CPU, resized there."""
    sample = raw(encode_rgb(draw((40, 24), 1), "png"))
    before = fallback_counts().get("device: png", 0)
    found = on_device(sample, size=size)
    assert fallback_counts()["device: png"] == before + 1
    np.testing.assert_array_equal(pixels(found), Decode(size=size).decode(sample)["image"])
    assert stand_in_device.calls == []


def test_one_call_decodes_a_batch_each_picture_once(stand_in_device):
    """A picture that two examples share is not decoded twice."""
    first, second = (Decode(device="cuda").decode(raw(jpeg(seed=i))) for i in (1, 2))
    batch = collate([first, second, {**first, "number": 1}])
    assert stand_in_device.calls == [2]
    assert batch["image"].shape == (3, 3, 24, 40)
    assert torch.equal(batch["image"][0], batch["image"][2])
    assert not torch.equal(batch["image"][0], batch["image"][1])


def test_pictures_of_several_sizes(stand_in_device):
    """A list, or padded."""
    sizes = [(40, 24), (20, 30)]
    samples = [Decode(device="cuda").decode(raw(jpeg(wh), wh)) for wh in sizes]
    assert [image.shape for image in collate(samples)["image"]] == [(3, 24, 40), (3, 30, 20)]
    padded = collate(samples, images="padded")
    assert padded["image"].shape == (2, 3, 30, 40)
    assert padded["sizes_wh"].tolist() == [[40, 24], [20, 30]]


def test_what_the_decoder_refuses_the_cpu_decodes(stand_in_device):
    """The others of the batch are decoded there all the same."""
    data = [jpeg(seed=i) for i in range(3)]
    stand_in_device.refused.add(data[1])
    before = fallback_counts().get("device: refused by the decoder", 0)
    images = collate([Decode(device="cuda").decode(raw(d)) for d in data])["image"]
    assert stand_in_device.calls == [3, 1, 1, 1]
    assert fallback_counts()["device: refused by the decoder"] == before + 1
    for image, d in zip(images, data, strict=True):
        np.testing.assert_array_equal(image.permute(1, 2, 0), Decode().decode(raw(d))["image"])


def test_a_picture_of_another_size_is_not_taken(stand_in_device):
    """What the header said stands."""
    stand_in_device.decode = lambda files: [torch.zeros(3, 5, 5, dtype=torch.uint8)] * len(files)
    expected = Decode().decode(raw(jpeg()))["image"]
    np.testing.assert_array_equal(pixels(on_device(raw(jpeg()))), expected)


def test_what_nobody_can_decode_is_bad(stand_in_device):
    """The CPU's message, with the place; other pictures come all the same."""
    data = bytearray(jpeg(quality=95))
    data[len(data) // 2 : -2] = bytes(len(data) - 2 - len(data) // 2)
    stand_in_device.refused.add(bytes(data))
    samples = [Decode(device="cuda").decode(raw(d)) for d in (jpeg(), bytes(data))]
    good, bad = decode_on_device([sample["image"] for sample in samples])
    assert isinstance(good, torch.Tensor)
    assert isinstance(bad, DecodeError)
    with pytest.raises(DecodeError, match=r"s\.tar: sample 'a': member 'jpg': expected a complete"):
        collate(samples)


def test_a_full_memory_is_not_a_refusal(stand_in_device):
    """It is raised, and nothing is counted."""

    def fail(files):
        raise torch.OutOfMemoryError("CUDA out of memory")

    stand_in_device.decode = fail
    before = fallback_counts()
    with pytest.raises(torch.OutOfMemoryError):
        on_device(raw(jpeg()))
    assert fallback_counts() == before


def test_worker_processes_do_not_decode_on_a_device(stand_in_device, monkeypatch):
    """They must not touch it: the error says who should make batches."""
    samples = [Decode(device="cuda").decode(raw(jpeg()))]
    monkeypatch.setattr(device_decode, "get_worker_info", object)
    with pytest.raises(ConfigError, match="Let a StreamingLoader make batches, or use num_workers"):
        collate(samples)


@pytest.mark.parametrize("stage", [CropRegions(), Tile((8, 8))])
def test_stages_that_need_pixels_refuse(stand_in_device, stage):
    """Their error names the option."""
    with pytest.raises(ConfigError, match=rf"^{type(stage).__name__} needs pixels on the CPU, but"):
        list(stage.apply(Decode(device="cuda").decode(raw(jpeg()))))


@pytest.mark.parametrize("device", [None, "cpu", torch.device("cpu")])
def test_the_cpu_is_no_device(device):
    """Nothing changes, and nothing is needed."""
    assert Decode(device=device) == Decode()
    assert check_device(device) is None


@pytest.mark.parametrize("device", ["gpu", "cuda:x", 1.5, "mps", "meta"])
def test_names_of_devices_are_checked(device):
    """Only those that can decode."""
    with pytest.raises(ConfigError, match=r"^device: expected 'cuda', 'cuda:1', \.\.\. or 'cpu'"):
        Decode(device=device)


def test_a_device_is_named_as_torch_does(stand_in_device):
    """By a text or by torch's own."""
    assert Decode(device=torch.device("cuda", 1)) == Decode(device="cuda:1")
    assert repr(Decode(device="cuda:1")) == "Decode(device='cuda:1')"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"defer": True}, "defer: regions are decoded on the CPU"),
        ({"filter": "area", "size": (4, 4)}, "filter: 'area' is for the CPU"),
    ],
)
def test_options_that_do_not_go_with_a_device(stand_in_device, options, message):
    """Refused when the stage is made."""
    with pytest.raises(ConfigError, match=message):
        Decode(device="cuda", **options)


def test_torchcodec_is_missing(monkeypatch):
    """The error names the extra."""
    find = util.find_spec
    monkeypatch.setattr(
        "vrs_wds.pipeline.device_picture.find_spec",
        lambda name: None if name == "torchcodec" else find(name),
    )
    with pytest.raises(ConfigError, match=r'pip install "vrs_wds\[cuda\]", or leave device out'):
        Decode(device="cuda")


def test_no_cuda_device(monkeypatch):
    """With torchcodec, but no device, or not so many."""
    monkeypatch.setattr("vrs_wds.pipeline.device_picture.find_spec", lambda name: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"device: expected a CUDA device, but (this )?torch "):
        Decode(device="cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert Decode(device="cuda:1").device == "cuda:1"
    with pytest.raises(ConfigError, match="expected a number below 2, got 'cuda:2'"):
        Decode(device="cuda:2")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device, so that it works")
def test_a_torchcodec_that_cannot_decode_there(monkeypatch):
    """Is found when the device is opened, before pictures are taken for refused."""
    device_decode._open_cuda.cache_clear()
    with pytest.raises(ConfigError, match="torchcodec cannot decode JPEGs on cuda:0 "):
        device_decode.open_device("cuda:0")


needs_cuda = pytest.mark.skipif(
    not torch.cuda.is_available() or util.find_spec("torchcodec") is None,
    reason="needs a CUDA device and torchcodec",
)


@needs_cuda
@pytest.mark.parametrize("options", [{}, {"mode": "L"}, {"progressive": True}, {"orientation": 6}])
def test_nvjpeg(options):
    """Pixels are on the device, and close to the CPU's."""
    size_wh = (64, 96) if options.get("orientation") == 6 else (96, 64)
    sample = raw(jpeg((96, 64), quality=95, **options), size_wh)
    image = on_device(sample)["image"]
    assert image.is_cuda
    expected = Decode().decode(sample)["image"].astype(int)
    difference = np.abs(image.cpu().permute(1, 2, 0).numpy() - expected)
    assert difference.mean() < 2


@needs_cuda
def test_nvjpeg_resizes_on_the_device():
    """A batch is one tensor there, ready for work on the stream of the caller."""
    samples = [raw(jpeg((96, 64), seed=i, quality=95)) for i in range(4)]
    for sample in samples:
        del sample["meta.json"]
    stage = Decode(device="cuda", size=(32, 32), fit="letterbox")
    cpu = Decode(size=(32, 32), fit="letterbox", filter="triangle")
    for _ in range(20):
        images = collate([stage.decode(sample) for sample in samples])["image"]
        total = images.float().sum(dim=(1, 2, 3)).cpu()
    expected = torch.tensor([float(cpu.decode(sample)["image"].sum()) for sample in samples])
    assert images.is_cuda
    assert ((total - expected).abs() / expected).max() < 0.02
