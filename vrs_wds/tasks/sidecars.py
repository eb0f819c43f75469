"""Sidecars to bytes and back; an error names place, task and field."""

import json
import re
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any

import msgspec

from vrs_wds.errors import SidecarError
from vrs_wds.structs import convert, decoder_of
from vrs_wds.tasks.meta import Meta
from vrs_wds.tasks.task import Task

MAX_SIDECAR_BYTES = 64 * 1024 * 1024
"""Larger sidecars are refused: shards are untrusted."""

META_EXTENSION = "meta.json"

# "deterministic" sorts the keys of dicts; the fields of Structs have their declared order.
_ENCODER = msgspec.json.Encoder(order="deterministic")
_META_DECODER = decoder_of(Meta)
_AT = re.compile(r" - at `\$\.?([^`]*)`$")


def encode_sidecar(
    task: Task[Any],
    value: Any,  # noqa: ANN401
    *,
    where: str,
    size_wh: tuple[int, int] | None = None,
) -> tuple[Any, bytes]:
    """Check a sidecar and make its bytes; equal values give equal bytes.

    Args:
        task: The task.
        value: Its Struct, or plain values (dicts, lists) that convert to it.
        where: Begins the message of an error: shard and key.
        size_wh: Size of the picture, where it is known: boxes lie within.

    Returns:
        The sidecar as Struct, and its JSON bytes.

    Raises:
        SidecarError: if the value does not fit.
    """
    try:
        sidecar = _convert(value, task.schema)
        task.check(sidecar, size_wh)
        data = _ENCODER.encode(sidecar)
        if b"null" in data:  # None, or a number that is not finite
            json.dumps(msgspec.to_builtins(sidecar), allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise _sidecar_error(error, task.name, where) from error
    if len(data) > MAX_SIDECAR_BYTES:
        raise _too_large(len(data), task.name, where)
    return sidecar, data


def decode_sidecar(task: Task[Any], data: bytes, *, where: str) -> Any:  # noqa: ANN401
    """Parse a sidecar's bytes into its task's Struct.

    Raises:
        SidecarError: if they do not fit.
    """
    try:
        if len(data) <= MAX_SIDECAR_BYTES:
            return decoder_of(task.schema).decode(data)
    except (ValueError, RecursionError) as error:
        raise _sidecar_error(error, task.name, where) from error
    raise _too_large(len(data), task.name, where)


class SidecarParser:
    """Parses what samples have for some tasks, and `meta.json`."""

    def __init__(
        self,
        tasks: Iterable[Task[Any]],
        *,
        present: Container[str] | None = None,
        with_meta: bool = True,
    ) -> None:
        """Choose what is parsed.

        Args:
            tasks: Those whose sidecars are parsed, in this order.
            present: Extensions that samples have; no other is looked for. None: any.
            with_meta: Parse `meta.json`, too, before them.
        """
        self._decoders: list[tuple[str, str, Callable[[bytes], Any] | None]] = []
        if with_meta:
            self._decoders.append(("meta", META_EXTENSION, _META_DECODER.decode))
        for task in tasks:
            is_there = present is None or task.extension in present
            decode = decoder_of(task.schema).decode if is_there else None
            self._decoders.append((task.name, task.extension, decode))

    def parse(self, members: Mapping[str, bytes], key: str, url: str) -> dict[str, Any]:
        """Return `__key__`, `__url__`, `meta` and the Struct of each task; None where it has none.

        Args:
            members: A sample's members by extension.
            key: Its key.
            url: Where its shard is.

        Raises:
            SidecarError: if one does not fit.
        """
        parsed: dict[str, Any] = {"__key__": key, "__url__": url}
        self.fill(parsed, members, lambda: f"{url}: sample {key!r}")
        return parsed

    def fill(
        self, parsed: dict[str, Any], members: Mapping[str, Any], where: Callable[[], str]
    ) -> None:
        """Put the Struct of each task, and `meta`, into a dict; None where a sample has none.

        Args:
            parsed: Where they are put.
            members: A sample's members by extension.
            where: Gives what begins the message of an error: shard and key.

        Raises:
            SidecarError: if one does not fit.
        """
        get = members.get
        try:
            for name, extension, decode in self._decoders:
                data = get(extension)
                if data is None or decode is None:
                    parsed[name] = None
                elif len(data) <= MAX_SIDECAR_BYTES:
                    parsed[name] = decode(data)
                else:
                    raise _too_large(len(data), name, where())
        except SidecarError:
            raise
        except (ValueError, RecursionError) as error:
            raise _sidecar_error(error, name, where()) from error


def check_sidecar(
    task: Task[Any],
    sidecar: Any,  # noqa: ANN401
    *,
    where: str,
    size_wh: tuple[int, int] | None = None,
) -> None:
    """Check what a sidecar's types allow and its task does not; parsing leaves it out, for speed.

    Raises:
        SidecarError: if a value is wrong.
    """
    try:
        task.check(sidecar, size_wh)
    except ValueError as error:
        raise _sidecar_error(error, task.name, where) from error


def encode_meta(meta: Meta, *, where: str) -> bytes:
    """Make the bytes of `meta.json`.

    Raises:
        SidecarError: if `extra` holds what JSON cannot.
    """
    try:
        extra = _to_plain(meta.extra)
        data = _ENCODER.encode(
            Meta(name=meta.name, width=meta.width, height=meta.height, extra=extra)
        )
        if b"null" in data:  # None, or a number that is not finite
            json.dumps(extra, allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise _sidecar_error(error, "meta", where) from error
    return data


def decode_meta(data: bytes, *, where: str) -> Meta:
    """Parse the bytes of `meta.json`.

    Raises:
        SidecarError: if they do not fit.
    """
    try:
        if len(data) <= MAX_SIDECAR_BYTES:
            return _META_DECODER.decode(data)
    except (ValueError, RecursionError) as error:
        raise _sidecar_error(error, "meta", where) from error
    raise _too_large(len(data), "meta", where)


def _convert(value: object, schema: type[msgspec.Struct]) -> Any:  # noqa: ANN401
    """Convert a Struct, or plain values; a Struct's fields may hold what its types forbid.

    So a value is taken apart first. Half of that time goes into the order of sets and dicts. It is
    saved where what comes out equals what went in: then there was no set. What is wrong is named in
    order, too.
    """
    try:
        plain = msgspec.to_builtins(value, enc_hook=_plain)
        sidecar = convert(plain, schema)
        if plain == value or sidecar == value:
            return sidecar
    except (ValueError, TypeError, RuntimeError):  # arrays and tensors cannot be compared so
        pass
    return convert(_to_plain(value), schema)


def _to_plain(value: object) -> Any:  # noqa: ANN401
    """Take a value apart into what JSON has; sets are sorted."""
    return msgspec.to_builtins(value, enc_hook=_plain, order="deterministic")


def _plain(value: object) -> object:
    """Turn arrays, tensors and their numbers into Python's own."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"expected plain values, got {type(value).__name__}")


def _sidecar_error(error: Exception, task: str, where: str) -> SidecarError:
    message = str(error)
    field = ""
    if match := _AT.search(message):
        message = message[: match.start()]
        field = f" field {match[1]!r}:" if match[1] else ""
    return SidecarError(
        f"{where}: sidecar of task {task!r}:{field} {message.rstrip('.')}. "
        "The schema is in docs/reference/format.md."
    )


def _too_large(size: int, task: str, where: str) -> SidecarError:
    return SidecarError(
        f"{where}: sidecar of task {task!r}: expected at most {MAX_SIDECAR_BYTES:,} bytes, "
        f"got {size:,}."
    )
