"""A bucket whose server fails: tried again within limits, resumed, never silently short."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.servers.ranges import (
    Handler,
    RangeServer,
    break_off,
    lose_answer,
    serving,
    shorten,
    status,
)
from vrs_wds.errors import FileChanged, StorageError
from vrs_wds.storage.object_store import ObjectStore
from vrs_wds.storage.open import open_store

DATA = np.random.default_rng(0).bytes(1_000_000)


@pytest.fixture
def server() -> Iterator[RangeServer]:
    """A server with one file."""
    with serving() as server:
        server.files["/bucket/x/a.tar"] = DATA
        yield server


def open_bucket(server: RangeServer, **options: Any) -> ObjectStore:
    """Open the bucket with short times."""
    options = {"stall_seconds": 0.5, "retry_seconds": 30, "retries": 3} | options
    store = open_store(
        "s3://bucket/x",
        endpoint=server.url,
        access_key_id="key",
        secret_access_key="hush",
        region="us-east-1",
        **options,
    )
    assert isinstance(store, ObjectStore)
    return store


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_busy_server_is_asked_again(server: RangeServer, code: int) -> None:
    """Later each time; the counters tell."""
    server.faults = [status(code)]
    store = open_bucket(server)

    assert store.get_range("a.tar", 10, 100) == DATA[10:110]
    assert store.counters.as_dict() == {
        "requests": 2,
        "bytes_read": 100,
        "bytes_written": 0,
        "retries": 1,
        "stalls": 0,
    }


def test_a_server_that_is_busy_for_ever_is_an_error(server: RangeServer) -> None:
    """That names the file, what was tried, and what to do."""
    server.always = status(503)
    store = open_bucket(server, retries=1)
    with pytest.raises(
        StorageError,
        match=r"s3://bucket/x/a.tar: cannot be read: .*503.*SlowDown. Tried 2 times in .* fewer",
    ):
        store.get_range("a.tar", 0, 10)


def test_the_time_for_trying_is_limited(server: RangeServer) -> None:
    """However many tries are left."""
    server.always = status(500)
    store = open_bucket(server, retries=1000, retry_seconds=1)
    began = time.monotonic()
    with pytest.raises(StorageError, match="500"):
        store.get_range("a.tar", 0, 10)
    assert time.monotonic() - began < 10


def test_what_will_not_help_is_not_tried_again(server: RangeServer) -> None:
    """A bad request stays one."""
    server.always = status(400, b"<Error><Code>Bad</Code><Message>No.</Message></Error>")
    with pytest.raises(StorageError, match=r"400 Bad Request: Bad: No\.\. Tried once"):
        open_bucket(server).get_range("a.tar", 0, 10)
    assert len(server.requests) == 1


def test_a_broken_range_goes_on_where_it_broke_off(server: RangeServer) -> None:
    """At the byte, not from its start."""
    server.faults = [break_off(300_000)]
    store = open_bucket(server)

    assert store.get_range("a.tar", 100, 900_000) == DATA[100:900_100]
    first, second = (int(asked.split("=")[1].split("-")[0]) for *_, asked in server.requests[:2])
    assert first == 100
    assert second == 100 + 300_000


def test_a_stall_is_noticed_and_counted(server: RangeServer) -> None:
    """Before the first byte or in the middle."""
    server.faults = [break_off(300_000, silent=True)]
    store = open_bucket(server)

    assert store.get_range("a.tar", 0, 900_000) == DATA[:900_000]
    assert store.counters.stalls == 1


def test_a_stall_for_ever_is_an_error_that_names_the_file(server: RangeServer) -> None:
    """And says how long it waited."""
    server.always = break_off(0, silent=True)
    with pytest.raises(StorageError, match=r"x/a.tar: cannot be read.*Tried 2 times.*stall_secon"):
        open_bucket(server, retries=1).get_range("a.tar", 0, 10)


def test_a_short_body_is_fetched_again(server: RangeServer) -> None:
    """The rest of it, when the answer promised more than it gave."""
    server.faults = [shorten(50)]
    store = open_bucket(server)

    assert store.get_range("a.tar", 0, 100) == DATA[:100]
    assert store.counters.retries == 1


def test_short_bodies_for_ever_are_an_error(server: RangeServer) -> None:
    """Never silently fewer bytes."""
    server.always = shorten(100)
    store = open_bucket(server, retries=1)
    with pytest.raises(StorageError, match=r"x/a\.tar: .*expected 100 bytes from 0, found 0"):
        store.get_range("a.tar", 0, 100)


def test_a_server_that_hides_the_end_is_found_out(server: RangeServer) -> None:
    """Its range says that the file ends where the bytes do; its HEAD knows better."""

    def lie(handler: Handler) -> bool:
        if handler.command == "HEAD":
            return False
        headers = {"ETag": f'"{hash(DATA):x}"', "Content-Range": "bytes 0-49/50"}
        handler.answer(206, DATA[:50], headers)
        return True

    server.always = lie
    with pytest.raises(StorageError, match=r"expected 100 bytes from 0, found 50"):
        open_bucket(server, retries=0).get_range("a.tar", 0, 100)


def test_a_file_replaced_in_the_middle_of_a_range(server: RangeServer) -> None:
    """The rest is not taken from the new one."""

    def replace(handler: Handler) -> bool:
        handler.server.files["/bucket/x/a.tar"] = DATA[::-1]
        return False

    server.faults = [break_off(300_000), replace]
    with pytest.raises(FileChanged, match=r"s3://bucket/x/a\.tar: was replaced"):
        open_bucket(server).get_range("a.tar", 0, 900_000)


def test_a_lost_answer_to_put_new_is_no_loss(server: RangeServer) -> None:
    """The second try finds the file of the first, and knows it."""
    server.files.clear()
    store = open_bucket(server)
    store.exists("b")
    server.faults = [lose_answer]

    store.put_new("b", b"mine")

    assert server.files["/bucket/x/b"] == b"mine"
    assert store.counters.retries == 1


def test_a_lost_answer_to_put_new_of_another(server: RangeServer) -> None:
    """Somebody else's file is not taken for one's own."""
    store = open_bucket(server)
    store.exists("b")

    def lose_and_replace(handler: Handler) -> bool:
        handler.server.files["/bucket/x/b"] = b"yours"
        return lose_answer(handler)

    server.faults = [lose_and_replace]
    with pytest.raises(FileExistsError, match="s3://bucket/x/b: is there already"):
        store.put_new("b", b"mine!")


def test_a_slow_reader_holds_up_no_request(server: RangeServer) -> None:
    """Each request ends soon after it began, however long the reader takes over a block."""
    store = open_bucket(server, range_bytes=50_000, stall_seconds=0.3)
    with store.open_reader("a.tar") as file:
        got = file.read(1000)
        while piece := file.read(200_000):
            time.sleep(0.35)  # longer than a request may be silent
            got += piece

    assert got == DATA
    assert store.counters.as_dict()["stalls"] == 0
    gets = [asked for method, _, asked in server.requests if method == "GET"]
    assert len(gets) == 20
    assert all("-" in asked for asked in gets)


def test_a_reader_fetches_a_few_blocks_ahead_and_no_more(server: RangeServer) -> None:
    """Memory stays bounded while nobody reads on."""
    store = open_bucket(server, range_bytes=10_000)
    with store.open_reader("a.tar") as file:
        file.read(30_000)
        deadline = time.monotonic() + 10
        while len(server.requests) < 7 and time.monotonic() < deadline:
            time.sleep(0.01)
        count = len(server.requests)

    assert count <= 1 + 3 + 13  # HEAD, what was read with the buffer, and ahead


def test_an_endpoint_that_is_not_there(server: RangeServer) -> None:
    """Is told soon, not after all tries."""
    url = server.url
    server.server_close()
    store = open_store("s3://bucket/x", endpoint=url, access_key_id="k", secret_access_key="s")
    with pytest.raises(StorageError, match=r"Connection refused.*cannot be reached: look at its"):
        store.get("a.tar")
