"""Connections to buckets, one for each way that leads there; stores share them."""

import threading
from collections import OrderedDict

from vrs_wds.forks import reset_in_children
from vrs_wds.storage.address import Address
from vrs_wds.storage.clients import ClientOptions, Connection
from vrs_wds.storage.credentials import fingerprint

_MAX_CONNECTIONS = 32


class _Connections:
    """The connections of this process, by where they lead and as whom."""

    def __init__(self) -> None:
        self.reset_after_fork()
        reset_in_children(self)

    def reset_after_fork(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Connection] = OrderedDict()

    def get(self, address: Address, options: ClientOptions) -> Connection:
        key = repr(
            (
                address.root,
                options.transfer,
                options.profile,
                options.public,
                options.private.token,
                options.client,
                fingerprint(address.kind),
            )
        )
        with self._lock:
            connection = self._known.pop(key, None) or Connection(address, options)
            self._known[key] = connection
            if len(self._known) > _MAX_CONNECTIONS:
                self._known.popitem(last=False)
            return connection


_CONNECTIONS = _Connections()


def connect(address: Address, options: ClientOptions) -> Connection:
    """Return the connection to a bucket; the same for the same options and environment."""
    return _CONNECTIONS.get(address, options)
