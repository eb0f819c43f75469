"""The entry point: parses the command line, turns errors into one line and an exit code.

0: done. 1: it failed, and one line says why (`--debug` shows the traceback). 2: the command line is
wrong. 130: stopped with Ctrl-C; nothing was made visible.

Modules of commands import what they need inside their functions, so that `--help` is quick.
"""

import os
import signal
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from vrs_wds import __version__
from vrs_wds.cli._print import err, err_traceback, escape_what_cannot_be_shown, out_all
from vrs_wds.errors import VrsWdsError

app = App(
    name="vrs-wds",
    help="Pack images with annotations for many tasks into WebDataset shards, and look into them.",
    help_epilogue="Every command takes --debug, to show the traceback of an error.",
    version=__version__,
    suppress_keyboard_interrupt=False,  # told here, as one line
)
# Named by text, so that `--help` imports none of them; the help here is each one's first sentence.
_COMMANDS = {
    "cat": "Print a sample's sidecars as JSON, or write one member's bytes as they are.",
    "demo": "Run the main job on made-up data: make, write, verify, stream each task.",
    "index": "Give tars made by anybody an index, a manifest and a card.",
    "info": "Say what a dataset holds: splits, samples, shards, tasks.",
    "ls": "List the samples of a dataset, or of a tar that anybody made.",
    "verify": "Read a dataset in full; report what differs from manifest, index and schemas.",
    "write": "Pack a dataset into shards, with index, manifest and card.",
}
for _name, _help in _COMMANDS.items():
    app.command(f"vrs_wds.cli.{_name}:{_name}", name=_name, help=_help)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line, and exit."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    escape_what_cannot_be_shown()
    code = _run([argument for argument in given if argument != "--debug"], debug=debug)
    if code == 0:  # all is done and said: while the interpreter ends, Ctrl-C comes too late
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)


def _run(arguments: list[str], *, debug: bool) -> int:
    try:
        result = app(
            arguments, exit_on_error=False, print_error=False, result_action="return_value"
        )
        out_all()
    except CycloptsError as error:
        err(f"vrs-wds: {_one_line(str(error))}\nTry `vrs-wds {_command(arguments)}--help`.")
        return 2
    except KeyboardInterrupt as error:
        err(f"vrs-wds: {_with_notes('stopped.', error)}")
        return 130
    except BrokenPipeError:
        # The reader of our output, such as `head`, has gone: nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as error:  # that is what rich, which prints help, makes of it
        if isinstance(error.__context__, BrokenPipeError):
            return 0
        raise
    except (VrsWdsError, OSError, IndexError) as error:
        if debug:
            err_traceback()
        err(f"vrs-wds: {_with_notes(str(error), error)}")
        return 1
    return result if isinstance(result, int) else 0


def _with_notes(text: str, error: BaseException) -> str:
    """Return a message and what was added to the error on its way, such as what is kept."""
    return _one_line(" ".join([text, *getattr(error, "__notes__", [])]))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _command(arguments: list[str]) -> str:
    return f"{arguments[0]} " if arguments and arguments[0] in app else ""


if __name__ == "__main__":
    main()
