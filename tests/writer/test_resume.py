"""`write_shards` goes on where it was stopped, and ends with the bytes of an undisturbed run."""

import contextlib
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vrs_wds.errors import DatasetExistsError, DuplicateKeyError, ResumeError
from vrs_wds.reader.open import open_dataset
from vrs_wds.reader.verify import verify
from vrs_wds.sample import SourceSample
from vrs_wds.storage.local import LocalStore
from vrs_wds.writer import claim, journal, transaction
from vrs_wds.writer.options import ShardConfig, ShardOptions
from vrs_wds.writer.write import write_shards

CONFIG = ShardConfig(shards=ShardOptions(max_samples=4))


class Samples:
    """A source whose samples can be changed, and that counts what is loaded."""

    def __init__(self, samples: list[SourceSample]) -> None:
        self.samples = samples
        self.loaded: list[int] = []
        self.stop_at = len(samples)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, number: int, /) -> SourceSample:
        if number >= self.stop_at:
            raise RuntimeError("stopped")
        self.loaded.append(number)
        return self.samples[number]


def contents(root: Path) -> dict[str, bytes]:
    """Return every file of a folder, hidden ones too."""
    files = [path for path in root.rglob("*") if path.is_file()]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def whole(tmp_path: Path, small_samples: Any) -> dict[str, bytes]:
    """What an undisturbed run writes."""
    write_shards(small_samples, tmp_path / "whole", split="train", config=CONFIG)
    return contents(tmp_path / "whole")


@pytest.mark.parametrize("stop_at", [0, 3, 4, 5, 9, 20, 22])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_complete_shards_are_not_written_again(
    tmp_path: Path, small_samples: Any, whole: dict[str, bytes], stop_at: int, num_workers: int
) -> None:
    """An exception in the source; then the same call, with another number of workers."""
    source = Samples(small_samples)
    source.stop_at = stop_at
    with pytest.raises(RuntimeError, match="stopped"):
        write_shards(source, tmp_path / "out", split="train", config=CONFIG)
    visible = [name for name in contents(tmp_path / "out") if not name.startswith(".train.writing")]
    assert visible == []

    source.loaded, source.stop_at = [], len(source)
    write_shards(source, tmp_path / "out", split="train", config=CONFIG, num_workers=num_workers)
    assert contents(tmp_path / "out") == whole
    if num_workers == 0:
        complete = stop_at // 4 * 4
        # Of complete shards, the first and the last sample are compared.
        assert [n for n in source.loaded if n >= complete] == list(range(complete, 23))
        assert len([n for n in source.loaded if n < complete]) == complete // 4 * 2


def test_an_iterable_is_passed_over(
    tmp_path: Path, small_samples: Any, whole: dict[str, bytes]
) -> None:
    """A generator goes on too, if it gives the same samples again; twice stopped."""

    def samples(stop_at: int) -> Iterator[SourceSample]:
        yield from small_samples[:stop_at]
        if stop_at < len(small_samples):
            raise RuntimeError("stopped")

    for stop_at in (6, 15, 23):
        try:
            write_shards(samples(stop_at), tmp_path / "out", split="train", config=CONFIG)
        except RuntimeError:
            assert stop_at < 23
    assert contents(tmp_path / "out") == whole


@pytest.mark.parametrize("as_iterable", [False, True])
@pytest.mark.parametrize("number", [0, 3])
def test_a_changed_source_is_refused(
    tmp_path: Path, small_samples: Any, number: int, as_iterable: bool
) -> None:
    """Another sample in a complete shard, or fewer of them; the way out works."""

    def stopped(samples: list[SourceSample]) -> Any:
        source = Samples(samples)
        source.stop_at = 9
        return iter(source) if as_iterable else source

    with pytest.raises(RuntimeError, match="stopped"):
        write_shards(stopped(small_samples), tmp_path, split="train", config=CONFIG)
    before = contents(tmp_path)
    changed = list(small_samples)
    changed[number] = replace(changed[number], extra={"changed": True})
    given: Callable[[], Any] = lambda: iter(changed) if as_iterable else Samples(changed)  # noqa: E731
    with pytest.raises(ResumeError, match=rf"sample {number} was another.*resume=False"):
        write_shards(given(), tmp_path, split="train", config=CONFIG)
    after = contents(tmp_path)
    # It names this call as one whose shards count: that is all.
    assert after | {".train.writing/job.json": b""} == before | {".train.writing/job.json": b""}

    write_shards(given(), tmp_path, split="train", config=CONFIG, resume=False)
    assert open_dataset(tmp_path).metadata(number)["meta"].extra["changed"] is True
    assert not [name for name in contents(tmp_path) if name.startswith(".")]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (ShardConfig(shards=ShardOptions(max_samples=5)), "shards.max_samples: was 4, is 5"),
        (ShardConfig(shards=CONFIG.shards, tasks=("vqa",)), r"tasks: was 'all', is \['vqa'\]"),
    ],
)
def test_changed_options_are_refused(
    tmp_path: Path, small_samples: Any, config: ShardConfig, message: str
) -> None:
    """The error says which."""
    source = Samples(small_samples)
    source.stop_at = 9
    with pytest.raises(RuntimeError, match="stopped"):
        write_shards(source, tmp_path, split="train", config=CONFIG)
    source.stop_at = 23
    with pytest.raises(ResumeError, match=message):
        write_shards(source, tmp_path, split="train", config=config)


