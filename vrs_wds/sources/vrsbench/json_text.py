"""Parsing foreign JSON: an error names file, field, what was expected and what was found."""

import re
from typing import Any, TypeVar

import msgspec

from vrs_wds.errors import SourceError
from vrs_wds.structs import convert, decoder_of

_AT = re.compile(r" - at `\$\.?([^`]*)`$")

T = TypeVar("T")


def parse_json(data: bytes, *, where: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return plain values.

    Raises:
        SourceError: if the text is not JSON.
    """
    return decode_json(data, Any, where=where)


def decode_json(data: bytes, schema: type[T], *, where: str) -> T:
    """Parse straight into a type.

    Raises:
        SourceError: if the text is not JSON, or if a value does not fit.
    """
    try:
        return decoder_of(schema).decode(data)
    except (ValueError, RecursionError) as error:
        raise _source_error(error, where) from error


def convert_json(value: object, schema: type[T], *, where: str) -> T:
    """Convert plain values into a type.

    Raises:
        SourceError: if a value does not fit.
    """
    try:
        return convert(value, schema)
    except (ValueError, RecursionError) as error:
        raise _source_error(error, where) from error


def _source_error(error: Exception, where: str) -> SourceError:
    message, field = str(error), ""
    if match := _AT.search(message):
        message = message[: match.start()]
        field = f"{match[1]}: " if match[1] else ""
    if not isinstance(error, msgspec.ValidationError):
        field = "not readable as JSON: "
    return SourceError(
        f"{where}: {field}{message.rstrip('.')}. Correct the file, or fetch it again."
    )
