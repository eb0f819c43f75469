"""The one place that prints."""

import codecs
import io
import json
import sys
import traceback


def escape_what_cannot_be_shown() -> None:
    """Let standard output take any text, whatever its encoding: the rest is escaped, as in JSON."""
    codecs.register_error("vrs_wds.escape", _escape)
    if isinstance(sys.stdout, io.TextIOWrapper):  # not in a notebook
        sys.stdout.reconfigure(errors="vrs_wds.escape")


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    # Not "backslashreplace": JSON that is printed stays JSON.
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


def out(text: str = "") -> None:
    """Print a line of results; control characters of names are shown, not sent."""
    print("".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text))


def out_all() -> None:
    """Send what is printed and not yet sent: if its reader has gone, it is told here."""
    if isinstance(sys.stdout, io.TextIOBase):  # None where it was closed from the beginning
        sys.stdout.flush()


def out_bytes(data: bytes) -> None:
    """Write bytes as they are."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def err(text: str) -> None:
    """Print a line for the person at the terminal, beside the results."""
    print(text, file=sys.stderr)


def err_traceback() -> None:
    """Print the traceback of the exception being handled."""
    traceback.print_exc()
