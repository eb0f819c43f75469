"""Plain values and JSON to typed values, in any number of threads.

msgspec (0.22) notes what it finds out about a Struct with the class when this is first used, and
before that is complete: a second thread that uses the class meanwhile ends the process by a
segmentation fault. So everything here finds out about a type under one lock before it is used.
"""

import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar, cast

import msgspec

from vrs_wds.forks import no_fork_meanwhile

T = TypeVar("T")

_LOCK = threading.Lock()


def decoder_of(schema: type[T]) -> msgspec.json.Decoder[T]:
    """Return what parses JSON into a type; the same for all that ask.

    >>> decoder_of(list[int]).decode(b"[1, 2]")
    [1, 2]
    """
    return _decoder_of(cast(Any, schema))


@lru_cache(maxsize=256)
def _decoder_of(schema: Any) -> msgspec.json.Decoder[Any]:  # noqa: ANN401 - whatever type
    # With the gate, no fork can copy a lock that a thread holds.
    with no_fork_meanwhile(), _LOCK:
        return msgspec.json.Decoder(schema)


def convert(
    value: object, schema: type[T], dec_hook: Callable[[type, Any], Any] | None = None
) -> T:
    """Convert plain values into a type, as `msgspec.convert` does.

    >>> convert((1, 2), list[int])
    [1, 2]
    """
    decoder_of(schema)
    return msgspec.convert(value, schema, dec_hook=dec_hook)