def test_another_length_is_refused(tmp_path: Path, small_samples: Any) -> None:
    """A source that has grown since is another one."""
    source = Samples(small_samples[:20])
    source.stop_at = 9
    with pytest.raises(RuntimeError, match="stopped"):
        write_shards(source, tmp_path, split="train", config=CONFIG)
    with pytest.raises(ResumeError, match="num_samples: was 20, is 23"):
        write_shards(Samples(small_samples), tmp_path, split="train", config=CONFIG)


def test_an_unfinished_write_without_shards_is_forgotten(
    tmp_path: Path, small_samples: Any
) -> None:
    """There is nothing to lose: other options need no word."""
    source = Samples(small_samples)
    source.stop_at = 2
    with pytest.raises(RuntimeError, match="stopped"):
        write_shards(source, tmp_path, split="train", config=CONFIG)
    assert contents(tmp_path) == {}


def test_a_key_given_twice_is_found_across_a_resume(tmp_path: Path, small_samples: Any) -> None:
    """Keys of complete shards count."""
    source = Samples([*small_samples, small_samples[1]])
    source.stop_at = 9
    with pytest.raises(RuntimeError, match="stopped"):
        write_shards(source, tmp_path, split="train", config=CONFIG)
    source.stop_at = 24
    with pytest.raises(DuplicateKeyError, match=r"\(sample 1\) and by .* \(sample 23\)"):
        write_shards(source, tmp_path, split="train", config=CONFIG)


class Stop(BaseException):
    """Stands for a kill: no `except Exception` sees it."""


