"""An HTTP proxy on the loopback that does to requests what networks and servers do now and then.

It stands between a client and one server, which it passes the requests on to as they came: the
Host header stays what the client sent, so that signatures stay valid. The client's connections
are kept alive; each request has its own connection to the server.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.servers.faults import (
    Fault,
    FlipByte,
    Latency,
    LostReply,
    Meanwhile,
    ResetBeforeReply,
    ResetReply,
    ResetUpload,
    Rule,
    ShortBody,
    StallReply,
    StallUpload,
    Status,
)

_PIECE = 64 << 10
_MAX_HEAD = 1 << 20


class _Reset(Exception):
    """The client's connection is to be reset."""


class FaultProxy:
    """Runs in a thread of its own from `with` to the end of the block.

    A link of 100 MB/s to a server that is 50 ms away::

        with FaultProxy(("127.0.0.1", 9000), latency_seconds=0.05, bytes_per_second=100e6) as proxy:
            ...  # talk to proxy.url
    """

    def __init__(
        self,
        upstream: tuple[str, int],
        *,
        latency_seconds: float = 0,
        bytes_per_second: float | None = None,
    ) -> None:
        self.upstream = upstream
        self.latency_seconds = latency_seconds
        """Added to every request, to play a distant server."""
        self.bytes_per_second = bytes_per_second
        """What all connections share, to play a link; None for no limit."""
        self.rules: list[Rule] = []
        self.requests: list[str] = []
        """Every request so far: method, space, path and query."""
        self.port = 0
        self._link_is_free_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._is_listening = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)

    @property
    def url(self) -> str:
        """The proxy's address."""
        return f"http://127.0.0.1:{self.port}"

    def add(self, fault: Fault, **which: object) -> Rule:
        """Add a rule, made of a fault and the other fields of `Rule`; give it back to be asked."""
        rule = Rule(fault, **which)  # type: ignore[arg-type]
        self.rules.append(rule)
        return rule

    def clear(self) -> None:
        """Forget all rules and requests; what is under way goes on."""
        self.rules.clear()
        self.requests.clear()

    def stop(self) -> None:
        """End the proxy and all its connections; a second time does nothing."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(10)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._is_listening.wait(10):
            raise RuntimeError("the proxy does not listen")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"FaultProxy({self.upstream!r})"

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_MAX_HEAD)
        self.port = server.sockets[0].getsockname()[1]
        self._is_listening.set()
        await self._stop.wait()
        # No more is accepted; but what the loop's own tasks have just accepted makes more of ours,
        # and they lose its sockets if the server is closed before.
        self._loop.remove_reader(server.sockets[0].fileno())
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(0)  # what was aborted is closed in the loop's next turn
        server.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._talk(reader, writer))
        self._tasks.add(task)  # a loop holds its tasks weakly
        task.add_done_callback(self._tasks.discard)
        # A task that is cancelled before its first step has no `finally` to come by.
        task.add_done_callback(lambda _: writer.transport.abort())

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client connection."""
        try:
            while (head := await _read_head(reader)) is not None:
                await self._exchange(head, reader, writer)
        except _Reset:
            client = writer.get_extra_info("socket")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client or the server has gone: so does this connection

    async def _exchange(
        self, head: "_Head", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Pass one request on, and its reply back."""
        method, target, _ = head.first_line.split(" ", 2)
        self.requests.append(f"{method} {target}")
        faults = [rule.fault for rule in list(self.rules) if rule.strikes(method, target)]
        delay = self.latency_seconds + sum(f.seconds for f in faults if isinstance(f, Latency))
        await asyncio.sleep(delay)
        for fault in faults:
            if isinstance(fault, Meanwhile):
                fault.action()
        if any(isinstance(fault, ResetBeforeReply) for fault in faults):
            raise _Reset
        if head.drop("Expect"):
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if status := next((fault for fault in faults if isinstance(fault, Status)), None):
            async for _ in _body(reader, head):
                pass
            writer.write(_error_page(status))
            return
        server_reader, server_writer = await asyncio.open_connection(
            *self.upstream, limit=_MAX_HEAD
        )
        try:
            await self._send_request(head, reader, server_writer, faults)
            while (reply := await _read_head(server_reader)) is not None:
                if not reply.first_line.split(" ", 2)[1].startswith("1"):  # 100 Continue
                    await self._send_reply(method, reply, server_reader, reader, writer, faults)
                    return
            raise _Reset
        finally:
            server_writer.transport.abort()

    async def _send_request(
        self,
        head: "_Head",
        reader: asyncio.StreamReader,
        server_writer: asyncio.StreamWriter,
        faults: Sequence[Fault],
    ) -> None:
        body = _body(reader, head, raw=True)
        head.set("Connection", "close")
        server_writer.write(head.to_bytes())
        sent = 0
        limits = [f for f in faults if isinstance(f, ResetUpload | StallUpload)]
        async for piece in body:
            for fault in limits:
                if sent + len(piece) > fault.after_bytes:
                    server_writer.write(piece[: fault.after_bytes - sent])
                    await server_writer.drain()
                    if isinstance(fault, ResetUpload):
                        raise _Reset
                    await self._stop.wait()
                    raise _Reset
            await self._take_link(len(piece))
            server_writer.write(piece)
            await server_writer.drain()
            sent += len(piece)

    async def _send_reply(
        self,
        method: str,
        reply: "_Head",
        server_reader: asyncio.StreamReader,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        faults: Sequence[Fault],
    ) -> None:
        body = _body(server_reader, reply, of_reply_to=method)
        if any(isinstance(fault, LostReply) for fault in faults):
            async for _ in body:
                pass
            raise _Reset
        reply.drop("Connection")
        keep = reply.length if reply.length is not None else 1 << 62
        for fault in faults:
            if isinstance(fault, ShortBody) and method != "HEAD" and reply.length:
                keep = _shorten(reply, fault)
        is_chunked = reply.length is None and reply.has_body(method)
        if is_chunked:
            reply.drop("Transfer-Encoding")
            reply.set("Transfer-Encoding", "chunked")
        writer.write(reply.to_bytes())
        sent = 0
        async for whole in body:
            piece = bytes(whole[: keep - sent])
            for fault in faults:
                if isinstance(fault, FlipByte) and 0 <= fault.offset - sent < len(piece):
                    flipped = bytearray(piece)
                    flipped[fault.offset - sent] ^= 0xFF
                    piece = bytes(flipped)
            for fault in faults:
                if isinstance(fault, ResetReply | StallReply):
                    if sent + len(piece) <= fault.after_bytes:
                        continue
                    writer.write(piece[: fault.after_bytes - sent])
                    await writer.drain()
                    if isinstance(fault, ResetReply):
                        # What was sent has to arrive before the reset, which overtakes it.
                        await asyncio.sleep(0.05)
                        raise _Reset
                    await reader.read()  # until the client goes, or the proxy is stopped
                    raise _Reset
            await self._take_link(len(piece))
            if piece:  # an empty chunk would be the last
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
            await writer.drain()
            sent += len(piece)
        if is_chunked:
            writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def _take_link(self, size: int) -> None:
        """Wait until the shared link has carried `size` more bytes."""
        if self.bytes_per_second is None:
            return
        now = self._loop.time()
        self._link_is_free_at = max(now, self._link_is_free_at) + size / self.bytes_per_second
        if (wait := self._link_is_free_at - now) > 0.005:  # sleep seldom: it is not exact
            await asyncio.sleep(wait)


@dataclass
class _Head:
    """First line and headers of a request or a reply."""

    first_line: str
    headers: list[tuple[str, str]]

    @property
    def length(self) -> int | None:
        value = self.get("Content-Length")
        return None if value is None else int(value)

    def get(self, name: str) -> str | None:
        return next((v for key, v in self.headers if key.lower() == name.lower()), None)

    def drop(self, name: str) -> bool:
        kept = [(key, value) for key, value in self.headers if key.lower() != name.lower()]
        is_dropped = len(kept) < len(self.headers)
        self.headers = kept
        return is_dropped

    def set(self, name: str, value: str) -> None:
        self.drop(name)
        self.headers.append((name, value))

    def has_body(self, method: str) -> bool:
        """Tell whether this reply to a request with `method` has a body."""
        return method != "HEAD" and self.first_line.split(" ", 2)[1] not in ("204", "304")

    def to_bytes(self) -> bytes:
        lines = [self.first_line, *(f"{key}: {value}" for key, value in self.headers)]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def _read_head(reader: asyncio.StreamReader) -> _Head | None:
    """Read up to the empty line; None at the end of the connection."""
    try:
        data = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first_line, *lines = data.decode("latin-1").split("\r\n")[:-2]
    pairs = [line.partition(":") for line in lines]
    return _Head(first_line, [(key.strip(), value.strip()) for key, _, value in pairs])


async def _body(
    reader: asyncio.StreamReader, head: _Head, *, of_reply_to: str = "", raw: bool = False
) -> AsyncIterator[bytes]:
    """Yield a body in pieces; chunks are taken apart unless it is wanted `raw`."""
    if of_reply_to and not head.has_body(of_reply_to):
        return
    if (head.get("Transfer-Encoding") or "").lower() == "chunked":
        size = 1
        while size:
            line = await reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            piece = await reader.readexactly(size + 2)
            yield line + piece if raw else piece[:-2]
    elif head.length is not None:
        left = head.length
        while left:
            piece = await reader.read(min(left, _PIECE))
            if not piece:
                raise asyncio.IncompleteReadError(b"", left)
            left -= len(piece)
            yield piece
    elif of_reply_to:  # a reply that ends with its connection
        while piece := await reader.read(_PIECE):
            yield piece


def _shorten(reply: _Head, fault: ShortBody) -> int:
    """Adjust a reply's headers to a shorter body; return its length."""
    keep = max(0, (reply.length or 0) - fault.missing_bytes)
    content_range = reply.get("Content-Range")
    if content_range and fault.adjust_range and keep:
        span, _, total = content_range.removeprefix("bytes ").partition("/")
        start = int(span.split("-")[0])
        reply.set("Content-Range", f"bytes {start}-{start + keep - 1}/{total}")
    reply.set("Content-Length", str(keep))
    return keep


def _error_page(status: Status) -> bytes:
    code = {429: "TooManyRequests", 503: "SlowDown"}.get(status.code, "InternalError")
    page = f"<Error><Code>{code}</Code><Message>Played by the proxy.</Message></Error>".encode()
    head = _Head(
        f"HTTP/1.1 {status.code} {code}",
        [("Content-Type", "application/xml"), ("Content-Length", str(len(page)))],
    )
    if status.retry_after is not None:
        head.set("Retry-After", str(status.retry_after))
    return head.to_bytes() + page
