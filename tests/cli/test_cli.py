"""The command line, as a person uses it: real processes."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from vrs_wds.cli.main import app, main
from vrs_wds.images.encode import encode_rgb
from vrs_wds.reader.open import open_dataset
from vrs_wds.reader.verify import verify
from vrs_wds.sample import SourceSample
from vrs_wds.sources.vrsbench.source import VRSBenchSource
from vrs_wds.testing.synthetic import make_vrsbench
from vrs_wds.writer.write import write_shards

WRITE = ["write", "--source", "vrsbench"]
COMMAND = [sys.executable, "-m", "vrs_wds.cli.main"]


class Result:
    """What a command printed, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    """Run a command in this process."""

    def call(*arguments: object) -> Result:
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        signal.signal(signal.SIGINT, signal.default_int_handler)  # it is left to a process's end
        shown = capsys.readouterr()
        return Result(int(caught.value.code or 0), shown.out, shown.err)

    return call


@pytest.fixture(scope="module")
def vrsbench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up VRSBench in zips."""
    return make_vrsbench(tmp_path_factory.mktemp("vrsbench"), num_train=9, num_val=4, size=64)


def test_write_info_ls_cat_verify(run, vrsbench: Path, tmp_path: Path) -> None:
    """One walk: each command says what it should."""
    out = tmp_path / "out"
    config = tmp_path / "config.yaml"
    config.write_text("shards:\n  max_samples: 4\n")
    for split in ("train", "val"):
        arguments = ["--source", "vrsbench", "--root", vrsbench, "--split", split, "--out", out]
        written = run("write", *arguments, "--config", config)
        assert written.code == 0, written.err
        assert f"split '{split}'" in written.out

    shown = run("info", out)
    assert "samples      9" in shown.out
    assert "shards       3" in shown.out
    details = json.loads(run("info", out, "--json", "--split", "val").out)
    assert details["val"]["num_samples"] == 4

    keys = run("ls", out, "--split", "train").out.split()
    assert keys == open_dataset(out, "train").column("key")
    some = run("ls", out, "--split", "train", "--where", "num_questions > 0", "--tasks", "vqa")
    assert set(some.out.split()) <= set(keys)
    assert re.search(r"^  png  [\d,]+$", run("ls", out, "--members").out, re.MULTILINE)
    shard = run("ls", out / "train-000000.tar")
    assert shard.out.split() == keys[:4]

    sidecars = json.loads(run("cat", out, keys[0]).out)
    assert "meta.json" in sidecars
    assert "png" not in sidecars

    sound = run("verify", out, "--decode")
    assert sound.code == 0
    assert sound.out.count("all right") == 2


def test_cat_writes_a_members_bytes(small_root: Path) -> None:
    """As they are, to standard output."""
    command = [*COMMAND, "cat", str(small_root), "tile_0003", "png"]
    result = subprocess.run(command, capture_output=True, check=True)

    assert result.stdout == open_dataset(small_root)["tile_0003"]["png"]


def test_write_to_a_file_is_one_line(run, vrsbench: Path, tmp_path: Path) -> None:
    """Which names it."""
    file = tmp_path / "out"
    file.touch()
    result = run(*WRITE, "--root", vrsbench, "--split", "train", "--out", file)

    assert result.code == 1
    assert f"{file} is a file. Give the folder" in result.err
    assert len(result.err.splitlines()) == 1


def test_index_makes_tars_a_dataset(run, small_root: Path, tmp_path: Path) -> None:
    """Then info and ls know them."""
    for path in small_root.glob("*.tar"):
        shutil.copy(path, tmp_path)
    made = run("index", tmp_path, "--split", "train")

    assert made.code == 0
    assert "23 samples in 4 shards" in made.out
    assert len(run("ls", tmp_path).out.split()) == 23
    again = run("index", tmp_path, "--split", "train")
    assert (again.code, "has a manifest already" in again.err) == (1, True)
    assert run("index", tmp_path, "--split", "train", "--overwrite").code == 0


def test_verify_finds_damage(run, small_root: Path, tmp_path: Path) -> None:
    """Exit code 1, and a line that names shard, key and member."""
    root = Path(shutil.copytree(small_root, tmp_path / "x"))
    path = root / "train-000001.tar"
    data = bytearray(path.read_bytes())
    data[open_dataset(root).column("png:offset")[8]] ^= 1
    path.write_bytes(data)
    result = run("verify", root)

    assert result.code == 1
    assert "train-000001.tar: sample 'tile_0008': member 'tile_0008.png'" in result.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["info", "/no/such/folder"], 1, "no dataset there"),
        (["ls", "ROOT", "--where", "nope > 1"], 1, "no such column"),
        (["cat", "ROOT", "no_such_key"], 1, "has no sample 'no_such_key'"),
        (["cat", "ROOT", "tile_0001", "jpg"], 1, "has no member 'jpg'"),
        (["verify", "ROOT", "--split", "val"], 1, "the splits there are train"),
        (
            ["write", "--source", "vrsbench", "--root", "ROOT", "--split", "train", "--out", "X"],
            1,
            "",
        ),
        ([*WRITE, "--root", "ROOT", "--split", "test", "--out", "X"], 1, "split"),
        (["info", "ROOT/train.json"], 1, "train.json is a file. Give the folder"),
        (["index", "ROOT/train-000000.tar", "--split", "x"], 1, "tar is a file. Give the folder"),
        (["write", "--source", "coco"], 2, "vrsbench"),
        (["write"], 2, "--source"),
        (["nope"], 2, "nope"),
        (["info"], 2, "url"),
        (["info", "ROOT", "--nope"], 2, "--nope"),
        (["demo", "--num-train", "many"], 2, "many"),
        (["demo", "--out", "ROOT/train.json"], 1, "train.json is a file. Give the folder"),
        (["demo", "--num-train", "-3"], 1, "--num-train: expected at least 1, got -3"),
        (["demo", "--num-val", "0"], 1, "--num-val: expected at least 1, got 0"),
    ],
)
def test_errors_are_one_line_and_an_exit_code(
    run, small_root: Path, arguments: list[str], code: int, message: str
) -> None:
    """1 when it fails, 2 when the command line is wrong; nothing on standard output."""
    result = run(*[part.replace("ROOT", str(small_root)) for part in arguments])
    lines = result.err.strip().splitlines()

    assert result.code == code
    assert lines[0].startswith("vrs-wds: ")
    assert message.lower() in lines[0].lower()
    assert len(lines) == code  # usage errors add how to get help
    assert "Traceback" not in result.err
    assert result.out == ""


def test_debug_shows_the_traceback(run) -> None:
    """Anywhere on the command line."""
    result = run("info", "/no/such/folder", "--debug")

    assert result.code == 1
    assert "Traceback" in result.err
    assert result.err.strip().splitlines()[-1].startswith("vrs-wds: ")


@pytest.mark.parametrize("command", [[], *[[name] for name in sorted(app) if name[0] != "-"]])
def test_every_command_has_help(command: list[str]) -> None:
    """It begins with how to call it, and says what each option does."""
    result = subprocess.run(
        [*COMMAND, *command, "--help"], capture_output=True, text=True, check=True
    )

    assert "Usage: vrs-wds" in result.stdout
    assert "--help" in result.stdout or "Parameters" in result.stdout


def test_help_loads_no_heavy_package() -> None:
    """No torch, no pyarrow, no numpy."""
    code = (
        "import sys\nfrom vrs_wds.cli.main import main\n"
        "try:\n    main(['--help'])\n"
        "finally:\n    print('LOADED', *sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    loaded = set(result.stdout.rpartition("LOADED")[2].split())

    assert "cyclopts" in loaded
    assert not {"torch", "pyarrow", "numpy", "datasets", "webdataset"} & loaded


def test_version() -> None:
    """The package's."""
    import vrs_wds

    result = subprocess.run([*COMMAND, "--version"], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == vrs_wds.__version__


def test_a_closed_pipe_is_no_error(small_root: Path) -> None:
    """`vrs-wds ls ... | head -1`."""
    command = f"{sys.executable} -m vrs_wds.cli.main ls {small_root} --members | head -1"
    result = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False
    )

    assert result.returncode == 0
    assert result.stdout == "tile_0000\n"
    assert result.stderr == ""


