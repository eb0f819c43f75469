"""A PNG whose stream is stored gives what libpng makes of the PNG as it came."""

import random
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.images.test_decode import join_chunks, photo, png, saved, split_chunks
from vrs_wds.errors import DecodeError
from vrs_wds.images import png as png_decoding
from vrs_wds.images import png_stored
from vrs_wds.images.decode import decode_rgb
from vrs_wds.images.png_stored import with_stored_stream

KINDS = [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (3, 1), (3, 2), (3, 4), (3, 8)]
KINDS += [(4, 8), (4, 16), (6, 8), (6, 16)]
"""Colour types and depths that there are."""


def stored(data):
    """Return the PNG that libpng gets; None if it gets this one."""
    return with_stored_stream(data, png_decoding._check_chunks(data, where=""))


def outcome(data):
    """Return the pixels, or the refusal's text."""
    try:
        return decode_rgb(data, where="here").tobytes()
    except DecodeError as error:
        return str(error)


def outcome_as_it_came(data):
    """Return the same where libpng gets the PNG itself."""
    with mock.patch.object(png_decoding, "with_stored_stream", return_value=None):
        return outcome(data)


@pytest.fixture(autouse=True)
def small_ones_too(monkeypatch):
    """Let small pictures go the same way."""
    monkeypatch.setattr(png_stored, "_MIN_BYTES", 0)


def filtered(rng, height, row_bytes):
    """Make rows of random bytes behind a random filter each."""
    rows = rng.integers(0, 256, (height, row_bytes + 1), np.uint8)
    rows[:, 0] = rng.integers(0, 5, height)
    return rows.tobytes()


@settings(deadline=None)
@given(
    st.sampled_from(KINDS),
    st.integers(1, 300), st.integers(1, 150), st.integers(0, 9), st.integers(1, 70_000),
    st.booleans(), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_every_kind_and_size(kind, width, height, level, split, transparent, seed):
    """Each filter, depth and colour type; one stored block or several; one chunk or many."""
    (colour, depth), rng = kind, np.random.default_rng(seed)
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    stream = zlib.compress(filtered(rng, height, -(-width * depth * channels // 8)), level)
    extra = []
    if colour == 3:
        extra.append((b"PLTE", rng.bytes(3 * 2**depth)))
    if transparent and colour in (0, 2, 3):
        extra.append((b"tRNS", bytes([0, 1] * channels) if colour != 3 else rng.bytes(2)))
    header = split_chunks(png(width, height, depth, colour, []))[0]
    parts = [(b"IDAT", stream[at : at + split]) for at in range(0, len(stream), split)]
    data = join_chunks([header, *extra, *parts, (b"tEXt", b"a\0b"), (b"IEND", b"")])

    ours = stored(data)
    assert (ours is not None) == (stream[0] == 0x78)
    if ours is not None:
        assert [kind for kind, _ in split_chunks(bytes(ours))][-2:] == [b"IDAT", b"IEND"]
        assert (imagecodecs.png_decode(bytes(ours)) == imagecodecs.png_decode(data)).all()
    assert outcome(data) == outcome_as_it_came(data)


@pytest.mark.parametrize("trial", range(200))
def test_damaged_streams_fare_as_before(trial):
    """Checksums of chunks are right, and the stream is not: the same picture or refusal."""
    rng = random.Random(trial)
    chunks = split_chunks(saved(photo(40, 30), "png"))
    place = [kind for kind, _ in chunks].index(b"IDAT")
    stream = bytearray(chunks[place][1])
    match trial % 5:
        case 0:
            for _ in range(rng.randrange(1, 4)):
                stream[rng.randrange(len(stream))] ^= 1 << rng.randrange(8)
        case 1:
            stream[-1 - rng.randrange(4)] ^= 1  # the checksum of the rows
        case 2:
            del stream[rng.randrange(len(stream)) :]
        case 3:
            stream += rng.randbytes(rng.randrange(1, 50))
        case 4:  # other rows than the header says, or one of an unknown filter
            rows = bytearray(zlib.decompress(stream))
            rows[91 * rng.randrange(40)] = rng.randrange(8)
            rows = rows[: rng.randrange(len(rows))] if trial % 2 else rows + rng.randbytes(trial)
            stream = bytearray(zlib.compress(rows))
    chunks[place] = (b"IDAT", bytes(stream))
    data = join_chunks(chunks)
    assert outcome(data) == outcome_as_it_came(data)


def test_what_libpng_gets_as_it_came(monkeypatch):
    """Rows in another order, a chunk between the pixels, a narrow window, a size beyond limits."""
    data = saved(photo(), "png")
    assert stored(data) is not None
    header, (_, stream), end = [
        c for c in split_chunks(data) if c[0] in (b"IHDR", b"IDAT", b"IEND")
    ]
    assert stored(join_chunks([(b"IHDR", header[1][:-1] + b"\1"), (b"IDAT", stream), end])) is None
    halves = [(b"IDAT", stream[:100]), (b"tEXt", b"a\0b"), (b"IDAT", stream[100:])]
    assert stored(join_chunks([header, *halves, end])) is None
    narrow = zlib.compressobj(wbits=12)
    narrow = narrow.compress(zlib.decompress(stream)) + narrow.flush()
    assert stored(join_chunks([header, (b"IDAT", narrow), end])) is None
    for name, limit in (("_MIN_BYTES", 1 << 20), ("_MAX_BYTES", 1 << 10)):
        with monkeypatch.context() as limits:
            limits.setattr(png_stored, name, limit)
            assert stored(data) is None


def test_a_header_that_lies_takes_no_memory():
    """Deflate makes at most 1,032 bytes of one: what cannot be is not made room for."""
    data = png(2000, 2000, 8, 2, [])
    with mock.patch.object(png_stored, "_room", side_effect=AssertionError("room was made")):
        assert stored(data) is None
    assert outcome(data) == outcome_as_it_came(data)
    black = saved(np.zeros((2000, 2000, 3), np.uint8), "png")
    assert stored(black) is not None


def test_threads_and_sizes_share_no_memory():
    """Each thread has its own, larger or smaller pictures in turn."""
    pictures = [photo(height, 200) for height in (300, 40, 500, 120, 7, 333, 90, 210)]
    files = [saved(Image.fromarray(picture), "png") for picture in pictures]

    def check(number):
        for turn in range(20):
            place = (number + turn) % len(files)
            assert (decode_rgb(files[place], where="") == pictures[place]).all()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(check, range(8)))


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="None is not counted")
def test_refusals_do_not_use_up_none():
    """The decoder drops a reference to it with each: after some 60,000 the interpreter ends."""
    data = png(256, 256, 8, 2, [bytes(768)] * 256)
    header, (_, stream), end = split_chunks(data)
    rows = bytearray(zlib.decompress(stream))
    rows[::769] = b"\7" * 256  # a filter that there is not
    data = join_chunks([header, (b"IDAT", zlib.compress(rows)), end])
    before = sys.getrefcount(None)
    for _ in range(1000):
        assert "here: expected a complete png image" in outcome(data)
    assert sys.getrefcount(None) > before - 200


def test_a_reason_that_cannot_be_read():
    """Of some refusals libpng's words are lost on the way."""
    chunks = split_chunks(saved(photo(), "png"))
    data = join_chunks([chunk for chunk in chunks if chunk[0] != b"IDAT"])
    for error in (UnicodeDecodeError("utf-8", b"x", 0, 1, "invalid"), RuntimeError()):
        with mock.patch.object(png_decoding.imagecodecs, "png_decode", side_effect=error):
            assert "without a reason that can be read" in outcome(data)
