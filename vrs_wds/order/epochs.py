"""What the number of an epoch may be."""

import operator

from vrs_wds.errors import ConfigError

MAX_EPOCH = 2**63 - 1
"""The largest number: it travels to worker processes as an int64."""


def check_epoch(epoch: object) -> int:
    """Return the number of an epoch as an int; NumPy's whole numbers are welcome.

    Raises:
        ConfigError: if it is none.

    >>> check_epoch(-1)
    Traceback (most recent call last):
    ...
    vrs_wds.errors.ConfigError: epoch: expected a number from 0 to 9223372036854775807, got -1.
    """
    try:
        number = operator.index(epoch)  # type: ignore[arg-type]  # this is what is to be found out
    except TypeError:
        number = -1
    if not 0 <= number <= MAX_EPOCH:
        raise ConfigError(f"epoch: expected a number from 0 to {MAX_EPOCH}, got {epoch!r}.")
    return number
