"""A small web server in the test's own process, which fails as it is told to."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

Fault = Callable[["Handler"], bool]
"""Takes part in answering a request; True if that was all of the answer."""


class RangeServer(ThreadingHTTPServer):
    """Serves files by name with ranges and etags; takes them by PUT."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        """By path, as `/bucket/name`."""
        self.faults: list[Fault] = []
        """The next requests meet these, one each."""
        self.always: Fault | None = None
        """Every request meets this."""
        self.requests: list[tuple[str, str, str]] = []
        """Method, path and Range header of each request."""

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Be silent: clients break off on purpose."""


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    server: RangeServer
    wbufsize = 0

    def handle_one_request(self) -> None:
        """Answer a request, unless the client breaks off."""
        with suppress(ConnectionError, BrokenPipeError):
            super().handle_one_request()

    def do_GET(self) -> None:
        """Answer with a file, or a range of it."""
        if not self._meet_fault():
            self.serve()

    def serve(self) -> None:
        """Answer as a server does that has no fault."""
        path = unquote(self.path.partition("?")[0])
        if "list-type" in self.path:
            self.answer(
                200, b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
            )
            return
        if path not in self.server.files:
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        data = self.server.files[path]
        headers = {"ETag": f'"{hash(data):x}"', "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not asked:
            self.answer(200, data, headers)
            return
        start, stop = int(asked[1]), min(len(data), int(asked[2] or len(data)) + 1)
        if start >= len(data):
            self.answer(416, b"")
            return
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
        self.answer(206, data[start:stop], headers)

    do_HEAD = do_GET

    def do_PUT(self) -> None:
        """Take a file; with If-None-Match only if there is none."""
        data = self.rfile.read(int(self.headers["Content-Length"]))
        path = unquote(self.path)
        if self.headers.get("If-None-Match") and path in self.server.files:
            self.answer(412, b"")
            return
        self.server.files[path] = data
        if not self._meet_fault():
            self.answer(200, b"", {"ETag": f'"{hash(data):x}"'})

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Send an answer."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Be silent."""

    def _meet_fault(self) -> bool:
        server = self.server
        server.requests.append((self.command, self.path, self.headers.get("Range", "")))
        fault = server.faults.pop(0) if server.faults else server.always
        return fault is not None and fault(self)


def status(code: int, body: bytes = b"<Error><Code>SlowDown</Code></Error>") -> Fault:
    """Answer with a status."""

    def fault(handler: Handler) -> bool:
        handler.answer(code, body, {"Retry-After": "1"})
        return True

    return fault


def break_off(after: int, *, silent: bool = False) -> Fault:
    """Send some bytes of the body; then close the connection, or be silent."""

    def fault(handler: Handler) -> bool:
        send = handler.wfile.write
        sent = 0

        def write(data: bytes) -> int:
            nonlocal sent
            if data.startswith(b"HTTP/"):
                return send(data)
            sent += send(data[: after - sent])
            raise ConnectionResetError if not silent else TimeoutError

        class Cut:
            def write(self, data: bytes) -> int:
                return write(data)

            def flush(self) -> None:
                pass

        handler.wfile = Cut()  # type: ignore[assignment]
        try:
            handler.serve()
        except (ConnectionResetError, TimeoutError):
            if silent:
                time.sleep(3)
        handler.close_connection = True
        return True

    return fault


def shorten(missing: int) -> Fault:
    """Promise the whole range and send fewer bytes, as a broken cache does."""

    def fault(handler: Handler) -> bool:
        answer = handler.answer

        def short(code: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            handler.answer = answer  # type: ignore[method-assign]  # as it was
            if handler.command == "HEAD":
                answer(code, body, headers)
            else:
                answer(code, body[: max(0, len(body) - missing)], headers)

        handler.answer = short  # type: ignore[method-assign]
        return False

    return fault


def lose_answer(handler: Handler) -> bool:
    """Do as asked, and close the connection without an answer."""
    handler.close_connection = True
    handler.connection.close()
    return True


@contextmanager
def serving() -> Iterator[RangeServer]:
    """Run a server for the length of the context."""
    with RangeServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
