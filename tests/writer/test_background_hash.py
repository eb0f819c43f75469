"""Checksums beside the packing."""

import hashlib
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrs_wds.writer import background_hash
from vrs_wds.writer.background_hash import MAX_WAITING_BYTES, THREAD_NAME, BackgroundHash


def join_threads() -> None:
    """Wait for every hashing thread; a test that hangs here has left one running."""
    for thread in threading.enumerate():
        if thread.name == THREAD_NAME:
            thread.join(timeout=60)
            assert not thread.is_alive()


class Held:
    """A hash that works only when it is let, and fails where it is told to."""

    def __init__(self, fail_at: int = -1) -> None:
        self.let = threading.Semaphore(0)
        self.taken: list[bytes] = []
        self.fail_at = fail_at

    def update(self, data: bytes, /) -> None:
        """Wait to be let."""
        assert self.let.acquire(timeout=60)
        if len(self.taken) == self.fail_at:
            raise MemoryError("no room for a hash")
        self.taken.append(data)

    def hexdigest(self) -> str:
        """Return what came."""
        return b"".join(self.taken).decode()


@given(st.lists(st.binary(max_size=50)))
def test_any_pieces_give_the_digest_of_the_whole(pieces: list[bytes]) -> None:
    """In the order in which they came; none gives that of nothing."""
    background = BackgroundHash(hashlib.sha256())
    for piece in pieces:
        background.update(piece)

    assert background.hexdigest() == hashlib.sha256(b"".join(pieces)).hexdigest()


def test_it_goes_on_after_a_digest() -> None:
    """A digest is that of all bytes so far."""
    background = BackgroundHash(hashlib.md5())
    background.update(b"a")
    assert background.hexdigest() == hashlib.md5(b"a").hexdigest()
    background.update(b"b")
    assert background.hexdigest() == hashlib.md5(b"ab").hexdigest()


def test_only_so_many_bytes_wait() -> None:
    """Who hands over more waits until there is room; a piece larger than the limit waits alone."""
    held = Held()
    background = BackgroundHash(held)
    half, large = b"x" * (MAX_WAITING_BYTES // 2), b"y" * (MAX_WAITING_BYTES + 1)
    background.update(half)
    background.update(half)
    events: list[str] = []

    def hand_over() -> None:
        background.update(b"z")
        events.append("small")
        background.update(large)
        events.append("large")

    thread = threading.Thread(target=hand_over)
    thread.start()
    thread.join(timeout=0.05)
    assert events == []
    held.let.release(2)  # both halves: the small one has room, the large one waits for it, too
    thread.join(timeout=0.05)
    assert events == ["small"]
    held.let.release(2)
    thread.join(timeout=60)
    assert events == ["small", "large"]
    assert len(background.hexdigest()) == 2 * len(half) + 1 + len(large)
    join_threads()


@pytest.mark.parametrize("fail_at", [0, 2])
def test_what_goes_wrong_in_the_thread_is_raised(fail_at: int) -> None:
    """By the digest, and by every later update; whoever waits for room does not wait for ever."""
    held = Held(fail_at)
    background = BackgroundHash(held)
    held.let.release(100)
    piece = b"x" * (MAX_WAITING_BYTES // 2)
    with pytest.raises(MemoryError, match="no room for a hash"):
        for _ in range(20):
            background.update(piece)
    with pytest.raises(MemoryError, match="no room for a hash"):
        background.hexdigest()
    with pytest.raises(MemoryError, match="no room for a hash"):
        background.update(b"")
    join_threads()


def test_a_thread_that_cannot_be_started_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not a wrong digest, nor a wait without end."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise RuntimeError("can't start new thread")

    background = BackgroundHash(hashlib.sha256())
    monkeypatch.setattr(background_hash.threading, "Thread", refuse)
    with pytest.raises(RuntimeError, match="can't start"):
        background.update(b"a")
    with pytest.raises(RuntimeError, match="can't start"):
        background.hexdigest()


def test_ctrl_c_while_waiting_leaves_no_thread() -> None:
    """Whoever is interrupted while there is no room need not tidy up."""
    held = Held()
    background = BackgroundHash(held)

    def interrupt() -> bool:
        raise KeyboardInterrupt

    background.update(b"x" * MAX_WAITING_BYTES)
    background._changed.wait = lambda timeout=None: interrupt()  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        background.update(b"y")
    held.let.release()
    join_threads()
    assert len(held.taken) == 1
