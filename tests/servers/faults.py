"""What a `FaultProxy` can do to a request, and to which requests it does it."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Latency:
    """Wait before the request is passed on."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """Let something happen, at once, before the request is passed on."""

    action: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Status:
    """Answer with an error of the proxy's own; the server never sees the request."""

    code: int
    retry_after: int | None = None
    """Seconds that the client is asked to wait."""


@dataclass(frozen=True, slots=True)
class ResetBeforeReply:
    """Reset the connection; the server never sees the request."""


@dataclass(frozen=True, slots=True)
class LostReply:
    """Pass the request on, take the whole reply, and reset the connection instead of sending it."""


@dataclass(frozen=True, slots=True)
class ResetReply:
    """Reset the connection after so many bytes of the reply's body."""

    after_bytes: int


@dataclass(frozen=True, slots=True)
class StallReply:
    """Send so many bytes of the reply's body, then nothing more for ever."""

    after_bytes: int


@dataclass(frozen=True, slots=True)
class ShortBody:
    """Leave out the reply's last bytes; its Content-Length says so, as if nothing were amiss."""

    missing_bytes: int
    adjust_range: bool = True
    """Let Content-Range tell of the shorter range, too."""


@dataclass(frozen=True, slots=True)
class FlipByte:
    """Invert one byte of the reply's body; a body that is shorter stays as it is."""

    offset: int


@dataclass(frozen=True, slots=True)
class ResetUpload:
    """Reset both connections after so many bytes of the request's body."""

    after_bytes: int


@dataclass(frozen=True, slots=True)
class StallUpload:
    """Take so many bytes of the request's body, then no more, and never answer."""

    after_bytes: int


Fault = (
    Latency
    | Meanwhile
    | Status
    | ResetBeforeReply
    | LostReply
    | ResetReply
    | StallReply
    | ShortBody
    | FlipByte
    | ResetUpload
    | StallUpload
)


@dataclass(slots=True)
class Rule:
    """One fault and the requests that meet it.

    Of the requests that match, the first `skip` pass, the next `times` meet the fault, and the
    rest pass::

        skip=1, times=2      request  1     2      3      4
                                      pass  fault  fault  pass
    """

    fault: Fault
    method: str = ""
    """Regular expression for the whole method, such as `PUT|POST`; empty for every method."""
    path: str = ""
    """Regular expression to be found in path and query, such as `[?&]uploadId=`."""
    skip: int = 0
    times: int | None = None
    """None for all that follow."""
    seen: int = field(default=0, init=False)
    """Requests that matched."""
    hits: int = field(default=0, init=False)
    """Requests that met the fault."""

    def strikes(self, method: str, target: str) -> bool:
        """Count a request; tell whether it meets the fault."""
        if self.method and not re.fullmatch(self.method, method):
            return False
        if not re.search(self.path, target):
            return False
        self.seen += 1
        if self.seen <= self.skip or (self.times is not None and self.hits >= self.times):
            return False
        self.hits += 1
        return True
