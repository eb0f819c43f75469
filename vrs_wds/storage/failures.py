"""What went wrong with a request, read from what the client says."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

_MIN_SECRET = 4
"""Texts shorter than this are not looked for: they would blot out words."""


class Kind(Enum):
    """Kinds of failures, by what is to be done."""

    MISSING = auto()
    NO_BUCKET = auto()
    EXISTS = auto()
    CHANGED = auto()
    PAST_END = auto()
    NO_CREDENTIALS = auto()
    DENIED = auto()
    REFUSED = auto()
    """Sending it again would not help."""
    BUSY = auto()
    """429 or 503."""
    STALLED = auto()
    UNREACHABLE = auto()
    BROKEN = auto()
    """A server's fault, or a broken connection."""
    SHORT = auto()
    """Fewer bytes came than were promised."""


RETRIED = frozenset({Kind.BUSY, Kind.STALLED, Kind.UNREACHABLE, Kind.BROKEN, Kind.SHORT})
"""Kinds that may be gone when the request is sent again."""


_BUILTIN = {
    FileNotFoundError: Kind.MISSING,
    NotADirectoryError: Kind.MISSING,
    IsADirectoryError: Kind.MISSING,
    FileExistsError: Kind.EXISTS,
    PermissionError: Kind.DENIED,
    NotImplementedError: Kind.REFUSED,
    TimeoutError: Kind.STALLED,
}


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed request."""

    kind: Kind
    text: str
    """One line, without secrets."""


class ShortBody(Exception):
    """A request gave fewer bytes than it promised."""


def describe(error: BaseException, secrets: Iterable[str]) -> Failure:
    """Say what a client's exception means. Pure, but for its texts' origin."""
    raw = str(error)
    return Failure(_kind(error, raw), redact(_one_line(raw), secrets))


def redact(text: str, secrets: Iterable[str]) -> str:
    """Take secrets and the queries of URLs, which may hold signatures, out of a text.

    >>> redact("GET http://host/x?sig=abc: key hush was wrong", ["hush"])
    'GET http://host/x?…: key *** was wrong'
    """
    text = re.sub(r"(https?://[^\s?]*)\?[^\s:]*", r"\1?…", text)
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) >= _MIN_SECRET:
            text = text.replace(secret, "***")
    return text


def _one_line(raw: str) -> str:
    text = raw.partition("\n\nDebug source")[0]
    code = re.search(r"<Code>([^<]*)</Code>", text)
    message = re.search(r"<Message>([^<]*)</Message>", text)
    if code:
        server = f"{code[1]}: {message[1]}" if message else code[1]
        text = f"{text[: text.index('<')]}{server}"
    elif text.endswith("error sending request"):
        causes = re.findall(r'(?:message|error): "([^"]*)"', raw)
        text += f" ({causes[-1]})" if causes else ""
    # The client names the path and the time; the URL and the number of tries are ours to say.
    text = re.sub(r"^.*?(?=Server returned|HTTP error|Received |Requested )", "", text, flags=re.S)
    return " ".join(text.split())[:500].rstrip(": ")


def _kind(error: BaseException, raw: str) -> Kind:
    name = type(error).__name__
    found = re.search(r"status code: (\d{3})", raw) or re.search(r"status: (\d{3})", raw)
    status = int(found[1]) if found else 0
    if isinstance(error, ShortBody) or ("Requested " in raw and "UnexpectedRange" in raw):
        return Kind.SHORT
    if _is_credentials(raw):
        return Kind.NO_CREDENTIALS
    if "NoSuchBucket" in raw or "ContainerNotFound" in raw:
        return Kind.NO_BUCKET
    if status == 404:
        return Kind.MISSING
    if re.search(r"Got invalid \w+ response", raw):  # such as a listing that was cut off
        return Kind.SHORT
    for builtin, kind in _BUILTIN.items():
        if isinstance(error, builtin):
            return kind
    by_name = {
        "AlreadyExistsError": Kind.EXISTS,
        "PreconditionError": Kind.CHANGED,
        "PermissionDeniedError": Kind.DENIED,
        "UnauthenticatedError": Kind.DENIED,
    }
    if name in by_name:
        return by_name[name]
    by_status = {416: Kind.PAST_END, 429: Kind.BUSY, 503: Kind.BUSY, 408: Kind.BROKEN}
    if status in by_status:
        return by_status[status]
    if status in (401, 403):
        return Kind.DENIED
    if status:
        return Kind.BROKEN if status >= 500 else Kind.REFUSED
    if "kind: Timeout" in raw or "TimedOut" in raw:
        return Kind.STALLED
    if re.search(r"kind: Connect\b", raw):  # not ConnectionReset: then it was there
        return Kind.UNREACHABLE
    if re.search(r"kind: (Interrupted|Request|Decode|Body)", raw) or isinstance(error, OSError):
        return Kind.BROKEN
    return Kind.REFUSED


def _is_credentials(raw: str) -> bool:
    return bool(
        re.search(r"169\.254\.1(69\.254|70\.2)|fd00:ec2|metadata\.google|computeMetadata", raw)
        or "/metadata/identity" in raw
        or "Received None from session.get_credentials" in raw
    )
