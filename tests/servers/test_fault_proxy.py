"""The proxy does to requests what its rules say, and to nothing else."""

import contextlib
import gc
import http.client
import socket
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.servers.fault_proxy import FaultProxy
from tests.servers.faults import (
    Fault,
    FlipByte,
    Latency,
    LostReply,
    ResetBeforeReply,
    ResetReply,
    ResetUpload,
    ShortBody,
    StallReply,
    StallUpload,
    Status,
)

BODY = bytes(range(256)) * 1200  # 307,200 bytes: several pieces of the proxy's


class _Handler(BaseHTTPRequestHandler):
    """Gives `BODY`, or a range of it; takes uploads and notes them."""

    protocol_version = "HTTP/1.1"
    uploads: list[bytes]
    hosts: list[str]

    def do_GET(self) -> None:
        self.hosts.append(self.headers["Host"])
        if self.path == "/chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for start in range(0, len(BODY), 100_000):
                piece = BODY[start : start + 100_000]
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
            return
        if span := self.headers["Range"]:
            start, stop = (int(text) for text in span.removeprefix("bytes=").split("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{stop}/{len(BODY)}")
            body = BODY[start : stop + 1]
        else:
            self.send_response(200)
            body = BODY
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if len(body) == int(self.headers["Content-Length"]):
            self.uploads.append(body)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def handler() -> type[_Handler]:
    """A handler class of the test's own, so that it can look at what came."""

    class Handler(_Handler):
        uploads: list[bytes] = []  # noqa: RUF012
        hosts: list[str] = []  # noqa: RUF012

    return Handler


@pytest.fixture
def port(handler: type[_Handler]) -> Iterator[int]:
    """The port of a tiny server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # it may be reset
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def proxy(port: int) -> Iterator[FaultProxy]:
    """A proxy before the tiny server."""
    with FaultProxy(("127.0.0.1", port)) as proxy:
        yield proxy


def connect(proxy: FaultProxy, timeout: float = 5) -> http.client.HTTPConnection:
    """Return a connection that is kept alive from request to request."""
    return http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=timeout)


def fetch(
    proxy: FaultProxy, method: str = "GET", path: str = "/a", body: bytes | None = None, **more: str
) -> tuple[int, bytes]:
    """Make one request on a connection of its own."""
    connection = connect(proxy)
    try:
        connection.request(method, path, body, more)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_without_rules_everything_passes_on_one_connection(
    proxy: FaultProxy, handler: type[_Handler]
) -> None:
    """Plain, ranged, chunked, empty and uploading requests; the Host header is the client's."""
    connection = connect(proxy)
    for path in ("/a", "/chunked"):
        connection.request("GET", path, headers={"Host": "somewhere.example"})
        assert connection.getresponse().read() == BODY
    connection.request("HEAD", "/a")
    head = connection.getresponse()
    assert (head.read(), head.getheader("Content-Length")) == (b"", str(len(BODY)))
    connection.request("PUT", "/b", BODY, {"Expect": "100-continue"})
    assert connection.getresponse().read() == b""
    connection.request("GET", "/a", headers={"Range": "bytes=5-9"})
    assert connection.getresponse().read() == BODY[5:10]
    connection.close()
    assert handler.uploads == [BODY]
    assert handler.hosts[:2] == ["somewhere.example"] * 2
    assert proxy.requests == ["GET /a", "GET /chunked", "HEAD /a", "PUT /b", "GET /a"]


def test_a_rule_strikes_the_requests_that_it_names(proxy: FaultProxy) -> None:
    """By method, path and count; it counts what it saw and what it hit."""
    rule = proxy.add(Status(503, retry_after=7), method="GET", path="/b", skip=1, times=2)
    paths = ["/a", "/b", "/b", "/a", "/b", "/b"]
    assert [fetch(proxy, path=path)[0] for path in paths] == [200, 200, 503, 200, 503, 200]
    assert fetch(proxy, "PUT", "/b", b"x")[0] == 200
    assert (rule.seen, rule.hits) == (4, 2)


def test_an_error_page_asks_to_wait_and_keeps_the_connection(
    proxy: FaultProxy, handler: type[_Handler]
) -> None:
    """The upload's body is taken, so that the next request is understood; the server sees none."""
    proxy.add(Status(429, retry_after=7), times=1)
    connection = connect(proxy)
    connection.request("PUT", "/a", BODY)
    response = connection.getresponse()
    assert (response.status, response.getheader("Retry-After")) == (429, "7")
    assert b"TooManyRequests" in response.read()
    connection.request("GET", "/a")
    assert connection.getresponse().read() == BODY
    connection.close()
    assert handler.uploads == []


@pytest.mark.parametrize("fault", [ResetBeforeReply(), LostReply(), ResetUpload(100_000)])
def test_a_connection_is_reset(proxy: FaultProxy, handler: type[_Handler], fault: Fault) -> None:
    """Only a lost reply lets the server have the request."""
    proxy.add(fault, times=1)
    with pytest.raises(OSError, match=r"reset|Broken pipe|closed"):
        fetch(proxy, "PUT", "/a", BODY)
    assert handler.uploads == ([BODY] if isinstance(fault, LostReply) else [])
    assert fetch(proxy) == (200, BODY)


def test_a_reply_is_reset_in_its_middle(proxy: FaultProxy) -> None:
    """The bytes before come through."""
    proxy.add(ResetReply(100_001))
    connection = connect(proxy)
    connection.request("GET", "/a")
    response = connection.getresponse()
    assert response.read(100_001) == BODY[:100_001]
    with pytest.raises(ConnectionResetError):
        response.read(1)
    connection.close()


@pytest.mark.parametrize("after_bytes", [0, 100_001])
def test_a_reply_stalls(proxy: FaultProxy, after_bytes: int) -> None:
    """The bytes before come through, then nothing."""
    proxy.add(StallReply(after_bytes))
    connection = connect(proxy, timeout=0.3)
    connection.request("GET", "/a")
    response = connection.getresponse()
    assert response.read(after_bytes) == BODY[:after_bytes]
    with pytest.raises(TimeoutError):
        response.read(1)
    connection.close()


def test_an_upload_stalls(proxy: FaultProxy, handler: type[_Handler]) -> None:
    """It is never answered."""
    proxy.add(StallUpload(1000))
    connection = connect(proxy, timeout=0.3)
    with pytest.raises(TimeoutError):
        connection.request("PUT", "/a", BODY)
        connection.getresponse()
    connection.close()
    assert handler.uploads == []


def test_a_body_is_short_and_says_nothing_of_it(proxy: FaultProxy) -> None:
    """Lengths and ranges fit the bytes that come, unless the range is to tell the truth."""
    proxy.add(ShortBody(7))
    assert fetch(proxy) == (200, BODY[:-7])
    connection = connect(proxy)
    for span in ("10-15/307200", "10-22/307200"):
        connection.request("GET", "/a", headers={"Range": "bytes=10-22"})
        response = connection.getresponse()
        assert response.getheader("Content-Range") == f"bytes {span}"
        assert response.read() == BODY[10:16]
        proxy.clear()
        proxy.add(ShortBody(7, adjust_range=False))
    connection.request("HEAD", "/a")
    assert connection.getresponse().getheader("Content-Length") == str(len(BODY))
    connection.close()


@pytest.mark.parametrize("path", ["/a", "/chunked"])
def test_a_byte_is_flipped(proxy: FaultProxy, path: str) -> None:
    """One byte, wherever it lies."""
    proxy.add(FlipByte(70_000))
    _, body = fetch(proxy, path=path)
    assert body[70_000] == BODY[70_000] ^ 0xFF
    assert body[:70_000] + body[70_001:] == BODY[:70_000] + BODY[70_001:]


def test_latency_and_bandwidth_take_their_time(proxy: FaultProxy) -> None:
    """Two connections share the link."""
    proxy.add(Latency(0.2), path="/b")
    proxy.bytes_per_second = 2e6
    start = time.monotonic()
    threads = [threading.Thread(target=fetch, args=(proxy,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shared = time.monotonic() - start
    proxy.bytes_per_second = None
    fetch(proxy, path="/b")
    assert shared >= 0.28  # 2 x 307,200 bytes
    assert time.monotonic() - start - shared >= 0.2


def test_the_end_of_the_proxy_ends_what_is_stalled(proxy: FaultProxy) -> None:
    """No thread is left waiting."""
    proxy.add(StallReply(10))
    connection = connect(proxy)
    connection.request("GET", "/a")
    response = connection.getresponse()
    assert response.read(10) == BODY[:10]
    proxy.stop()
    with pytest.raises((OSError, http.client.IncompleteRead)):
        response.read()
    connection.close()


def test_the_end_of_the_proxy_drops_no_connection_that_has_just_come(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is left to be found by the garbage collector, whenever clients come."""
    found: list[sys.UnraisableHookArgs] = []
    gc.collect()
    monkeypatch.setattr(sys, "unraisablehook", found.append)
    for number in range(40):
        with FaultProxy(("127.0.0.1", port)) as proxy:
            clients = [threading.Thread(target=_knock, args=[proxy.port]) for _ in range(3)]
            for client in clients:
                client.start()
            time.sleep(number / 4000)
        for client in clients:
            client.join()
    gc.collect()
    assert [str(one.exc_value) for one in found] == []


def _knock(port: int) -> None:
    """Connect again and again until nobody listens any more."""
    with contextlib.ExitStack() as sockets, contextlib.suppress(OSError):
        while True:
            client = sockets.enter_context(socket.create_connection(("127.0.0.1", port), 0.1))
            client.sendall(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
