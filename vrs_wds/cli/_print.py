"""The one place that prints."""

import sys
import traceback


def out(text: str = "") -> None:
    """Print a line of results; control characters of names are shown, not sent."""
    print("".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text))


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
