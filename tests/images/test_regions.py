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
from vrs_wds.images.jpeg_header import END_MARKER
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


@pytest.mark.parametrize("subsampling", ["444", "422", "420", "440"])
@pytest.mark.parametrize("bottom", [17, 32, 100, 160])
def test_a_scan_that_stops_early_is_refused(subsampling: str, bottom: int) -> None:
    """Also with an end marker after the cut; there is never a grey where the data were missing."""
    data = jpeg(subsampling)
    first = CodedPicture.read(data, where="here").stored.first_scan  # type: ignore[union-attr]
    for cut in range(first + 30, first + (len(data) - first) * 8 * bottom // (10 * HEIGHT), 997):
        picture = CodedPicture.read(data[:cut] + END_MARKER, where="shard: member")
        with pytest.raises(DecodeError, match=r"^shard: member: "):
            list(decode_regions(picture, [(200, 0, WIDTH, bottom)]))


@pytest.mark.parametrize("subsampling", ["444", "422", "420", "440"])
@pytest.mark.parametrize("size_wh", [(18, 18), (33, 31), (16, 48), (50, 47)])
def test_narrow_regions_at_the_border(subsampling: str, size_wh: tuple[int, int]) -> None:
    """They have the colours of the whole picture too."""
    width, height = size_wh
    data = bytes(
        simplejpeg.encode_jpeg(
            np.ascontiguousarray(pixels()[:height, :width]), 85, colorsubsampling=subsampling
        )
    )
    whole = decode_rgb(data, where="here")
    picture = CodedPicture.read(data, where="here")
    for wide in range(1, 10):
        for left in {0, 1, (width - wide) // 2, width - wide}:
            region = (left, 5, left + wide, 9)
            [part] = decode_regions(picture, [region])
            np.testing.assert_array_equal(part, whole[5:9, left : left + wide])


def test_too_many_pixels_are_refused() -> None:
    """Before anything is decoded."""
    with pytest.raises(DecodeError, match="at most max_pixels=100 pixels"):
        CodedPicture.read(jpeg("420"), where="here", max_pixels=100)
