"""Checksums: CRC32C of members, SHA-256 and MD5 of shards."""

import hashlib
from collections.abc import Callable

from crc32c import crc32c as _crc32c

KEEP_LOCK = 0
"""The interpreter's lock is kept for so short a time: to get it back may take 5 ms, where another
thread runs Python."""
crc32c_from: Callable[[bytes, int, int], int] = _crc32c
"""`crc32c_from(data, 0, KEEP_LOCK)` is `crc32c(data)`, sooner by as long as a sidecar's takes."""


def crc32c(data: bytes) -> int:
    """Return the CRC32C (Castagnoli, RFC 3720) of a member's data."""
    return crc32c_from(data, 0, KEEP_LOCK)


class ShardHasher:
    """Takes a shard's bytes as they are written; gives size, SHA-256 and MD5."""

    def __init__(self) -> None:
        self.size = 0
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)  # wids asks for it

    def update(self, data: bytes) -> None:
        """Take the next bytes."""
        self.size += len(data)
        self._sha256.update(data)
        self._md5.update(data)

    @property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of all bytes so far."""
        return self._sha256.hexdigest()

    @property
    def md5(self) -> str:
        """Hexadecimal MD5 of all bytes so far."""
        return self._md5.hexdigest()
