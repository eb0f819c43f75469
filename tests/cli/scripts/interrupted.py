"""Run the command line; send this process a Ctrl-C at one place of its last step.

Usage: interrupted.py PLACE NUMBER_OF_TIMES ARGUMENTS...
"""

import os
import signal
import sys
from pathlib import Path

from vrs_wds.cli import _print
from vrs_wds.cli.main import main as run_command
from vrs_wds.storage.local import LocalStore
from vrs_wds.writer import claim, index_shards, write


def main() -> None:
    """Run the command."""
    place, times, *arguments = sys.argv[1:]
    out = Path(arguments[arguments.index("--out") + 1] if "--out" in arguments else arguments[1])
    owner = {
        "rename": LocalStore,  # of the index
        "put_new": LocalStore,  # of the manifest
        "delete": LocalStore,  # of what was staged, and of the claim
        "sweep": claim,
        "report_of": write if arguments[0] == "write" else index_shards,
        "out": _print,
    }[place]
    call = getattr(owner, place)
    left = [signal.SIGINT] * int(times)

    def interrupt(*given):
        is_visible = (out / "train.json").exists()
        if is_visible or given[-1:] == ("train.index.parquet",) or given[1:2] == ("train.json",):
            while left:
                os.kill(os.getpid(), left.pop())

    def interrupted(*given, **options):
        interrupt(*given)
        return call(*given, **options)

    setattr(owner, place, interrupted)
    run_command(arguments)


if __name__ == "__main__":
    main()
