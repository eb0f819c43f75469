"""Where Ctrl-C comes too late to stop a command."""

from contextlib import ExitStack

LAST_STEP = ExitStack()
"""Entered when a split becomes visible, never closed: exit code 130 says that there is none."""
