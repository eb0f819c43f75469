"""Every picture follows the stated rule, or is refused with one kind of error."""

import io
import random
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps

from vrs_wds.errors import ConfigError, DecodeError
from vrs_wds.images.coded import DEFAULT_MAX_PIXELS
from vrs_wds.images.decode import decode_rgb
from vrs_wds.images.fallbacks import fallback_counts
from vrs_wds.images.jpeg_header import missing_components, parse_jpeg_header
from vrs_wds.images.orientation import turn_upright

DATA = Path(__file__).parents[3] / "shared" / "data" / "pillow"
REFUSED = {
    "LICENSE",
    "broken.png",
    "hopper.tar",
    "truncated_image.png",
    "truncated_jpeg.jpg",
}
"""Files of the data folder that are no complete images."""


def photo(height=64, width=96, channels=3):
    """Make a picture with smooth parts and noise, as a photograph has."""
    rng = np.random.default_rng(7)
    ramp = np.add.outer(np.arange(height) * 2, np.arange(width))[:, :, None]
    noise = rng.integers(0, 40, (height, width, channels))
    return ((ramp + noise + np.arange(channels) * 30) % 256).astype(np.uint8)


def saved(image, format, **options):
    """Encode an array or a Pillow image."""
    buffer = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(buffer, format, **options)
    return buffer.getvalue()


def pillow_rgb(data):
    """Return what Pillow makes of it by the same rule."""
    with Image.open(io.BytesIO(data)) as opened:
        image = ImageOps.exif_transpose(opened)
    if image.mode.startswith("I;16"):
        return rounded(np.asarray(image)[:, :, None] / 257).repeat(3, axis=2)
    if not image.has_transparency_data:
        return np.asarray(image.convert("RGB"))
    rgba = np.asarray(image.convert("RGBA")).astype(float)
    return rounded(rgba[:, :, :3] * rgba[:, :, 3:] / 255)


def rounded(values):
    """Round to the nearest uint8."""
    return np.floor(values + 0.5).astype(np.uint8)


def png(width, height, depth, kind, rows, *extra):
    """Write a PNG by hand; `rows` are the unfiltered rows, `extra` chunks go before the data."""
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return join_chunks([(b"IHDR", header), *extra, (b"IDAT", data), (b"IEND", b"")])


def join_chunks(chunks):
    """Write chunks with their checksums."""
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, body in chunks:
        checksum = zlib.crc32(kind + body)
        parts.append(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum))
    return b"".join(parts)


def split_chunks(data):
    """Return the chunks of a PNG."""
    chunks, position = [], 8
    while position < len(data):
        (size,) = struct.unpack_from(">I", data, position)
        body = data[position + 8 : position + 8 + size]
        chunks.append((data[position + 4 : position + 8], body))
        position += 12 + size
    return chunks


def refuses(data, **options):
    """Assert the refusal, and return its message."""
    with pytest.raises(DecodeError, match=r"^here: ") as caught:
        decode_rgb(data, where="here", **options)
    return str(caught.value)


# The rule.


@pytest.mark.parametrize("format", ["png", "bmp", "ppm", "tiff"])
def test_lossless_rgb_comes_back(format):
    """RGB pixels of a lossless format are returned as they were; the array is the caller's."""
    pixels = decode_rgb(saved(photo(), format), where="")

    assert np.array_equal(pixels, photo())
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 5}])
def test_jpeg_equals_pillow(options):
    """The decoder and Pillow share libjpeg-turbo and differ by next to nothing."""
    data = saved(photo(), "jpeg", **options)
    difference = decode_rgb(data, where="").astype(int) - pillow_rgb(data)
    assert np.abs(difference).max() <= 2


