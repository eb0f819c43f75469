"""Finds keys that are given twice, in memory that does not grow with the dataset."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

_CACHE_KIB = 16 * 1024


@dataclass(frozen=True, slots=True)
class Twice:
    """A key that two samples have."""

    key: str
    origins: dict[int, str]
    """The two samples' numbers, in order, with their origins; empty where they are not known."""


class KeySet:
    """The keys seen so far, with the numbers of their samples; on a disk where they are many."""

    def __init__(self) -> None:
        # A database without a name lies in memory and, beyond the cache, in a temporary file that
        # is gone when it is closed.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for pragma in (f"cache_size=-{_CACHE_KIB}", "journal_mode=OFF", "synchronous=OFF"):
            self._database.execute(f"PRAGMA {pragma}")
        columns = "key TEXT PRIMARY KEY, number INTEGER, origin TEXT"
        self._database.execute(f"CREATE TABLE keys ({columns}) WITHOUT ROWID")
        self._database.execute("BEGIN")  # one transaction, never committed: the file is nobody's

    def add(self, samples: Sequence[tuple[str, int, str]]) -> Twice | None:
        """Add samples, many at once: keys, numbers and origins.

        Returns:
            None; or the first of them whose key is there already.
        """
        query = "INSERT OR IGNORE INTO keys VALUES (?, ?, ?)"
        if self._database.executemany(query, samples).rowcount == len(samples):
            return None
        for key, number, origin in samples:
            found = self._database.execute("SELECT number, origin FROM keys WHERE key = ?", (key,))
            first, first_origin = found.fetchone()
            if first != number:
                return Twice(key, {first: first_origin, number: origin})
        return None

    def close(self) -> None:
        """Forget all."""
        self._database.close()
