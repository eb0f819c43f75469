"""Finds keys that are given twice, in memory that does not grow with the dataset."""

import sqlite3
from collections.abc import Sequence

_CACHE_KIB = 16 * 1024


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

    def add(self, key: str, number: int, origin: str) -> tuple[int, str] | None:
        """Add a key; return None, or number and origin of the sample that has it already."""
        row = (key, number, origin)
        if self._database.execute("INSERT OR IGNORE INTO keys VALUES (?, ?, ?)", row).rowcount:
            return None
        query = "SELECT number, origin FROM keys WHERE key = ?"
        found: tuple[int, str] = self._database.execute(query, (key,)).fetchone()
        return found

    def add_many(self, keys: Sequence[str], start: int) -> tuple[str, int, int] | None:
        """Add keys of samples with consecutive numbers.

        Returns:
            None; or a key that is there already, the number of its sample, and that of the sample
            that has it again.
        """
        rows = [(key, start + i, "") for i, key in enumerate(keys)]
        query = "INSERT OR IGNORE INTO keys VALUES (?, ?, ?)"
        if self._database.executemany(query, rows).rowcount == len(rows):
            return None
        for key, number, _ in rows:
            found = self._database.execute("SELECT number FROM keys WHERE key = ?", (key,))
            if (first := found.fetchone()[0]) != number:
                return key, first, number
        return None

    def close(self) -> None:
        """Forget all."""
        self._database.close()
