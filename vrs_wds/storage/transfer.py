"""How bytes are moved: sizes of requests, how long to wait, how often to try."""

from dataclasses import dataclass, fields
from typing import Any, Self

from vrs_wds.errors import ConfigError

_MIN_PART_BYTES = 5 * 1024 * 1024
_MAX_CONCURRENCY = 32


@dataclass(frozen=True, slots=True)
class TransferOptions:
    """Limits of a remote store. All are options of `open_store`."""

    range_bytes: int = 8 * 1024 * 1024
    """The most bytes that one request reads; at least 1. Longer reads are several, side by side."""
    max_inflight_bytes: int = 64 * 1024 * 1024
    """The most bytes that one reader fetches ahead, or one writer holds; at least 10 MiB."""
    stall_seconds: float = 30.0
    """A request that gives no byte for so long is given up and sent again; above 0."""
    retries: int = 8
    """How often in a row a request is sent again that brings nothing; at least 0."""
    retry_seconds: float = 180.0
    """How long after the last byte a request may be sent again; at least 0."""

    def __post_init__(self) -> None:
        for name, least in (
            ("range_bytes", 1),
            ("max_inflight_bytes", 2 * _MIN_PART_BYTES),
            ("retries", 0),
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ConfigError(f"{name}: expected a whole number from {least:,}, got {value!r}.")
        for name in ("stall_seconds", "retry_seconds"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool) or not value >= 0:
                raise ConfigError(f"{name}: expected a number of seconds, got {value!r}.")
        if self.stall_seconds == 0:
            raise ConfigError("stall_seconds: expected more than 0 seconds.")

    @classmethod
    def take_from(cls, options: dict[str, Any]) -> Self:
        """Take the options of this class out of a dict."""
        names = {field.name for field in fields(cls)} & options.keys()
        return cls(**{name: options.pop(name) for name in sorted(names)})

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of all options."""
        return tuple(field.name for field in fields(cls))

    @property
    def concurrency(self) -> int:
        """How many ranges are read side by side."""
        return max(1, min(_MAX_CONCURRENCY, self.max_inflight_bytes // self.range_bytes))

    @property
    def part_bytes(self) -> int:
        """Size of the parts that a long file is written in.

        S3 takes 10,000 parts of 5 MiB or more: 8 MiB, the default, allows files of 78 GiB.
        """
        return max(_MIN_PART_BYTES, self.max_inflight_bytes // 8)

    @property
    def part_concurrency(self) -> int:
        """How many parts are sent side by side while one more is filled."""
        return max(1, self.max_inflight_bytes // self.part_bytes - 1)

    @property
    def write_seconds(self) -> float:
        """How long a request may take that sends a part: 64 KiB a second, after a stall."""
        return self.stall_seconds + self.part_bytes / 65536
