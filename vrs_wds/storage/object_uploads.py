"""Writes an object in parts; it appears when it is closed."""

import logging
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from vrs_wds.storage.clients import Use
from vrs_wds.storage.object_requests import ObjectRequests
from vrs_wds.storage.store import Stat

if TYPE_CHECKING:
    from obstore import WritableFile

_LOG = logging.getLogger(__name__)


class Upload:
    """Takes the bytes of a file; parts are sent while more are written.

    The client sends a part again by itself: the counters do not see that.
    """

    def __init__(self, requests: ObjectRequests, name: str) -> None:
        import obstore

        transfer = requests.options.transfer
        self._requests = requests
        self._name = name
        self.size = 0
        """Bytes written so far."""
        self._writer: WritableFile = obstore.open_writer(
            requests.client(Use.UPLOAD),
            requests.path_of(name),
            buffer_size=transfer.part_bytes,
            max_concurrency=transfer.part_concurrency,
        )

    def write(self, data: bytes, /) -> None:
        """Append bytes; waits while too many are on the way."""
        self._once(lambda: self._writer.write(data))
        self.size += len(data)

    def close(self) -> None:
        """Let the file appear.

        Raises:
            StorageError: if it fails; the file may be there all the same, the answer lost.
        """
        before = self._look()
        try:
            self._once(self._writer.close)
        except OSError:
            after = self._look()
            if after is None or after.size != self.size or after == before:
                raise

    def abort(self) -> None:
        """Remove the parts. Called where an exception is handled, which is not replaced."""
        from obstore.exceptions import BaseError

        try:
            self._writer.__exit__(*sys.exc_info())
        except (BaseError, OSError, ValueError):
            _LOG.warning(
                "%s: the parts of an unfinished file could not be removed; `sweep` removes them",
                self._requests.url_of(self._name),
            )

    def _look(self) -> Stat | None:
        try:
            return self._requests.stat(self._name)
        except OSError:  # not there, or keys that may write but not read
            return None

    def _once(self, do: Callable[[], object]) -> None:
        self._requests.send(do, self._name, "written", is_retried=False)
