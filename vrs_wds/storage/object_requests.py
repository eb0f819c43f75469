"""Requests to one bucket: sent again if need be, counted, with errors that say what to do."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from vrs_wds.errors import StorageError
from vrs_wds.forks import reset_in_children
from vrs_wds.storage.address import Address
from vrs_wds.storage.attempts import Failed, attempt, to_error
from vrs_wds.storage.clients import ClientOptions, Connection, Use
from vrs_wds.storage.connections import connect
from vrs_wds.storage.counters import Counters
from vrs_wds.storage.failures import Kind
from vrs_wds.storage.fork_guard import check_not_forked
from vrs_wds.storage.store import Stat
from vrs_wds.storage.transfer import TransferOptions

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Client

_T = TypeVar("_T")
_ONCE = TransferOptions(retries=0)
_REACHED = "reached"
_PROBE = ".vrs_wds.probe"
"""A folder that is not there: listing it says whether the bucket answers."""


class ObjectRequests:
    """Sends requests for files below one address."""

    def __init__(self, address: Address, options: ClientOptions) -> None:
        self.address = address
        self.options = options
        self.counters = Counters()
        self.reset_after_fork()
        reset_in_children(self)

    def reset_after_fork(self) -> None:
        """Begin with no connection."""
        self._known: Connection | None = None

    def check_options(self) -> None:
        """Look at the options; nothing is sent.

        Raises:
            ConfigError: if one is unknown or wrong.
        """
        self._connection.check()

    def client(self, use: Use) -> "Client":
        """Return the client for a use."""
        return self._connection.client(use)

    def path_of(self, name: str) -> str:
        """Return a file's full name in the bucket."""
        return self.address.path_of(name)

    def url_of(self, name: str) -> str:
        """Return a file's address."""
        return self.address.url_of(name)

    def send(
        self,
        do: Callable[[], _T],
        name: str,
        what: str,
        *,
        progress: Callable[[], int] = lambda: 0,
        is_retried: bool = True,
    ) -> _T:
        """Send a request, again if need be and `is_retried`.

        Raises:
            FileNotFoundError: if there is no such file.
            FileExistsError: if there must not be one.
            StorageError: if it fails for good.
        """
        connection, url = self._connection, self.url_of(name)
        try:
            result = attempt(
                do,
                what=f"{url}: cannot be {what}",
                is_known=connection.is_reached,
                options=self.options.transfer if is_retried else _ONCE,
                counters=self.counters,
                progress=progress,
            )
        except Failed as failed:
            is_missing = failed.failure.kind is Kind.MISSING
            if is_missing and not connection.is_reached and what != _REACHED:
                self.ready()  # says so if it is the bucket that is missing
            error = to_error(
                failed,
                url=url,
                what=what,
                kind=self.address.kind,
                profile=self.options.profile,
            )
            raise error from None  # the client's own text may hold secrets
        connection.is_reached = True
        return result

    def ready(self) -> None:
        """See to it, once for each bucket, that keys, bucket and endpoint are right.

        Raises:
            StorageError: that says what was tried, and what to do.
        """
        connection = self._connection
        with connection.lock:  # several threads may wait for one probe
            if connection.is_reached or self.address.kind == "http":
                check_not_forked(self.address.url)
                return
            try:
                self.list_paths(_PROBE, what=_REACHED)
            except FileNotFoundError:
                pass  # a server that cannot list
            except StorageError as error:
                # Keys may allow reading and writing but not listing.
                if "AccessDenied" not in str(error):
                    raise
            connection.is_reached = True

    def stat(self, name: str) -> Stat:
        """Return a file's size and etag, as they are now."""
        return self.send(lambda: self.head(name), name, "found")

    def stat_or_none(self, name: str) -> Stat | None:
        """Return a file's size and etag, or None if there is none."""
        try:
            return self.stat(name)
        except FileNotFoundError:
            return None

    def head(self, name: str) -> Stat:
        """Return a file's size and etag by one request, with the client's errors."""
        import obstore

        return stat_of(obstore.head(self.client(Use.READ), self.path_of(name)))

    def list_paths(self, folder: str, what: str = "listed") -> list[str]:
        """Return the full names of all files below a folder, itself a name below the address."""
        import obstore

        paths: list[str] = []
        path = self.path_of(folder)

        def list_on() -> None:
            client, last = self.client(Use.READ), paths[-1] if paths else None
            for chunk in obstore.list(client, path or None, offset=last, chunk_size=1000):
                paths.extend(meta["path"] for meta in chunk)

        self.send(list_on, folder if what == "listed" else "", what, progress=lambda: len(paths))
        return paths

    @property
    def _connection(self) -> Connection:
        if self._known is None:
            self._known = connect(self.address, self.options)
        return self._known

    def __getstate__(self) -> dict[str, Any]:
        return {"address": self.address, "options": self.options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["address"], state["options"])  # type: ignore[misc]  # a fresh one


def stat_of(meta: Any) -> Stat:  # noqa: ANN401 - obstore's ObjectMeta
    """Return what the client says of a file; a web server may give a date instead of an etag."""
    changed = meta["last_modified"]
    date = f"{changed.isoformat()}-{meta['size']}" if changed.timestamp() > 0 else ""
    return Stat(meta["size"], meta["e_tag"] or date)
