"""Several ranks of a launcher write one split."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

LAUNCHER = ["-m", "torch.distributed.run", "--standalone", "--local-ranks-filter=0"]


def ranks(start: Any, root: Path, count: int, **environment: str) -> list[Any]:
    """Start ranks as a launcher without a coordinator would."""
    return [
        start(root, RANK=str(rank), WORLD_SIZE=str(count), **environment) for rank in range(count)
    ]


@pytest.mark.parametrize("count", [2, 4])
def test_torchrun_gives_the_bytes_of_one_process(
    tmp_path: Path, start: Any, contents: Any, undisturbed: dict[str, bytes], count: int
) -> None:
    """All ranks report, and nothing else is left."""
    process = start(tmp_path, *LAUNCHER, f"--nproc-per-node={count}")
    output, error = process.communicate(timeout=120)

    assert process.returncode == 0, error
    assert "400" in output
    assert contents(tmp_path) == undisturbed


@pytest.mark.parametrize("number", [50, 110])
def test_a_rank_is_killed_and_the_job_restarted(
    tmp_path: Path,
    start: Any,
    contents: Any,
    undisturbed: dict[str, bytes],
    number: int,
) -> None:
    """Torchrun starts all ranks again; samples 50 and 110 are of ranks 2 and 1 of 4."""
    flag = tmp_path / "killed"
    process = start(
        tmp_path / "out",
        *LAUNCHER,
        "--nproc-per-node=4",
        "--max-restarts=1",
        DIE_AT=str(number),
        FLAG=str(flag),
    )
    _, error = process.communicate(timeout=120)

    assert flag.exists()
    assert process.returncode == 0, error
    assert contents(tmp_path / "out") == undisturbed


@pytest.mark.parametrize("victim", [0, 1, 2])
def test_the_others_notice_that_a_rank_is_gone(
    tmp_path: Path, start: Any, contents: Any, undisturbed: dict[str, bytes], victim: int
) -> None:
    """Killed where nobody restarts it: the others say so, and end; the next launch goes on."""
    quick = {"BEAT": "0.2", "PATIENCE": "3"}
    slow = quick | {"SLOW": "0.02"}
    processes = ranks(start, tmp_path, 3, **slow)
    journal = tmp_path / ".train.writing"
    while not list(journal.glob("*-0000.*.end.json")):  # all have begun
        assert all(process.poll() is None for process in processes)
    os.kill(processes[victim].pid, signal.SIGKILL)
    for rank, process in enumerate(processes):
        _, error = process.communicate(timeout=60)
        assert process.returncode != 0
        if rank != victim:
            assert error.startswith("RankError: rank"), error
    assert not (tmp_path / "train.json").exists()

    processes = ranks(start, tmp_path, 3, **quick, START="40")  # then it says who did not come
    ends = [process.communicate(timeout=60) for process in processes]
    assert [output.split() for output, _ in ends] == [["begin", "400"]] * 3, ends
    assert contents(tmp_path) == undisturbed


def test_an_error_on_one_rank_ends_all(tmp_path: Path, start: Any) -> None:
    """Every rank says why, and soon."""
    processes = ranks(start, tmp_path / "0", 2, BEAT="0.2", FAIL_AT="130")  # a sample of rank 0
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert "ValueError: a bad place" in errors[0]
    assert "RankError: rank 0 stopped: ValueError: a bad place" in errors[1]

    processes = ranks(start, tmp_path / "1", 2, BEAT="0.2", FAIL_AT="110")  # a sample of rank 1
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert "RankError: rank 1 stopped: ValueError: a bad place" in errors[0]
    assert "ValueError: a bad place" in errors[1]


def test_ranks_with_different_sources_are_refused(tmp_path: Path, start: Any) -> None:
    """Before anything is written."""
    one = start(tmp_path, RANK="0", WORLD_SIZE="2", BEAT="0.2")
    other = start(tmp_path, RANK="1", WORLD_SIZE="2", BEAT="0.2", LENGTH="399")
    assert (
        "rank 1 would write something else than rank 0: num_samples: was 400, is 399"
        in (one.communicate(timeout=60)[1])
    )
    assert "RankError: rank 0 stopped" in other.communicate(timeout=60)[1]
    assert not list(tmp_path.iterdir())


def test_a_rank_that_does_not_come(tmp_path: Path, start: Any) -> None:
    """Rank 0 waits for so long, and names it; so does a rank without rank 0."""
    for rank, message in ((0, "ranks [1] have not begun"), (1, "rank 0 has not begun")):
        process = start(tmp_path, RANK=str(rank), WORLD_SIZE="2", BEAT="0.2", START="1")
        assert message in process.communicate(timeout=60)[1]
        assert process.returncode == 1


def test_ranks_without_work_wait_for_the_end(
    tmp_path: Path, start: Any, contents: Any, undisturbed: dict[str, bytes]
) -> None:
    """The split is complete already, but for the commit; or it has fewer blocks than ranks."""
    processes = ranks(start, tmp_path / "few", 3, BEAT="0.2", LENGTH="30")
    outputs = [process.communicate(timeout=60)[0].split() for process in processes]
    assert outputs == [["begin", "30"]] * 3

    one = start(tmp_path / "out")
    while not list((tmp_path / "out").glob(".train.writing/shard-000019-0000.*.end.json")):
        assert one.poll() is None
    one.kill()
    one.communicate()
    if (tmp_path / "out" / ".train.writing").exists():
        for process in ranks(start, tmp_path / "out", 2, BEAT="0.2"):
            output, error = process.communicate(timeout=60)
            assert output.split() == ["begin", "400"], error
    assert contents(tmp_path / "out") == undisturbed


def test_the_same_job_is_launched_twice(
    tmp_path: Path, start: Any, contents: Any, undisturbed: dict[str, bytes]
) -> None:
    """Ranks find those of their own launch; the other's rank 0 is refused, and disturbs nothing."""
    quick = {"BEAT": "0.2", "PATIENCE": "3", "WORLD_SIZE": "2", "SLOW": "0.01"}
    other = start(tmp_path, RANK="1", TORCHELASTIC_RUN_ID="b", **quick)
    ours = [start(tmp_path, RANK="0", TORCHELASTIC_RUN_ID="a", **quick)]
    while not list(tmp_path.glob(".train.claims/*")):
        assert ours[0].poll() is None
    _, error = start(tmp_path, RANK="0", TORCHELASTIC_RUN_ID="b", **quick).communicate(timeout=60)
    assert error.startswith("SplitBusyError: ")
    ours.append(start(tmp_path, RANK="1", TORCHELASTIC_RUN_ID="a", **quick))

    other.send_signal(signal.SIGINT)  # as its launcher ends it
    other.communicate(timeout=60)
    for process in ours:
        output, error = process.communicate(timeout=60)
        assert output.split() == ["begin", "400"], error
    found = contents(tmp_path)
    assert {name: data for name, data in found.items() if name[:7] != ".train."} == undisturbed


def test_launches_that_nobody_tells_apart(
    tmp_path: Path, start: Any, contents: Any, undisturbed: dict[str, bytes]
) -> None:
    """Rank 0 may take the other's rank 1; when that is gone, its own takes its place."""
    quick = {"BEAT": "0.2", "PATIENCE": "4", "WORLD_SIZE": "2", "SLOW": "0.05"}
    other = start(tmp_path, RANK="1", **quick)
    ours = [start(tmp_path, RANK="0", **quick)]
    journal = tmp_path / ".train.writing"
    while not list(journal.glob("shard-000001-0000.*.end.json")):  # rank 1 has begun
        assert ours[0].poll() is None
    ours.append(start(tmp_path, RANK="1", **quick))
    while len(list(tmp_path.glob(".train.ranks/rank-000001.*.json"))) < 2:  # it waits
        assert ours[0].poll() is None
    other.kill()
    other.communicate()
    for process in ours:
        output, error = process.communicate(timeout=60)
        assert output.split() == ["begin", "400"], error
    assert contents(tmp_path) == undisturbed