@pytest.mark.parametrize("format", ["jpeg", "png", "webp", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(format, orientation):
    """All eight orientations, as Pillow applies them."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(photo(), format, exif=exif)

    pixels = decode_rgb(data, where="")

    assert np.abs(pixels.astype(int) - pillow_rgb(data)).max() <= 2
    assert pixels.flags.c_contiguous


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turn_upright_is_what_pillow_does(orientation):
    """The pure function agrees with `ImageOps.exif_transpose`."""
    image = Image.fromarray(photo())
    image.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(turn_upright(photo(), orientation), expected)


def test_png_orientation_after_the_pixels():
    """The EXIF chunk of a PNG may follow its pixels."""
    exif = Image.Exif()
    exif[0x0112] = 6
    chunks = split_chunks(saved(photo(), "png"))
    chunks.insert(-1, (b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")))
    pixels = decode_rgb(join_chunks(chunks), where="")
    assert np.array_equal(pixels, np.rot90(photo(), -1))


@pytest.mark.parametrize("format", ["png", "jpeg", "tiff", "bmp", "ppm", "webp"])
def test_grey_is_replicated(format):
    """Three equal channels."""
    pixels = decode_rgb(saved(photo(channels=3)[:, :, 0], format), where="")
    assert pixels.shape == (64, 96, 3)
    if format != "webp":  # which stores colours, and rounds them
        assert (pixels == pixels[:, :, :1]).all()


@pytest.mark.parametrize("format", ["png", "tiff", "ppm", "bmp"])
def test_one_bit_becomes_0_and_255(format):
    """Black and white use the whole range."""
    bits = photo()[:, :, 0] > 128
    pixels = decode_rgb(saved(Image.fromarray(bits), format), where="")
    assert np.array_equal(pixels[:, :, 0], bits * 255)


@given(st.integers(0, 255), st.integers(0, 255))
def test_alpha_is_composited_over_black(value, alpha):
    """Colour times opacity, rounded to the nearest."""
    rgba = np.full((2, 2, 4), value, np.uint8)
    rgba[:, :, 3] = alpha
    expected = int(value * alpha / 255 + 0.5)
    assert (decode_rgb(saved(rgba, "png"), where="") == expected).all()


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P", "L", "1"])
@pytest.mark.parametrize("format", ["png", "tiff", "webp", "gif"])
def test_modes_follow_the_rule(mode, format):
    """Every mode that Pillow writes gives what the rule says."""
    image = Image.fromarray(photo(channels=4)).convert(mode)
    options = {"lossless": True, "exact": True} if format == "webp" else {}
    data = saved(image, format, **options)
    assert np.array_equal(decode_rgb(data, where=""), pillow_rgb(data))


@pytest.mark.parametrize("transparency", [0, 3, b"\x00\x80\xff\x10"])
@pytest.mark.parametrize("format", ["png", "gif"])
def test_transparency_of_a_palette(format, transparency):
    """One transparent entry, or an opacity for each."""
    if format == "gif" and isinstance(transparency, bytes):
        transparency = 1
    image = Image.fromarray(photo()).quantize(16)
    data = saved(image, format, transparency=transparency)
    assert np.array_equal(decode_rgb(data, where=""), pillow_rgb(data))


@pytest.mark.parametrize(("depth", "stored"), [(1, 1), (2, 2), (4, 3), (8, 200), (16, 40000)])
def test_the_transparent_grey_of_a_png(depth, stored):
    """`tRNS` names a value in the depth of the image; what has it turns black, white stays."""
    high = 2**depth - 1
    row = (
        struct.pack(">HH", stored, high)
        if depth == 16
        else ((stored << depth | high) << (-2 * depth) % 8).to_bytes(max(1, 2 * depth // 8), "big")
    )
    data = png(2, 1, depth, 0, [row], (b"tRNS", struct.pack(">H", stored)))
    pixels = decode_rgb(data, where="")
    assert pixels[0, 0].tolist() == [0, 0, 0]
    assert pixels[0, 1].tolist() == ([0, 0, 0] if stored == high else [255, 255, 255])


@pytest.mark.parametrize("depth", [8, 16])
def test_the_transparent_colour_of_a_png(depth):
    """`tRNS` of an RGB image."""
    letter = "B" if depth == 8 else "H"
    row = struct.pack(f">6{letter}", 10, 20, 30, 11, 20, 30)
    data = png(2, 1, depth, 2, [row], (b"tRNS", struct.pack(">3H", 10, 20, 30)))
    pixels = decode_rgb(data, where="")
    expected = [11, 20, 30] if depth == 8 else [0, 0, 0]
    assert pixels[0].tolist() == [[0, 0, 0], expected]


def every_16_bit_value():
    """Return all 65536 values as a picture."""
    return np.arange(65536, dtype=np.uint16).reshape(256, 256)


@pytest.mark.parametrize("format", ["png", "tiff"])
def test_16_bit_grey_is_scaled_to_the_full_range(format):
    """`round(value / 257)` for all 65536 values."""
    data = saved(Image.fromarray(every_16_bit_value()), format)
    pixels = decode_rgb(data, where="")
    assert np.array_equal(pixels[:, :, 1], rounded(every_16_bit_value() / 257))


@pytest.mark.parametrize(
    "encode",
    [
        imagecodecs.png_encode,
        lambda pixels: imagecodecs.tiff_encode(pixels, photometric="rgb"),
        lambda pixels: imagecodecs.tiff_encode(
            np.moveaxis(pixels, -1, 0).copy(), photometric="rgb", planarconfig="separate"
        ),
    ],
    ids=["png", "tiff", "planar tiff"],
)
def test_16_bit_colour_is_scaled_to_the_full_range(encode):
    """RGB too, which Pillow would round down."""
    grey = every_16_bit_value()
    colour = np.stack([grey, grey.T, grey[::-1]], axis=-1)
    assert np.array_equal(decode_rgb(encode(colour), where=""), rounded(colour / 257))


@given(st.integers(0, 65535), st.integers(0, 65535))
def test_16_bit_alpha_is_rounded_once(value, alpha):
    """The product is scaled, not the scaled values multiplied."""
    rgba = np.full((1, 1, 4), value, np.uint16)
    rgba[:, :, 3] = alpha
    expected = (2 * value * alpha + 65535 * 257) // (2 * 65535 * 257)
    assert (decode_rgb(imagecodecs.png_encode(rgba), where="") == expected).all()


def test_16_bit_grey_where_zero_is_white():
    """The photometric tag is obeyed, which Pillow forgets at this depth."""
    data = saved(Image.fromarray(every_16_bit_value()), "tiff", tiffinfo={262: 0})
    with Image.open(io.BytesIO(data)) as image:
        assert image.tag_v2[262] == 0
    pixels = decode_rgb(data, where="")
    assert np.array_equal(pixels[:, :, 0], rounded((65535 - every_16_bit_value()) / 257))


def test_16_bit_pgm_is_scaled():
    """Pillow calls it 32-bit; its range is stated in the file all the same."""
    grey = every_16_bit_value()
    data = b"P5\n256 256\n65535\n" + grey.astype(">u2").tobytes()
    assert np.array_equal(decode_rgb(data, where="")[:, :, 0], rounded(grey / 257))


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint32, np.float32])
def test_pixels_without_a_stated_range_are_refused(dtype):
    """Signed, 32-bit and float: the message says to convert."""
    data = imagecodecs.tiff_encode(np.ones((8, 8), dtype))
    assert "Convert the image to 8 bits" in refuses(data)


def test_signed_8_bit_is_refused():
    """Pillow would read it as unsigned."""
    refuses(imagecodecs.tiff_encode(np.ones((8, 8), np.int8)))


def test_cmyk_is_converted_by_pillow():
    """Adobe's inverted CMYK gives the colours that Pillow gives, and is counted."""
    data = saved(Image.fromarray(photo()).convert("CMYK"), "jpeg")
    before = fallback_counts().get("jpeg: four colours", 0)

    assert np.array_equal(decode_rgb(data, where=""), pillow_rgb(data))
    assert fallback_counts()["jpeg: four colours"] == before + 1


@pytest.mark.parametrize("format", ["gif", "webp", "tiff", "png", "mpo"])
def test_the_first_of_several_frames_is_taken(format):
    """Later frames play no part."""
    frames = [Image.fromarray(photo() // 4), Image.fromarray(255 - photo() // 4)]
    options = {"lossless": True} if format == "webp" else {}
    data = saved(frames[0], format, save_all=True, append_images=frames[1:], **options)
    pixels = decode_rgb(data, where="").astype(int)
    assert np.abs(pixels - pillow_rgb(data)).max() <= 2
    assert pixels.mean() < 128


def test_what_simplejpeg_does_not_know_goes_to_pillow():
    """A lossless JPEG is sound, and read exactly, and counted under its reason."""
    grey = photo()[:, :, 0].copy()
    data = imagecodecs.ljpeg_encode(grey)
    before = fallback_counts().get("jpeg: colour conversion", 0)

    assert np.array_equal(decode_rgb(data, where="")[:, :, 0], grey)
    assert fallback_counts()["jpeg: colour conversion"] == before + 1


@pytest.mark.parametrize("odd", [b"\x00\x00\x00", b"\x01\x3f\x00"])
def test_a_jpeg_with_an_odd_header_goes_to_pillow(odd):
    """Scan parameters that mean nothing in a baseline JPEG are often wrong, and do no harm."""
    data = saved(photo(), "jpeg")
    before = fallback_counts().get("jpeg: odd header", 0)
    scan = parse_jpeg_header(data, where="").first_scan
    changed = data[: scan + 7] + odd + data[scan + 10 :]

    assert np.array_equal(decode_rgb(changed, where=""), decode_rgb(data, where=""))
    assert fallback_counts()["jpeg: odd header"] == before + 1
    refuses(changed[:-50])


# Damage.


def cuts(data, count=40):
    """Return seeded places to cut at, the last byte among them."""
    return sorted({*random.Random(3).sample(range(len(data)), count), len(data) - 1})


DAMAGED = {
    "jpeg": lambda: saved(photo(), "jpeg", quality=90),
    "progressive": lambda: saved(photo(), "jpeg", progressive=True),
    "restarts": lambda: saved(photo(), "jpeg", restart_marker_blocks=2),
    "cmyk": lambda: saved(Image.fromarray(photo()).convert("CMYK"), "jpeg"),
    "lossless jpeg": lambda: imagecodecs.ljpeg_encode(photo()[:, :, 0].copy()),
    "png": lambda: saved(photo(), "png"),
    "palette png": lambda: saved(Image.fromarray(photo()).quantize(16), "png"),
    "16-bit png": lambda: imagecodecs.png_encode(photo().astype(np.uint16) * 257),
    "webp": lambda: saved(photo(), "webp"),
    "tiff": lambda: saved(photo(), "tiff"),
    "lzw tiff": lambda: saved(photo(), "tiff", compression="tiff_lzw"),
    "16-bit tiff": lambda: imagecodecs.tiff_encode(photo().astype(np.uint16), photometric="rgb"),
    "bmp": lambda: saved(photo(), "bmp"),
    "ppm": lambda: saved(photo(), "ppm"),
    "jp2": lambda: saved(photo(), "jpeg2000", irreversible=True, quality_layers=[20]),
    "j2k": lambda: saved(photo(), "jpeg2000", no_jp2=True),
}


@pytest.mark.parametrize("kind", sorted(DAMAGED))
def test_cut_data_are_refused(kind):
    """Wherever the data end, even one byte early, there is an error and never a picture."""
    data = DAMAGED[kind]()
    decode_rgb(data, where="whole")
    for cut in cuts(data):
        refuses(data[:cut])


def test_a_gif_cut_short_is_refused():
    """Up to the trailer, which holds no pixels."""
    data = saved(photo(), "gif")
    for cut in cuts(data[:-3]):
        refuses(data[:cut])


@pytest.mark.parametrize("kind", ["jpeg", "progressive", "png", "webp", "bmp", "ppm", "tiff"])
def test_bytes_after_the_end_do_no_harm(kind):
    """Padding after the end of a file changes nothing."""
    data = DAMAGED[kind]()
    padded = decode_rgb(data + b"\0" * 100, where="")
    assert np.array_equal(padded, decode_rgb(data, where=""))


def test_jpeg2000_cut_in_its_first_packets_is_refused():
    """OpenJPEG paints a blurred picture from a little data; the lost end marker tells."""
    options = {"irreversible": True, "quality_mode": "rates", "quality_layers": [20]}
    for data in (saved(photo(), "jpeg2000", no_jp2=flag, **options) for flag in (True, False)):
        decode_rgb(data, where="whole")
        for cut in range(80, len(data)):
            refuses(data[:cut])


@pytest.mark.parametrize("kind", ["jpeg", "cmyk", "restarts"])
def test_a_jpeg_cut_and_given_an_end_is_refused(kind):
    """The end marker is there and the rows are not: libjpeg warns, and strict decoding raises."""
    data = DAMAGED[kind]()
    for cut in cuts(data[:-10]):
        refuses(data[:cut] + b"\xff\xd9")


def test_a_jpeg_without_a_colour_is_refused():
    """A component of which no scan was sent would be painted grey, without a warning."""
    chroma_last = saved(photo(), "jpeg", progressive=True)
    header = parse_jpeg_header(chroma_last, where="")
    assert missing_components(chroma_last, header) == b""

    no_scan = chroma_last[: header.first_scan - 4] + b"\xff\xd9"
    assert "no data of components [1, 2, 3]" in refuses(no_scan)


def test_missing_components_looks_at_every_first_coefficient():
    """A component counts as sent once a scan that starts at coefficient 0 names it."""

    def scan(*names, first=0):
        pairs = b"".join(bytes([name, 0]) for name in names)
        body = bytes([len(names)]) + pairs + bytes([first, 63, 0])
        return b"\xff\xda" + struct.pack(">H", 2 + len(body)) + body + b"\x12\xff\x00\x34"

    def missing(*scans):
        data = frame + b"".join(scans) + b"\xff\xd9" + scan(1, 2, 3)
        return list(missing_components(data, parse_jpeg_header(data, where="")))

    components = bytes([3, 1, 17, 0, 2, 17, 0, 3, 17, 0])
    frame = b"\xff\xd8\xff\xc2" + struct.pack(">HBHH", 17, 8, 4, 4) + components
    assert missing(scan(1, 2, 3)) == []
    assert missing(scan(1), scan(2), scan(3)) == []
    assert missing(scan(1), scan(2)) == [3]
    assert missing(scan(1, 2), scan(3, first=1)) == [3]


@pytest.mark.parametrize("kind", sorted(DAMAGED))
def test_changed_bytes_give_a_picture_or_one_kind_of_error(kind):
    """Whatever a decoder raises arrives as DecodeError, and large claims are refused."""
    data, rng = DAMAGED[kind](), random.Random(5)
    for trial in range(60):
        changed = bytearray(data)
        for _ in range(rng.randrange(1, 6)):
            changed[rng.randrange(len(data) if trial % 2 else 120)] = rng.randrange(256)
        try:
            decode_rgb(bytes(changed), where="here", max_pixels=2**22)
        except DecodeError as error:
            assert str(error).startswith("here: ")  # a picture is fine too


@given(st.integers(8, 10_000), st.integers(1, 255))
def test_every_changed_byte_of_a_png_is_seen(place, change):
    """Checksums cover all of a PNG, the optional chunks and the end included."""
    image = Image.fromarray(photo(32, 32)).quantize(16)
    data = bytearray(saved(image, "png", transparency=2))
    data[8 + place % (len(data) - 8)] ^= change
    refuses(bytes(data))


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.99])
def test_a_png_with_too_few_rows_is_refused(keep):
    """Checksums and chunks are right and rows are missing, which Pillow may pass over."""
    chunks = dict(split_chunks(saved(photo(), "png")))
    rows = zlib.decompress(chunks[b"IDAT"])
    chunks[b"IDAT"] = zlib.compress(rows[: int(len(rows) * keep)])
    refuses(join_chunks(chunks.items()))


def test_the_global_of_pillow_cannot_make_grey_pictures(monkeypatch):
    """With LOAD_TRUNCATED_IMAGES set, fast decoders stay strict and Pillow is not used."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    for kind in ("jpeg", "progressive", "png"):
        data = DAMAGED[kind]()
        decode_rgb(data, where="whole")
        refuses(data[: len(data) // 2])
    with pytest.raises(ConfigError, match="LOAD_TRUNCATED_IMAGES is set"):
        decode_rgb(DAMAGED["bmp"](), where="here")


# Limits, errors, threads.


@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "tiff", "gif", "bmp"])
def test_max_pixels_is_inclusive(format):
    """As many pixels as allowed pass; one more does not, and the message names the option."""
    data = saved(photo(), format)
    decode_rgb(data, where="", max_pixels=96 * 64)
    message = refuses(data, max_pixels=96 * 64 - 1)
    assert "expected at most max_pixels=6143 pixels, found 96 x 64 = 6144. Raise" in message


def test_a_bomb_is_refused_from_its_header():
    """A few bytes that claim 2**62 pixels take no memory and warn of nothing."""
    refuses(png(2**31 - 1, 2**31 - 1, 8, 2, [b""]))
    refuses(png(2**15, 2**14, 1, 0, [b""]), max_pixels=DEFAULT_MAX_PIXELS)


def test_the_limit_of_pillow_raises_instead_of_warning(monkeypatch):
    """Where Pillow decodes, its limit is an error of ours, not a warning to every thread."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert "PIL.Image.MAX_IMAGE_PIXELS=1000" in refuses(saved(photo(), "tiff"))
    assert decode_rgb(saved(photo(), "png"), where="").shape == (64, 96, 3)


def test_the_cause_is_chained():
    """The decoder's own error is kept."""
    with pytest.raises(
        DecodeError, match=r"ValueError: Premature end of JPEG file\. Rep"
    ) as caught:
        decode_rgb(saved(photo(), "jpeg")[:-2], where="a.tar: b.jpg")
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_full_memory_is_no_bad_image(monkeypatch):
    """A MemoryError passes, so that no policy skips it."""

    def run_out(data, out=None):
        raise MemoryError

    monkeypatch.setattr(imagecodecs, "png_decode", run_out)
    with pytest.raises(MemoryError):
        decode_rgb(saved(photo(), "png"), where="")


def test_many_threads_give_the_same_pixels():
    """Nothing is shared between calls but the counters, which lose nothing."""
    data = [DAMAGED[kind]() for kind in sorted(DAMAGED)] * 10
    before = fallback_counts().get("format: webp", 0)
    expected = [decode_rgb(item, where="") for item in data]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda item: decode_rgb(item, where=""), data))
    assert all(map(np.array_equal, found, expected))
    assert fallback_counts()["format: webp"] == before + 20


# Real files.


def real_files():
    """Name the files of the data folder; a parameter that is skipped aloud if there is none."""
    names = sorted(path.name for path in DATA.iterdir()) if DATA.is_dir() else []
    reason = f"the folder of real images is not there: {DATA.parts[-3:]}"
    return names or [pytest.param("", marks=pytest.mark.skip(reason=reason))]


@pytest.mark.parametrize("name", real_files())
def test_real_files(name):
    """Each is decoded as Pillow does by the same rule, or is on the list of the refused."""
    data = (DATA / name).read_bytes()
    if name in REFUSED:
        refuses(data)
        return
    pixels = decode_rgb(data, where=name)
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - pillow_rgb(data)).max() <= 2
