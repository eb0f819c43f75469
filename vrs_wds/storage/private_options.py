"""Options that hold secrets: they work, and are never shown, logged or pickled."""

import secrets
from collections.abc import Iterator, Mapping
from multiprocessing.context import get_spawning_popen
from typing import Any

from vrs_wds.errors import StorageError

_KNOWN: dict[str, dict[str, Any]] = {}
"""Of this process: the values, by token."""


class PrivateOptions:
    """Values given to `open_store` that nobody else must see.

    A pickle holds a token only. This process, and the workers it starts by spawn or forkserver,
    know the values of the token; anywhere else they are missed with a clear error. A worker learns
    them the way that `multiprocessing` hands over its own key: on the private pipe to the process
    that is being started, which is never written anywhere.

    >>> PrivateOptions({"access_key_id": "AKIA"})
    PrivateOptions(access_key_id=***)
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._names = tuple(sorted(values))
        self.token = ""
        """The same for the same values in one process; empty if there are none."""
        if values:
            same = [token for token, known in _KNOWN.items() if known == values]
            self.token = same[0] if same else secrets.token_hex(16)
            _KNOWN[self.token] = dict(values)

    def reveal(self, url: str) -> dict[str, Any]:
        """Return the values.

        Raises:
            StorageError: if this process does not know them.
        """
        if not self.token:
            return {}
        if self.token not in _KNOWN:
            raise StorageError(
                f"{url}: the options {', '.join(self._names)} were given to open_store in another "
                "process, and secrets are never pickled. Put them where this process finds them "
                "by itself: into the environment, a profile, or the machine's role."
            )
        return dict(_KNOWN[self.token])

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = {"names": self._names, "token": self.token}
        if self.token in _KNOWN and get_spawning_popen() is not None:
            state["values"] = _KNOWN[self.token]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._names, self.token = state["names"], state["token"]
        if "values" in state:
            _KNOWN[self.token] = state["values"]

    def __repr__(self) -> str:
        return f"PrivateOptions({', '.join(f'{name}=***' for name in self._names)})"


def known_secrets() -> Iterator[str]:
    """Yield every text that a message must not hold."""
    for values in list(_KNOWN.values()):
        yield from _texts(values.values())


def _texts(values: Any) -> Iterator[str]:  # noqa: ANN401 - whatever options hold
    for value in values:
        if isinstance(value, Mapping):
            yield from _texts(value.values())
        elif isinstance(value, str):
            yield value
        elif isinstance(value, bytes):
            yield value.decode(errors="replace")
