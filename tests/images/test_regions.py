"""Regions of coded pictures: the pixels of the whole picture, however they are decoded."""

import io
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from vrs_wds.errors import DecodeError
from vrs_wds.images import regions as regions_module
from vrs_wds.images.coded import CodedPicture
from vrs_wds.images.decode import decode_rgb
from vrs_wds.images.regions import Edges, decode_regions

HAS_CODEC = find_spec("nvidia") is not None and find_spec("nvidia.nvimgcodec") is not None

WIDTH, HEIGHT = 523, 397
REGIONS: list[list[Edges]] = [
    [(0, 0, 1, 1)],
    [(101, 77, 229, 205)],
    [(WIDTH - 1, HEIGHT - 1, WIDTH, HEIGHT)],
    [(0, 0, 50, 40), (300, 10, 523, 90)],
    [(0, 0, WIDTH, HEIGHT)],
    [(0, 0, 9, 9), (9, 9, 30, 30), (200, 200, 203, 301)],
    [],
]


def pixels() -> np.ndarray:
    """Return a picture with detail everywhere."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    smooth = 128 + 90 * np.sin(x / 9)[..., None] * np.cos(y / 7)[..., None]
    return np.clip(smooth + rng.normal(0, 20, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8)


def jpeg(subsampling: str) -> bytes:
    """Return a baseline JPEG."""
    return bytes(simplejpeg.encode_jpeg(pixels(), 85, colorsubsampling=subsampling))


def with_pillow(image_format: str, mode: str = "RGB", **options: object) -> bytes:
    """Return what Pillow writes."""
    file = io.BytesIO()
    Image.fromarray(pixels()).convert(mode).save(file, image_format, **options)
    return file.getvalue()


def turned() -> bytes:
    """Return a JPEG that EXIF turns by 90 degrees."""
    exif = Image.Exif()
    exif[274] = 6
    return with_pillow("jpeg", exif=exif.tobytes())


FILES: dict[str, Callable[[], bytes]] = {
    **{f"jpeg {name}": (lambda name=name: jpeg(name)) for name in ("444", "422", "420", "440")},
    "jpeg progressive": lambda: with_pillow("jpeg", progressive=True),
    "jpeg restarts": lambda: with_pillow("jpeg", restart_marker_blocks=3),
    "jpeg rgb": lambda: with_pillow("jpeg", keep_rgb=True),
    "jpeg grey": lambda: with_pillow("jpeg", "L"),
    "jpeg cmyk": lambda: with_pillow("jpeg", "CMYK"),
    "jpeg turned": turned,
    "png": lambda: with_pillow("png"),
    "webp": lambda: with_pillow("webp"),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("with_codec", [False, True] if HAS_CODEC else [False])
def test_pixels_are_those_of_the_whole_picture(
    name: str, with_codec: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit, whatever the format, the subsampling and the place."""
    if not with_codec:
        monkeypatch.setattr(regions_module, "_codec", lambda: None)
    data = FILES[name]()
    whole = decode_rgb(data, where="here")
    picture = CodedPicture.read(data, where="here")
    assert picture.size_wh == (whole.shape[1], whole.shape[0])
    for wanted in REGIONS:
        fitting = [r for r in wanted if r[2] <= whole.shape[1] and r[3] <= whole.shape[0]]
        found = list(decode_regions(picture, fitting))
        assert len(found) == len(fitting)
        for (left, top, right, bottom), part in zip(fitting, found, strict=True):
            np.testing.assert_array_equal(part, whole[top:bottom, left:right])
            assert part.flags.writeable
            assert part.base is None


@pytest.mark.skipif(not HAS_CODEC, reason="needs the extra `crop`")
@pytest.mark.parametrize("name", ["jpeg 444", "jpeg 422", "jpeg 420"])
def test_one_region_is_decoded_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole picture is not."""
    picture = CodedPicture.read(FILES[name](), where="here")
    monkeypatch.setattr(regions_module, "decode_picture", None)

    [part] = decode_regions(picture, [(10, 20, 110, 120)])

    assert part.shape == (100, 100, 3)


@pytest.mark.parametrize("region", [(0, 0, 600, 10), (5, 5, 5, 9), (-1, 0, 4, 4), (0, 9, 4, 2)])
def test_a_region_is_inside_of_the_picture(region: Edges) -> None:
    """Others are refused."""
    with pytest.raises(ValueError, match=r"inside of 523 x 397"):
        list(decode_regions(CodedPicture.read(jpeg("420"), where="here"), [region]))


@pytest.mark.parametrize("keep", [0.4, 0.8])
def test_a_file_that_was_cut_is_refused(keep: float) -> None:
    """Also where the region lies before the cut."""
    data = jpeg("420")
    picture = CodedPicture.read(data[: int(len(data) * keep)], where="shard: member")
    with pytest.raises(DecodeError, match=r"^shard: member: "):
        list(decode_regions(picture, [(0, 0, 20, 20)]))


def test_too_many_pixels_are_refused() -> None:
    """Before anything is decoded."""
    with pytest.raises(DecodeError, match="at most max_pixels=100 pixels"):
        CodedPicture.read(jpeg("420"), where="here", max_pixels=100)
