"""An unfinished write is changed by others, or by a writer that was thought dead."""

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from vrs_wds.errors import (
    DatasetExistsError,
    ManifestError,
    ResumeError,
    SampleError,
    SplitBusyError,
    StorageError,
)
from vrs_wds.reader.open import open_dataset
from vrs_wds.reader.verify import verify
from vrs_wds.sample import SourceSample
from vrs_wds.storage.local import LocalStore
from vrs_wds.writer import claim as claims
from vrs_wds.writer import transaction
from vrs_wds.writer.claim import ClaimRecord
from vrs_wds.writer.options import ShardConfig, ShardOptions
from vrs_wds.writer.staging import EntryName, Place, Staging
from vrs_wds.writer.write import write_shards

CONFIG = ShardConfig(shards=ShardOptions(max_samples=4))
FOLDER = ".train.writing"


class Failing:
    """A source that fails at one sample."""

    def __init__(self, samples: list[SourceSample], at: int = 1_000_000) -> None:
        self.samples = samples
        self.at = at

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, number: int, /) -> SourceSample:
        if number == self.at:
            raise RuntimeError("stopped")
        return self.samples[number]


def stopped(root: Path, samples: Any, at: int = 14) -> None:
    """Leave an unfinished write of three complete shards."""
    with pytest.raises(RuntimeError, match="stopped"):
        write_shards(Failing(samples, at), root, split="train", config=CONFIG)


def staged(root: Path, suffix: str) -> Path:
    """Return the second shard's file of an unfinished write."""
    (path,) = (root / FOLDER).glob(f"shard-000001-*{suffix}")
    return path


