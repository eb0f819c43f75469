"""Sends a request again when that may help, and says at the end what was tried."""

import logging
import secrets
import time
from collections.abc import Callable, Iterator
from itertools import chain
from typing import TypeVar

from vrs_wds.errors import FileChanged, StorageError
from vrs_wds.storage.counters import Counters
from vrs_wds.storage.credentials import environment_secrets, places_tried
from vrs_wds.storage.failures import RETRIED, Failure, Kind, ShortBody, describe
from vrs_wds.storage.patience import stop_event
from vrs_wds.storage.private_options import known_secrets
from vrs_wds.storage.transfer import TransferOptions

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")
_FIRST_SECONDS = {Kind.BUSY: 1.0}
_OTHER_FIRST_SECONDS = 0.2
_MAX_SECONDS = 20.0
_STOPPED = Failure(Kind.BROKEN, "reading was ended before the server answered")
_RETRIES_OF_A_STRANGER = 2
"""An endpoint that has never answered is tried less often: its address may be wrong."""


class Failed(Exception):
    """A request failed for good."""

    def __init__(self, failure: Failure, *, sent: int, seconds: float) -> None:
        super().__init__(failure.text)
        self.failure = failure
        self.sent = sent
        """How often it was sent."""
        self.seconds = seconds


def attempt(
    do: Callable[[], _T],
    *,
    what: str,
    is_known: bool,
    options: TransferOptions,
    counters: Counters,
    progress: Callable[[], int] = lambda: 0,
) -> _T:
    """Call `do` until it succeeds, fails for good, or has been tried long enough.

    Waits 0.2 s, after "too many requests" 1 s, twice as long each time, up to 20 s, and shortens
    each wait by up to a half at random, so that many readers do not come back at once. The client
    does not show a server's `Retry-After`. Nothing is sent any more when the thread is to stop.

    Args:
        do: Sends one request.
        what: For messages: "s3://bucket/name: cannot be read".
        is_known: Whether the address has ever answered; one that has not is tried less often.
        options: How often, and how long.
        counters: Are added to.
        progress: Returns the bytes received so far; counting starts anew when there are more.

    Raises:
        Failed: if it failed for good.
        FileChanged: as `do` raises it.
    """
    from obstore.exceptions import BaseError

    sent, in_a_row, before = 0, 0, 0
    began = last = time.monotonic()
    stopped = stop_event()
    while True:
        if stopped is not None and stopped.is_set():
            raise Failed(_STOPPED, sent=sent, seconds=time.monotonic() - began)
        sent += 1
        counters.add(requests=1)
        try:
            return do()
        except FileChanged:
            raise
        except (BaseError, ShortBody, OSError, ValueError) as error:
            if isinstance(error, StorageError):
                raise
            failure = describe(error, all_secrets())
        now = time.monotonic()
        if failure.kind is Kind.STALLED:
            counters.add(stalls=1)
        if progress() > before:
            before, in_a_row, last = progress(), 0, now
        in_a_row += 1
        wait = _FIRST_SECONDS.get(failure.kind, _OTHER_FIRST_SECONDS) * 2.0 ** (in_a_row - 1)
        wait = min(wait, _MAX_SECONDS) * (0.5 + secrets.randbelow(501) / 1000)
        most = options.retries
        if failure.kind is Kind.UNREACHABLE and not is_known:
            most = min(most, _RETRIES_OF_A_STRANGER)
        if (
            failure.kind not in RETRIED
            or in_a_row > most
            or now + wait - last > options.retry_seconds
        ):
            raise Failed(failure, sent=sent, seconds=now - began)
        _LOG.info("%s: %s; trying again in %.1f s", what, failure.text, wait)
        counters.add(retries=1)
        if stopped is None:
            time.sleep(wait)
        else:
            stopped.wait(wait)


def all_secrets() -> Iterator[str]:
    """Yield every text that a message must not hold."""
    return chain(known_secrets(), environment_secrets())


def to_error(failed: Failed, *, url: str, what: str, kind: str, profile: str | None) -> OSError:
    """Return what a user is told of a failure.

    Args:
        failed: The failure.
        url: Of the file.
        what: "read", "written".
        kind: Of the store: `s3`, `gs`, `az`, `http`.
        profile: The AWS profile asked for, if any.
    """
    failure = failed.failure
    times = "once" if failed.sent == 1 else f"{failed.sent} times in {failed.seconds:.1f} s"
    if failure.kind is Kind.MISSING:
        return FileNotFoundError(f"{url}: no such file.")
    if failure.kind is Kind.EXISTS:
        return FileExistsError(f"{url}: is there already.")
    if failure.kind is Kind.CHANGED:
        return FileChanged(f"{url}: was replaced while it was being read. Open it again.")
    advice = {
        Kind.NO_BUCKET: "There is no such bucket, or it is in another region or at another "
        "endpoint: look at the URL, and at the options region and endpoint",
        Kind.NO_CREDENTIALS: f"No credentials were found. {places_tried(kind, profile)}",
        Kind.DENIED: f"The server refuses these credentials. {places_tried(kind, profile)}",
        Kind.UNREACHABLE: "The endpoint cannot be reached: look at its address, at the network "
        "and at proxies",
        Kind.STALLED: "No byte came for stall_seconds: look at the network, or raise it",
        Kind.BUSY: "The server asks for fewer requests: use fewer readers, or raise retries and "
        "retry_seconds",
        Kind.SHORT: "Fewer bytes came than the file has: look at proxies and caches between, and "
        "put the file there again",
        Kind.BROKEN: "Look at the server and the network, or raise retries and retry_seconds",
    }.get(failure.kind, _advice_for(failure))
    return StorageError(f"{url}: cannot be {what}: {failure.text}. Tried {times}. {advice}.")


def _advice_for(failure: Failure) -> str:
    if "region" in failure.text or "LOCATION" in failure.text:
        return "The bucket is in another region: give it as the option region"
    if "non-partial" in failure.text or "Range request not supported" in failure.text:
        return "The server does not serve ranges of files, which reading needs"
    if "object with invalid path" in failure.text:
        return (
            "Something else has put a file there whose key has an empty part, '.', '..' or a "
            "control character, past which the client cannot list: move that file away, or use "
            "another folder"
        )
    return "Sending it again would not help: look at the options and the server's answer"
