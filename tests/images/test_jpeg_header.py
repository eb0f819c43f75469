"""A header that was seen before means what it means when it is parsed anew."""

import io

import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vrs_wds.errors import DecodeError
from vrs_wds.images.header import read_headers
from vrs_wds.images.jpeg_header import JpegHeader, _parse, parse_jpeg_header


def jpeg(**options: object) -> bytes:
    """Encode a small picture with noise."""
    pixels = np.random.default_rng(3).integers(0, 255, (24, 40, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "jpeg", **options)
    return buffer.getvalue()


# A thumbnail's scan comes before the picture's own.
_EXIF = b"Exif\0\0" + jpeg()
PLAIN = [
    jpeg(),
    jpeg(progressive=True),
    jpeg(exif=_EXIF),
    jpeg(comment=b"\xff\xda" + bytes(300)),
    jpeg(comment=b"\xff\xda\x00\x0c\x03\x01\x00\x02\x11\x03\x11\x00\x3f\x00"),
]


def header_of(data: bytes) -> JpegHeader | None:
    """Return the header by way of those that are kept; both ways agree."""
    try:
        parsed = parse_jpeg_header(data, where="here")
    except DecodeError:
        return None
    if parsed.width and parsed.height and data[:3] == b"\xff\xd8\xff":
        read = read_headers(data, where="here")
        assert read == read_headers(data, where="here")
        assert read[1] == parsed
    return parsed


@pytest.mark.parametrize("data", PLAIN)
def test_a_header_in_front_of_other_data(data: bytes) -> None:
    """The same header before a longer, a shorter and no picture."""
    whole = header_of(data)
    assert whole == _parse(data)[0]
    assert whole is not None
    assert whole.missing in (b"", b"\x02\x03")
    for changed in (data + data, data[: whole.first_scan + 20], data[: whole.first_scan]):
        assert header_of(changed) == _parse(changed)[0]


@pytest.mark.parametrize("data", PLAIN)
def test_a_whole_picture_after_one_that_was_cut_in_its_scans_parameters(data: bytes) -> None:
    """What the cut one lacks, the whole one has."""
    first_scan = _first_scan(data)
    for cut in range(first_scan + 1, first_scan + 10):
        cut_header, whole = header_of(data[:cut]), read_headers(data, where="here")[1]
        assert cut_header == _parse(data[:cut])[0]
        assert whole == _parse(data)[0]
        read_headers(PLAIN[1], where="here")  # another one, so that the next is not known


def _first_scan(data: bytes) -> int:
    header = _parse(data)[0]
    assert header is not None
    return header.first_scan


@given(
    st.sampled_from(PLAIN),
    st.lists(st.tuples(st.integers(0, 800), st.integers(0, 255)), max_size=3),
    st.integers(0, 2000),
)
def test_kept_headers_are_those_of_the_file(
    data: bytes, changes: list[tuple[int, int]], cut: int
) -> None:
    """Also where bytes of the header were changed, or the file was cut."""
    changed = bytearray(data)
    for place, value in changes:
        changed[place % len(changed)] = value
    found = bytes(changed[: len(changed) - cut])
    if header_of(found) != _parse(found)[0]:
        # Only of a scan whose length is wrong, which every decoder refuses.
        with pytest.raises(ValueError, match=r".+"):
            simplejpeg.decode_jpeg(found, "RGB")
