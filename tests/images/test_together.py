"""Pictures that are decoded one right after the other are those that are decoded alone."""

import io
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from vrs_wds.errors import DecodeError
from vrs_wds.images.coded import CodedPicture
from vrs_wds.images.decode import decode_picture
from vrs_wds.images.together import decode_together
from vrs_wds.loader.executor import run_stages_over
from vrs_wds.pipeline.decode import Decode
from vrs_wds.pipeline.faults import BadSample

Pixels = NDArray[np.uint8]


def saved(
    mode: str = "RGB", format: str = "jpeg", size: tuple[int, int] = (64, 48), **options: Any
):
    """Encode a picture with smooth parts and noise."""
    rng = np.random.default_rng(7)
    ramp = np.add.outer(np.arange(size[1]) * 2, np.arange(size[0]))[:, :, None]
    pixels = ((ramp + rng.integers(0, 40, (*size[::-1], 3))) % 256).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, format, **options)
    return buffer.getvalue()


def turned(orientation: int) -> bytes:
    """Encode a picture that is to be turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(exif=exif)


def without_colour() -> bytes:
    """Encode a picture in colour of which the brightness alone was sent.

    A decoder paints the rest grey and does not complain.
    """
    grey = saved("L")
    start = grey.index(b"\xff\xc0")
    size = grey[start + 5 : start + 9]
    components = bytes([3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0])
    return grey[:start] + b"\xff\xc0\x00\x11\x08" + size + components + grey[start + 13 :]


PLAIN = {
    "jpeg": saved(),
    "progressive": saved(progressive=True),
    "444": saved(subsampling=0),
    "grey": saved("L"),
    "large": saved(size=(150, 130)),
}
OTHERS = {
    "turned": turned(6),
    "upside down": turned(3),
    "mirrored": turned(2),
    "cmyk": saved("CMYK"),
    "png": saved(format="png"),
    "without colour": without_colour(),
    "cut": saved(quality=95)[:-400],
    "mixed up": saved()[:300] + saved()[500:],
}
ALL = {**PLAIN, **OTHERS}


def fresh(height: int, width: int) -> Pixels:
    """Give memory that shows what was not written."""
    return np.full((height, width, 3), 77, np.uint8)


def nothing(height: int, width: int) -> None:
    """Give no memory."""


def half(full_wh: tuple[int, int]) -> tuple[int, int]:
    """Let it be decoded to half its size."""
    return -(-full_wh[0] // 2), -(-full_wh[1] // 2)


@given(
    names=st.lists(st.sampled_from(sorted(ALL)), max_size=6),
    shrink=st.sampled_from([None, half, lambda _: (30, 20)]),
    only_wh=st.sampled_from([None, (64, 48), (32, 24), (38, 33)]),
    without=st.sets(st.integers(0, 5)),
)
@settings(max_examples=150, deadline=None)
def test_they_are_what_they_are_alone(
    names: list[str], shrink: Any, only_wh: tuple[int, int] | None, without: set[int]
) -> None:
    """In memory of their own; what takes more than the decoder is left to others."""
    pictures = [CodedPicture.read(ALL[name], where=name) for name in names]
    slots = [nothing if i in without else fresh for i in range(len(names))]

    found = decode_together(pictures, slots, shrink=shrink, only_wh=only_wh)

    for i, (name, picture, pixels) in enumerate(zip(names, pictures, found, strict=True)):
        if name not in PLAIN or i in without:
            assert pixels is None
            continue
        alone = decode_picture(picture, shrink=shrink)
        if only_wh is not None and alone.shape != (only_wh[1], only_wh[0], 3):
            assert pixels is None
        else:
            assert np.array_equal(pixels, alone)


def test_the_others_are_not_worse_off() -> None:
    """In the executor every sample has the pixels, or the error, that it has alone."""
    slots = [fresh, None]
    for stage in (
        Decode(),
        Decode(size=(32, 24)),
        Decode(size=(40, 40), fit="letterbox"),
        Decode(size=(64, 48), filter="area"),
    ):
        samples = [
            {"__key__": name, "__url__": "x", "png" if name == "png" else "jpg": data}
            for name, data in ALL.items()
            for _ in slots
        ]
        outcomes = run_stages_over(samples, [stage], slots * len(ALL))

        for sample, outcome in zip(samples, outcomes, strict=True):
            try:
                expected = stage.decode({**sample})
            except DecodeError as error:
                assert isinstance(outcome, BadSample)
                assert outcome.message == str(error)
            else:
                assert not isinstance(outcome, BadSample)
                assert np.array_equal(outcome[0]["image"], expected["image"])


def test_the_pixels_lie_in_the_slots() -> None:
    """What was decoded first is what stays: nothing is decoded into it again."""
    memory = [fresh(48, 64) for _ in range(3)]
    samples = [{"__key__": "a", "__url__": "x", "jpg": PLAIN["jpeg"]} for _ in memory]

    outcomes = run_stages_over(samples, [Decode()], [lambda *_, m=m: m for m in memory])

    assert [outcome[0]["image"] is m for outcome, m in zip(outcomes, memory, strict=True)] == [
        True
    ] * 3