@pytest.mark.parametrize("overwrite", [False, True])
def test_stopped_at_each_step_of_the_commit(
    tmp_path: Path,
    small_samples: Any,
    whole: dict[str, bytes],
    overwrite: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed before any change of the store: the same call ends with the same bytes.

    The steps are the calls of `put`, `put_new`, `rename` and `delete` after the last shard.
    """
    finished = False
    step = 0
    while not finished:
        root = tmp_path / f"step-{step}"
        if overwrite:
            old = [replace(sample, name=f"old-{sample.name}") for sample in small_samples[:9]]
            write_shards(
                old, root, split="train", config=ShardConfig(shards=ShardOptions(max_samples=1))
            )
        finished = _killed_at(step, monkeypatch, lambda r=root: write_shards(  # type: ignore[misc]
            small_samples, r, split="train", config=CONFIG, overwrite=overwrite))  # fmt: skip
        bury(root)
        if (root / "train.json").exists():
            assert verify(root, progress=False).ok  # either dataset, whole
        # All that was left to do is to remove the claim, or not even that.
        published = (root / "train.json").exists()
        done = finished or (published and not (root / ".train.writing" / "commit.json").exists())
        write_shards_again(root, small_samples, overwrite, done=done)
        assert contents(root) == whole, f"killed at step {step}"
        step += 1
    assert step > 20


def write_shards_again(root: Path, samples: Any, overwrite: bool, *, done: bool) -> None:
    """Call it again; a split that is complete already is no unfinished write."""
    try:
        write_shards(samples, root, split="train", config=CONFIG, overwrite=overwrite)
    except DatasetExistsError:
        assert done


def _killed_at(step: int, monkeypatch: pytest.MonkeyPatch, call: Callable[[], object]) -> bool:
    """Run `call`, killed before the `step`-th change from the commit on; True if it ended."""
    count = -1
    killed = False

    def counting(method: Callable[..., Any]) -> Callable[..., Any]:
        def changed(self: LocalStore, *args: Any) -> Any:
            nonlocal count, killed
            if killed:
                raise Stop  # a dead process changes nothing more
            if count >= 0:
                count += 1
                if count > step:
                    killed = True
                    raise Stop
            return method(self, *args)

        return changed

    write_index = transaction.write_index

    def last_shard_is_there(*args: Any) -> Any:
        nonlocal count
        count = 0
        return write_index(*args)

    with monkeypatch.context() as patch:
        patch.setattr(transaction, "write_index", last_shard_is_there)
        patch.setattr(journal, "_THREADS", 1)
        patch.setattr(claim, "BEAT_SECONDS", 1000)  # its thread would be killed too, and say so
        for name in ("put", "put_new", "rename", "delete"):
            patch.setattr(LocalStore, name, counting(getattr(LocalStore, name)))
        try:
            call()
        except Stop:
            killed = True
    return not killed


def bury(root: Path) -> None:
    """Let the claim be that of a process which is no more."""
    for path in root.glob(".train.claims/claim-*"):
        path.write_bytes(path.read_bytes().replace(b'"started":"', b'"started":"0'))


def check_what_is_visible(root: Path, whole: dict[str, bytes]) -> None:
    """Everything with a name is whole; and with a manifest there is everything."""
    seen = {name: data for name, data in contents(root).items() if not name.startswith(".")}
    for name, data in seen.items():
        assert data == whole[name], f"{name} is visible and not whole"
    if "train.json" in seen:
        assert seen.keys() == whole.keys()


def test_killed_at_random_moments(
    tmp_path: Path, start: Any, undisturbed: dict[str, bytes]
) -> None:
    """50 seeded moments of a real process; what is visible is whole, and a resume ends it."""
    rng = random.Random(0)
    kills = 0
    for trial in range(10):
        root = tmp_path / str(trial)
        for _ in range(5):  # killed again and again on its way
            kills += _run_and_kill(start, root, rng.uniform(0, 0.3))
            check_what_is_visible(root, undisturbed)
        hidden = {name.partition("/")[0] for name in contents(root) if name.startswith(".")}
        if hidden or not contents(root):
            output, error = start(root).communicate(timeout=60)
            # With nothing left but the claim it was over: that is no unfinished write.
            is_over = hidden == {".train.claims"} and (root / "train.json").exists()
            assert output.split() == ["begin", "400"] or is_over, error
        assert contents(root) == undisturbed
    assert kills > 25


def _run_and_kill(start: Any, root: Path, seconds: float) -> bool:
    """Kill the script so long after it began; False if it had ended."""
    process = start(root)
    process.stdout.readline()  # imports are over
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
    process.communicate()
    return process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("num_workers", [0, 2])
def test_what_a_generator_gave_before_it_failed_is_kept(
    tmp_path: Path, small_samples: Any, num_workers: int
) -> None:
    """Workers prepare several shards ahead: they are packed before the failure is raised."""

    def samples() -> Iterator[SourceSample]:
        for number in range(90):
            yield replace(small_samples[number % 20], name=f"s{number}")
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped") as error:
        write_shards(samples(), tmp_path, split="train", config=CONFIG, num_workers=num_workers)
    assert error.value.__notes__[0].startswith("22 complete shards are kept")


def test_stopped_between_copying_a_shard_and_deleting_the_copied(
    tmp_path: Path, small_samples: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bucket moves so. Such a shard is known as one of this write."""

    def rename(self: LocalStore, name: str, new_name: str) -> None:
        shutil.copyfile(self.root / name, self.root / new_name)
        raise RuntimeError("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "rename", rename)
        with pytest.raises(RuntimeError, match="stopped"):
            write_shards(small_samples, tmp_path, split="train", config=CONFIG)
    assert list(tmp_path.glob("train-*.tar"))
    with pytest.raises(ResumeError, match="resume=False"):
        write_shards(small_samples[:-1], tmp_path, split="train", config=CONFIG)

    write_shards(small_samples[:-1], tmp_path, split="train", config=CONFIG, resume=False)
    assert verify(tmp_path, progress=False).ok


def test_an_old_split_with_the_same_shards_is_not_taken_for_moved_ones(
    tmp_path: Path, small_samples: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as its manifest is there nothing was moved."""

    def fail(*_: object) -> None:
        raise RuntimeError("stopped")

    options: dict[str, Any] = {"split": "train", "config": CONFIG}
    write_shards(small_samples, tmp_path, **options)
    with monkeypatch.context() as patch:
        patch.setattr(transaction, "_move", fail)
        with pytest.raises(RuntimeError, match="stopped"):
            write_shards(small_samples[:-1], tmp_path, **options, overwrite=True)
    source = Samples(small_samples[:-1])
    source.stop_at = 0
    with pytest.raises(RuntimeError, match="stopped"):  # it has thrown the unfinished write away
        write_shards(source, tmp_path, **options, overwrite=True, resume=False)
    assert verify(tmp_path, progress=False).ok


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_the_process_that_they_work_for(
    tmp_path: Path, start: Any, how: signal.Signals
) -> None:
    """Nobody else tells them: they would wait for work for ever."""

    def session() -> list[str]:
        stats = [path.read_text().rpartition(")")[2].split() for path in readable()]
        return [stat[0] for stat in stats if stat[3] == str(process.pid) and stat[0] != "Z"]

    def readable() -> Iterator[Path]:
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                path.read_text()
                yield path

    process = start(tmp_path, WORKERS="2", SLOW="0.02")
    while not list(tmp_path.glob(".train.writing/*.end.json")):
        assert process.poll() is None
    assert len(session()) >= 3
    process.send_signal(how)
    process.communicate(timeout=60)
    end = time.monotonic() + 60
    while session():
        assert time.monotonic() < end, "workers are still there"
        time.sleep(0.1)