def cut(path: Path) -> None:
    """Take the end off."""
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    """Change a byte; the size stays."""
    data = bytearray(path.read_bytes())
    data[600] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("spoil", [cut, flip, Path.unlink, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_staged_shard_was_changed(
    tmp_path: Path, small_samples: Any, spoil: Callable[[Path], object], overwrite: bool
) -> None:
    """It is found before anything gets its name; an old split stays; the way out works."""
    if overwrite:  # with shards of the same names and sizes
        other = [replace(sample, image=sample.image[:-1] + b"?") for sample in small_samples]
        write_shards(other, tmp_path, split="train", config=CONFIG)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    options: dict[str, Any] = {"split": "train", "config": CONFIG, "overwrite": overwrite}
    with pytest.raises(RuntimeError, match="stopped"):
        write_shards(Failing(small_samples, 14), tmp_path, **options)
    spoil(staged(tmp_path, ".tar"))
    with pytest.raises(
        ResumeError, match=r"no longer there, or was changed.*resume=False"
    ) as error:
        write_shards(Failing(small_samples), tmp_path, **options)
    assert not getattr(error.value, "__notes__", [])  # it would say to call it again
    assert before == {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}

    write_shards(Failing(small_samples), tmp_path, **options, resume=False)
    assert verify(tmp_path, progress=False).ok


def test_the_folder_may_be_copied_in_between(tmp_path: Path, small_samples: Any) -> None:
    """Then every etag is another one, and contents are compared."""
    stopped(tmp_path / "a", small_samples)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    write_shards(Failing(small_samples), tmp_path / "b", split="train", config=CONFIG)
    assert verify(tmp_path / "b", progress=False).ok


@pytest.mark.parametrize("suffix", [".parquet", ".json"])
@pytest.mark.parametrize("spoil", [cut, lambda path: path.write_bytes(b"")])
def test_the_journal_was_changed(
    tmp_path: Path, small_samples: Any, suffix: str, spoil: Callable[[Path], object]
) -> None:
    """One error that names the file and the way out, which works."""
    stopped(tmp_path, small_samples)
    spoil(staged(tmp_path, suffix))
    with pytest.raises(ManifestError, match=rf"shard-000001.*{suffix}: .*resume=False"):
        write_shards(Failing(small_samples), tmp_path, split="train", config=CONFIG)
    write_shards(Failing(small_samples), tmp_path, split="train", config=CONFIG, resume=False)
    assert verify(tmp_path, progress=False).ok


@pytest.mark.parametrize("name", ["job.json", "commit.json"])
@pytest.mark.parametrize("data", [b"", b"{", b'{"a": 1}'])
def test_the_records_were_changed(
    tmp_path: Path, small_samples: Any, name: str, data: bytes
) -> None:
    """The same of the job and of the commit."""
    stopped(tmp_path, small_samples)
    (tmp_path / FOLDER / name).write_bytes(data)
    with pytest.raises(ManifestError, match=rf"{name}: expected a writer's .*resume=False"):
        write_shards(Failing(small_samples), tmp_path, split="train", config=CONFIG)
    write_shards(Failing(small_samples), tmp_path, split="train", config=CONFIG, resume=False)
    assert verify(tmp_path, progress=False).ok


def test_an_iterable_that_has_grown_is_refused(
    tmp_path: Path, small_samples: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of the shorter one was packed; its last shard is not full."""

    def fail(*_: object) -> None:
        raise RuntimeError("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(transaction, "write_index", fail)
        with pytest.raises(RuntimeError, match="stopped"):
            write_shards(iter(small_samples[:14]), tmp_path, split="train", config=CONFIG)
    with pytest.raises(ResumeError, match="sample 14 was another one"):
        write_shards(iter(small_samples), tmp_path, split="train", config=CONFIG)
    write_shards(iter(small_samples[:14]), tmp_path, split="train", config=CONFIG)
    assert len(open_dataset(tmp_path)) == 14


def test_what_a_dead_writer_still_writes_does_not_count(tmp_path: Path, small_samples: Any) -> None:
    """Its upload was on the way for long; by then another one writes something else."""
    stopped(tmp_path / "late", small_samples[::-1])
    # A token that comes first: were it to count, its shards would be taken.
    late = {
        re.sub(r"\.[0-9a-f]{16}\.", ".0000000000000000.", path.name): (
            re.sub(rb"\.[0-9a-f]{16}\.", b".0000000000000000.", path.read_bytes())
            if path.suffix == ".json"
            else path.read_bytes()
        )
        for path in (tmp_path / "late" / FOLDER).iterdir()
    }

    class Source(Failing):
        def __getitem__(self, number: int, /) -> SourceSample:
            if number == 10:
                for name, data in late.items():
                    if name.startswith("shard-"):
                        (tmp_path / "out" / FOLDER / name).write_bytes(data)
            return super().__getitem__(number)

    write_shards(Source(small_samples), tmp_path / "out", split="train", config=CONFIG)
    assert verify(tmp_path / "out", progress=False).ok
    assert open_dataset(tmp_path / "out")[1]["png"] == small_samples[1].image
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("suffix", [".parquet", ".json"])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_bit_of_the_journal_was_flipped(
    tmp_path: Path, small_samples: Any, suffix: str, share: float
) -> None:
    """Wherever it is: what the journal says becomes index and manifest."""
    stopped(tmp_path, small_samples)
    path = staged(tmp_path, suffix)
    data = bytearray(path.read_bytes())
    data[int(share * len(data))] ^= 1
    path.write_bytes(data)
    with pytest.raises(ManifestError, match=rf"shard-000001.*{suffix}: .*resume=False"):
        write_shards(Failing(small_samples), tmp_path, split="train", config=CONFIG)


@pytest.mark.parametrize("moment", ["commit.json", "index", "rename", "README"])
def test_a_writer_thought_dead_does_not_commit(
    tmp_path: Path, small_samples: Any, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """While it hangs, another one takes over and publishes; that one's split stays whole."""
    write_shards(small_samples[:3], tmp_path, split="train", config=CONFIG)
    others = small_samples[5:9]
    put, writer, rename = LocalStore.put, LocalStore.open_writer, LocalStore.rename

    def take_over(name: str, now: str = moment) -> None:
        if not name.startswith(f"{FOLDER}/{now}"):
            return
        with monkeypatch.context() as patch:
            patch.setattr(LocalStore, "put", put)
            patch.setattr(LocalStore, "open_writer", writer)
            patch.setattr(LocalStore, "rename", rename)
            patch.setattr(claims, "runs_here", lambda _: False)
            write_shards(others, tmp_path, split="train", overwrite=True, resume=False)

    def hanging_put(self: LocalStore, name: str, data: bytes) -> None:
        take_over(name)
        put(self, name, data)

    def hanging_writer(self: LocalStore, name: str) -> Any:
        take_over(name)
        return writer(self, name)

    def hanging_rename(self: LocalStore, name: str, new_name: str) -> None:
        if moment == "rename":  # of the index: the claim has been looked at
            take_over(name, "index")
        rename(self, name, new_name)

    monkeypatch.setattr(LocalStore, "put", hanging_put)
    monkeypatch.setattr(LocalStore, "open_writer", hanging_writer)
    monkeypatch.setattr(LocalStore, "rename", hanging_rename)
    with pytest.raises((SplitBusyError, DatasetExistsError, ResumeError)):
        write_shards(small_samples, tmp_path, split="train", config=CONFIG, overwrite=True)
    assert verify(tmp_path, progress=False).ok
    assert len(open_dataset(tmp_path)) == 4


def test_a_claim_that_its_process_could_not_remove(tmp_path: Path, small_samples: Any) -> None:
    """The same process may write again: it knows that it does not write now."""
    store = LocalStore(tmp_path)
    record = ClaimRecord(
        token="aa",
        host="here",
        machine=claims._machine(),
        pid=claims.os.getpid(),
        started=claims._started(claims.os.getpid()),
    )
    store.put(Staging("train").claim(1), msgspec.json.encode(record))
    write_shards(small_samples, tmp_path, split="train")
    assert verify(tmp_path, progress=False).ok


def test_something_else_has_the_claims_name(tmp_path: Path, small_samples: Any) -> None:
    """It ends, and says so."""
    (tmp_path / ".train.claims").write_text("x")
    with pytest.raises(StorageError, match="cannot be claimed"):
        write_shards(small_samples, tmp_path, split="train")


def test_a_store_that_does_not_allow_to_sweep(
    tmp_path: Path, small_samples: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes all the same, and leaves no claim."""

    def refuse(self: LocalStore, prefix: str) -> int:
        raise StorageError("not allowed")

    monkeypatch.setattr(LocalStore, "sweep", refuse)
    write_shards(small_samples, tmp_path, split="train")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_manifest_of_somebody_else_is_left_alone(tmp_path: Path, small_samples: Any) -> None:
    """Such as COCO's train.json, also when a split may be replaced."""
    (tmp_path / "train.json").write_text('{"images": []}')
    with pytest.raises(ManifestError, match=r"train\.json: .*not replaced: move it away"):
        write_shards(small_samples, tmp_path, split="train", overwrite=True)
    assert (tmp_path / "train.json").read_text() == '{"images": []}'


def test_an_error_class_of_somebodys_own(tmp_path: Path, small_samples: Any) -> None:
    """It may take other arguments; the message goes through."""

    class TooDark(SampleError):
        def __init__(self, name: str, level: int) -> None:
            super().__init__(f"{name} is too dark: {level}")

    def samples() -> Iterator[SourceSample]:
        yield small_samples[0]
        raise TooDark("b", 3)

    with pytest.raises(SampleError, match=r"train-000000\.tar: b is too dark: 3"):
        write_shards(samples(), tmp_path, split="train")


def test_names_of_entries_can_be_read_back() -> None:
    """And other names are none."""
    staging = Staging("train")
    for is_end in (False, True):
        name = EntryName(Place(1_234_567, 3), "0af9", is_end)
        assert staging.read_entry(staging.entry(name)) == name
    for other in (staging.job, staging.shard(Place(0, 0), "ab"), f"{staging.folder}shard-1.json"):
        assert staging.read_entry(other) is None


def test_two_writers_stage_index_and_card_under_two_names() -> None:
    """One that was held up must not give another's index its name."""
    staging = Staging("train")
    names = {
        name for token in ("0af9", "1b") for name in (staging.index(token), staging.card(token))
    }
    assert len(names) == 4
    assert all(map(staging.is_of_commit, names))
    assert not staging.is_of_commit(staging.job)
