"""`ShardWriter`: what it writes, whatever the sizes."""

import hashlib
import io
import tarfile
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vrs_wds.shard.checksums import crc32c
from vrs_wds.writer import shard_writer
from vrs_wds.writer.background import THREAD_NAME
from vrs_wds.writer.prepare import PreparedSample
from vrs_wds.writer.shard_writer import PIECE_BYTES, ShardWriter


class Collected:
    """A store's writer that keeps what it is given."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data: bytes, /) -> None:
        """Keep the bytes."""
        self.pieces.append(data)


def prepared(key: str, *sizes: int) -> PreparedSample:
    """Return a sample with members of these sizes."""
    members = tuple((f"m{i}.bin", bytes([65 + i]) * size) for i, size in enumerate(sizes))
    return PreparedSample(key, members, 1, 1, "png", {}, {}, "")


SIZES = st.lists(
    st.one_of(st.integers(0, 2000), st.sampled_from([511, 512, 513, 4096, 5000, 9000])),
    min_size=1,
    max_size=4,
)


@given(samples=st.lists(SIZES, max_size=6), piece=st.sampled_from([1, 600, 4096, 1 << 20]))
@settings(max_examples=60)
def test_a_shard_is_a_tar_and_its_rows_say_where(samples: list[list[int]], piece: int) -> None:
    """Bytes, places and checksums agree with tarfile and hashlib, wherever pieces end."""
    collected, before = Collected(), shard_writer.PIECE_BYTES
    shard_writer.PIECE_BYTES = piece  # type: ignore[misc]
    try:
        writer = ShardWriter(collected, max_samples=1000, max_bytes=10**9)
        given = [prepared(f"{'d/' * 60 * (i % 2)}s{i}", *s) for i, s in enumerate(samples)]
        assert all(map(writer.add, given))
        writer.end()
        info = writer.close("train-000000.tar")
    finally:
        shard_writer.PIECE_BYTES = before  # type: ignore[misc]
    data = b"".join(collected.pieces)

    assert (info.filesize, info.nsamples) == (len(data), len(samples))
    assert info.sha256 == hashlib.sha256(data).hexdigest()
    assert info.md5sum == hashlib.md5(data).hexdigest()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        names = [member.name for member in tar]
    assert names == [f"{sample.key}.{e}" for sample in given for e, _ in sample.members]
    end = 0
    for sample, row in zip(given, writer.rows, strict=True):
        assert row.offset == end
        end += row.size
        for extension, content in sample.members:
            place = row.members[extension]
            assert data[place.offset : place.offset + place.size] == content
            assert place.crc32c == crc32c(content)
    assert len(data) == end + 1024


def test_pieces_are_large_and_large_members_are_not_copied() -> None:
    """Few writes; and a member as large as a piece is handed on as it is."""
    collected = Collected()
    writer = ShardWriter(collected, max_samples=1000, max_bytes=10**9)
    for i in range(100):
        writer.add(prepared(f"s{i}", PIECE_BYTES // 30))
    large = prepared("large", 3, PIECE_BYTES, 5)
    writer.add(large)
    writer.end()
    writer.close("x")

    assert len(collected.pieces) < 9
    assert any(piece is large.members[1][1] for piece in collected.pieces)


@pytest.mark.parametrize(
    ("max_samples", "max_bytes", "fitted"),
    [(1, 1, 1), (2, 10**9, 2), (9, 2 * 1024 + 1024, 2), (9, 2 * 1024 + 1023, 1)],
)
def test_what_does_not_fit_is_not_added(max_samples: int, max_bytes: int, fitted: int) -> None:
    """What is not written yet counts, and the end of the tar; the first always fits."""
    collected = Collected()
    writer = ShardWriter(collected, max_samples=max_samples, max_bytes=max_bytes)
    answers = [writer.add(prepared(key, 100)) for key in "abc"]
    writer.end()
    info = writer.close("x")
    assert answers == [i < fitted for i in range(3)]
    assert [row.key for row in writer.rows] == list("abc"[:fitted])
    assert info.filesize == len(b"".join(collected.pieces)) == fitted * 1024 + 1024


def test_a_store_that_fails_leaves_no_thread() -> None:
    """The store's exception comes through; hashing ends by itself."""

    class Full:
        def write(self, data: bytes, /) -> None:
            raise OSError("No space left on device")

    writer = ShardWriter(Full(), max_samples=1000, max_bytes=10**9)
    with pytest.raises(OSError, match="No space left"):
        for i in range(100):
            writer.add(prepared(f"s{i}", PIECE_BYTES // 4))
    writer.stop()
    for thread in threading.enumerate():
        if thread.name == THREAD_NAME:
            thread.join(timeout=60)
            assert not thread.is_alive()