@pytest.mark.parametrize("arguments", [["--help"], ["cat", "--help"], ["--version"], ["info"]])
def test_a_pipe_that_nobody_reads_is_no_error(small_root: Path, arguments: list[str]) -> None:
    """Of help too, which another package prints, and of what is sent only at the end."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [*COMMAND, *arguments, *([str(small_root)] if arguments == ["info"] else [])]
    # By default what is printed waits to be sent; PYTHONUNBUFFERED would change that.
    environment = {name: os.environ[name] for name in os.environ if name != "PYTHONUNBUFFERED"}
    with os.fdopen(write_end, "wb") as stdout:
        result = subprocess.run(
            command, stdout=stdout, stderr=subprocess.PIPE, env=environment, check=False
        )

    assert (result.returncode, result.stderr) == (0, b"")


@pytest.mark.parametrize("arguments", ["--version", "info"])
def test_without_a_standard_output(small_root: Path, arguments: str) -> None:
    """As daemons are started, and `>&-` in a shell."""
    command = f"{sys.executable} -m vrs_wds.cli.main {arguments} "
    command += f"{small_root if arguments == 'info' else ''} >&-"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)

    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_a_terminal_cannot_show_is_escaped(tmp_path: Path, encoding: str) -> None:
    """JSON stays JSON."""
    caption = "Ein Schiff \u2014 \U0001f6a2, gr\u00fcn"
    image = encode_rgb(np.zeros((8, 8, 3), np.uint8), "png")
    sample = SourceSample("a", image, "png", {"captioning": {"captions": [caption]}})
    write_shards([sample], tmp_path, split="train")
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    command = [*COMMAND, "cat", str(tmp_path), "a"]
    result = subprocess.run(command, capture_output=True, env=environment, check=False)

    assert (result.returncode, result.stderr) == (0, b"")
    shown = json.loads(result.stdout.decode(encoding))
    assert shown["captioning.json"]["captions"] == [caption]
    assert subprocess.run([*COMMAND, "--help"], capture_output=True, env=environment, check=True)


def test_ctrl_c_stops_with_one_line(vrsbench: Path, tmp_path: Path) -> None:
    """Exit code 130, no traceback, nothing published."""
    arguments = ["--source", "vrsbench", "--root", str(vrsbench), "--split", "train"]
    code = (
        "import os, signal, sys\nfrom vrs_wds.writer.pack import Packer\n"
        "pack = Packer.pack\n"
        "def interrupted(self, span, samples, *others, **options):\n"
        "    def cut():\n"
        "        yield next(samples)\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        yield from samples\n"
        "    return pack(self, span, cut(), *others, **options)\n"
        "Packer.pack = interrupted\n"
        "from vrs_wds.cli.main import main\nmain(sys.argv[1:])"
    )
    command = [sys.executable, "-c", code, "write", *arguments, "--out", str(tmp_path / "out")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)

    assert result.returncode == 130
    assert result.stderr.strip() == "vrs-wds: stopped."
    assert list((tmp_path / "out").iterdir()) == []


def last_step(vrsbench: Path, out: Path, command: str) -> list[str]:
    """Return the arguments of a command that makes a split visible."""
    if command == "write":
        source = ["--source", "vrsbench", "--root", str(vrsbench)]
        return ["write", *source, "--out", str(out), "--split", "train"]
    write_shards(VRSBenchSource(vrsbench, "train"), out, split="train")
    (out / "train.json").unlink()
    return ["index", str(out), "--split", "train"]


INTERRUPTED = [sys.executable, str(Path(__file__).parent / "scripts" / "interrupted.py")]


@pytest.mark.parametrize("place", ["rename", "put_new", "delete", "sweep", "report_of", "out"])
@pytest.mark.parametrize("command", ["write", "index"])
def test_ctrl_c_in_the_last_step_comes_too_late(
    vrsbench: Path, tmp_path: Path, command: str, place: str
) -> None:
    """Exit code 130 says that there is no split; here there is one, whole and clean."""
    out = tmp_path / "out"
    arguments = last_step(vrsbench, out, command)
    argv = [*INTERRUPTED, place, "1", *arguments]
    result = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr
    assert "9 samples in 1 shards" in result.stdout
    assert verify(out, "train").problems == []
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md", "train-000000.tar", "train.index.parquet", "train.json",
    ]  # fmt: skip


def test_who_insists_is_heard_in_the_last_step(vrsbench: Path, tmp_path: Path) -> None:
    """The store may stall: a second Ctrl-C ends the command; the same call ends the work."""
    arguments = last_step(vrsbench, tmp_path / "out", "write")
    argv = [*INTERRUPTED, "put_new", "2", *arguments]
    result = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert result.returncode == 130, result.stderr
    assert list((tmp_path / "out").glob("*.json")) == []
    subprocess.run([*COMMAND, *arguments], check=True, capture_output=True)
    assert verify(tmp_path / "out", "train").problems == []


def test_demo_runs_the_whole_walk(tmp_path: Path) -> None:
    """In a process of its own; it says what it did for every task."""
    out = tmp_path / "demo"
    command = [*COMMAND, "demo", "--out", str(out), "--num-train", "6", "--num-val", "3"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)

    for text in ("Images_train.zip", "all right", "captioning", "classification", "vqa", "Done."):
        assert text in result.stdout
    for task in ("detection", "grounding"):
        assert re.search(rf"{task}: 1 batches", result.stdout)
    assert "write train: 100%" in result.stderr
    assert len(open_dataset(out / "shards", "val")) == 3


@pytest.mark.parametrize("name", ["VRSBench", "shards"])
def test_demo_writes_over_nothing(run, tmp_path: Path, name: str) -> None:
    """A folder of that name may be the real dataset: it stays, and nothing is made beside it."""
    (tmp_path / name).mkdir()
    (tmp_path / name / "Images_train.zip").write_text("real")
    result = run("demo", "--out", tmp_path, "--num-train", 6, "--num-val", 3)

    assert result.code == 1
    assert f"--out: expected a new folder, but {tmp_path / name} is there." in result.err
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name / "Images_train.zip").read_text() == "real"


@pytest.mark.parametrize("delay", [0.3, 0.9, 1.2, 1.5, 1.8, 2.1, 2.4, 2.7])
def test_ctrl_c_with_workers(vrsbench: Path, tmp_path: Path, delay: float) -> None:
    """At a terminal every process of the group gets it: one line, no traceback, nobody is left."""
    arguments = ["--source", "vrsbench", "--root", str(vrsbench), "--split", "train"]
    command = [*COMMAND, "write", *arguments, "--out", str(tmp_path / "out"), "--num-workers", "2"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(delay)  # whatever it is doing by then
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)

    # Minus SIGINT: it came while the interpreter started or ended, before or after the command.
    assert process.returncode in (130, 0, -signal.SIGINT)
    if process.returncode == 130:
        assert re.fullmatch(r"(vrs-wds: stopped\.( \d+ complete shards are kept .*)?\n)?", err)
        assert list((tmp_path / "out").glob("*.json")) == []
    elif process.returncode == 0:
        assert verify(tmp_path / "out", "train").problems == []
    with pytest.raises(ProcessLookupError):
        for _ in range(100):  # the group is empty once its last process is reaped
            os.killpg(process.pid, 0)
            time.sleep(0.1)
