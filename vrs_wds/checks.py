"""Checks of options, which several layers have in common."""

import operator
from contextlib import suppress

from vrs_wds.errors import ConfigError


def whole_number(option: str, value: object, *, least: int) -> int:
    """Return an option as an int; NumPy's whole numbers are welcome, a truth value is none.

    Raises:
        ConfigError: if it is none, or below `least`.

    >>> whole_number("window", "8", least=0)
    Traceback (most recent call last):
    ...
    vrs_wds.errors.ConfigError: window: expected a whole number, got '8'.
    """
    number = None
    if not isinstance(value, bool):
        with suppress(TypeError):
            number = operator.index(value)  # type: ignore[arg-type]  # that is the question
    if number is None:
        raise ConfigError(f"{option}: expected a whole number, got {value!r}.")
    if number < least:
        raise ConfigError(f"{option}: expected at least {least}, got {number}.")
    return number


def yes_or_no(option: str, value: object) -> bool:
    """Return an option as a bool; a text is refused, whatever it says: "no" would be true.

    Raises:
        ConfigError: if it is a text.
    """
    if isinstance(value, str):
        raise ConfigError(f"{option}: expected True or False, got {value!r}.")
    return bool(value)
