"""The link hands on what came, no earlier than it may."""

import http.client
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest

from benchmarks.slow_link import SlowLink
from tests.servers.process import free_port
from tests.servers.ranges import RangeServer, serving

BYTES_PER_SECOND = 50e6
LATENCY_SECONDS = 0.02
DATA = np.random.default_rng(0).bytes(3_000_000)


@pytest.fixture
def server() -> Iterator[RangeServer]:
    """A server with one file."""
    with serving() as server:
        server.files = {"/file": DATA}
        yield server


@pytest.fixture
def address(server: RangeServer) -> Iterator[str]:
    """Address of a link to it."""
    with SlowLink(
        server.server_address[:2],
        latency_seconds=LATENCY_SECONDS,
        bytes_per_second=BYTES_PER_SECOND,
    ) as link:
        yield link.url.removeprefix("http://")


def connected(address: str) -> "closing[http.client.HTTPConnection]":
    """Return a connection that is closed at the end of a block."""
    return closing(http.client.HTTPConnection(address, timeout=20))


def get(connection: http.client.HTTPConnection, start: int, stop: int) -> bytes:
    """Return a range of the file."""
    connection.request("GET", "/file", headers={"Range": f"bytes={start}-{stop - 1}"})
    return connection.getresponse().read()


def test_ranges_on_several_connections_come_whole_and_share_the_link(address: str) -> None:
    """Together they take at least as long as their bytes do."""
    starts = range(0, len(DATA), 300_000)

    def fetch(start: int) -> bytes:
        with connected(address) as connection:
            return get(connection, start, start + 300_000)

    begun = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(fetch, starts))
    seconds = time.monotonic() - begun

    assert b"".join(parts) == DATA
    assert seconds >= LATENCY_SECONDS + 0.9 * len(DATA) / BYTES_PER_SECOND


def test_each_request_of_a_connection_is_late(address: str) -> None:
    """A connection is used again."""
    with connected(address) as connection:
        begun = time.monotonic()
        parts = [get(connection, start, start + 10) for start in range(0, 50, 10)]
        seconds = time.monotonic() - begun

    assert b"".join(parts) == DATA[:50]
    assert seconds >= 5 * LATENCY_SECONDS


def test_without_a_server_a_connection_ends() -> None:
    """It is not left open."""
    nobody = ("127.0.0.1", free_port())
    with (
        SlowLink(nobody, latency_seconds=0, bytes_per_second=1e6) as link,
        connected(link.url.removeprefix("http://")) as connection,
        pytest.raises((http.client.HTTPException, ConnectionError)),
    ):
        get(connection, 0, 1)
