"""Work beside the packing."""

import hashlib
import threading
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrs_wds.writer import background
from vrs_wds.writer.background import MAX_WAITING_BYTES, THREAD_NAME, Background


def join_threads() -> None:
    """Wait for every hashing thread; a test that hangs here has left one running."""
    for thread in threading.enumerate():
        if thread.name == THREAD_NAME:
            thread.join(timeout=60)
            assert not thread.is_alive()


class Held:
    """A work that is done only when it is let, and fails where it is told to."""

    def __init__(self, fail_at: int = -1) -> None:
        self.let = threading.Semaphore(0)
        self.taken: list[bytes] = []
        self.fail_at = fail_at

    def take(self, data: bytes, /) -> None:
        """Wait to be let."""
        assert self.let.acquire(timeout=60)
        if len(self.taken) == self.fail_at:
            raise MemoryError("no room for a hash")
        self.taken.append(data)


@given(st.lists(st.binary(max_size=50)))
def test_any_pieces_give_the_digest_of_the_whole(pieces: list[bytes]) -> None:
    """In the order in which they came; none gives that of nothing."""
    sha256 = hashlib.sha256()
    work = Background(sha256.update)
    for piece in pieces:
        work.put(piece)

    work.wait()
    assert sha256.digest() == hashlib.sha256(b"".join(pieces)).digest()


def test_it_goes_on_after_a_wait() -> None:
    """Whoever waits may have more."""
    taken: list[bytes] = []
    work = Background(taken.append)
    work.put(b"a")
    work.wait()
    assert taken == [b"a"]
    work.put(b"b")
    work.wait()
    assert taken == [b"a", b"b"]


def test_only_so_many_bytes_wait() -> None:
    """Who hands over more waits until there is room; a piece larger than the limit waits alone."""
    held = Held()
    work = Background(held.take)
    half, large = b"x" * (MAX_WAITING_BYTES // 2), b"y" * (MAX_WAITING_BYTES + 1)
    work.put(half)
    work.put(half)
    events: list[str] = []

    def hand_over() -> None:
        work.put(b"z")
        events.append("small")
        work.put(large)
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
    work.wait()
    assert held.taken == [half, half, b"z", large]
    join_threads()


@pytest.mark.parametrize("fail_at", [0, 2])
def test_what_goes_wrong_in_the_thread_is_raised(fail_at: int) -> None:
    """By `wait`, and by every later `put`; whoever waits for room does not wait for ever."""
    held = Held(fail_at)
    work = Background(held.take)
    held.let.release(100)
    piece = b"x" * (MAX_WAITING_BYTES // 2)
    with pytest.raises(MemoryError, match="no room for a hash"):
        for _ in range(20):
            work.put(piece)
    with pytest.raises(MemoryError, match="no room for a hash"):
        work.wait()
    with pytest.raises(MemoryError, match="no room for a hash"):
        work.put(b"")
    join_threads()


def test_a_thread_that_cannot_be_started_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not a piece that is left out, nor a wait without end."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise RuntimeError("can't start new thread")

    work = Background(hashlib.sha256().update)
    monkeypatch.setattr(background.threading, "Thread", refuse)
    with pytest.raises(RuntimeError, match="can't start"):
        work.put(b"a")
    with pytest.raises(RuntimeError, match="can't start"):
        work.wait()


def test_ctrl_c_while_waiting_leaves_no_thread() -> None:
    """Whoever is interrupted while there is no room need not tidy up."""
    held = Held()
    work = Background(held.take)

    def interrupt() -> bool:
        raise KeyboardInterrupt

    work.put(b"x" * MAX_WAITING_BYTES)
    work._changed.wait = lambda timeout=None: interrupt()  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        work.put(b"y")
    held.let.release()
    join_threads()
    assert len(held.taken) == 1


def test_what_waits_is_dropped_by_stop() -> None:
    """The piece that is being taken is taken to its end first; nothing afterwards, and no error."""
    held = Held(fail_at=1)
    work = Background(held.take)
    for piece in (b"a", b"b", b"c"):
        work.put(piece)
    stopped = threading.Thread(target=work.stop)
    stopped.start()
    stopped.join(timeout=0.05)
    assert stopped.is_alive()
    held.let.release(100)
    stopped.join(timeout=60)
    join_threads()
    assert held.taken == [b"a"]
    work.stop()


class Interrupting(deque[bytes]):
    """Takes a piece; then Ctrl-C comes, before there is a thread for it."""

    def append(self, piece: bytes, /) -> None:
        """Raise when it is there."""
        super().append(piece)
        raise KeyboardInterrupt


def test_ctrl_c_before_the_thread_is_there_leaves_nothing_to_wait_for() -> None:
    """Who stops drops the piece; who waits has it taken."""
    for finish, taken in ((Background.stop, []), (Background.wait, [b"a"])):
        found: list[bytes] = []
        work = Background(found.append)
        work._waiting = Interrupting()
        with pytest.raises(KeyboardInterrupt):
            work.put(b"a")

        done = threading.Thread(target=finish, args=(work,), daemon=True)
        done.start()
        done.join(timeout=60)
        assert not done.is_alive()
        assert found == taken
    join_threads()
