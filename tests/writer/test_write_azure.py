"""`write_shards` to Azure: the bytes of a local disk, whatever is killed on the way."""

import random
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

import vrs_wds as vw
from tests.servers.azurite import Container
from vrs_wds.writer.options import ShardConfig


@pytest.fixture
def store(azurite_server: Container) -> vw.Store:
    """A folder of an empty container."""
    return vw.open_store(azurite_server.url, **azurite_server.storage_options)


@pytest.fixture
def environment(azurite_server: Container) -> dict[str, str]:
    """What a process needs to reach the container."""
    return azurite_server.environment | {"BEAT": "0.5"}


def contents_of(store: vw.Store) -> dict[str, bytes]:
    """Return every file, hidden ones too."""
    return {name: store.get(name) for name in store.list_names(hidden=True)}


def test_whatever_reads_reads_it(
    store: vw.Store,
    small_root: Path,
    small_source: Any,
    config: ShardConfig,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Bytes, verification, samples in any order, stream, loader in threads and processes."""
    vw.write_shards(small_source, store, split="train", config=config)

    assert caplog.text == ""
    assert contents_of(store) == {path.name: path.read_bytes() for path in small_root.iterdir()}
    assert vw.verify(store, split="train").ok
    far, near = vw.open_dataset(store), vw.open_dataset(small_root)
    assert [dict(sample) for sample in far] == [dict(sample) for sample in near]
    assert list(vw.stream(store))[5]["__key__"] == near[5].key
    for num_workers in (0, 2):
        options: dict[str, Any] = {"task": "vqa", "batch_size": 4, "num_workers": num_workers}
        loaders = [vw.StreamingLoader(place, shuffle=True, **options) for place in (far, near)]
        keys = [[list(batch["__key__"]) for batch in loader] for loader in loaders]
        assert keys[0] == keys[1]
        assert sum(map(len, keys[0])) == 23


def test_killed_at_random_moments(
    azurite_server: Container,
    store: vw.Store,
    start: Any,
    environment: dict[str, str],
    undisturbed: dict[str, bytes],
) -> None:
    """Seeded ones, again and again: what is visible is whole; a resume ends without leftovers."""
    rng = random.Random(1)
    kills = 0
    for _ in range(8):
        process = start(azurite_server.url, **environment)
        process.stdout.readline()  # imports are over
        try:
            process.wait(rng.uniform(0, 0.8))
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
        seen = {name: store.get(name) for name in store.list_names()}
        assert seen.items() <= undisturbed.items()
        assert "train.json" not in seen or seen.keys() == undisturbed.keys()
    if contents_of(store) != undisturbed:
        output, error = start(azurite_server.url, **environment).communicate(timeout=60)
        assert output.split() == ["begin", "400"], error

    assert contents_of(store) == undisturbed
    assert kills > 2


def test_twelve_writers_at_once(
    azurite_server: Container,
    store: vw.Store,
    start: Any,
    environment: dict[str, str],
    undisturbed: dict[str, bytes],
) -> None:
    """Exactly one writes; the others say who does, and leave nothing."""
    writers = [start(azurite_server.url, **environment) for _ in range(12)]
    ended = [writer.communicate(timeout=180) for writer in writers]

    assert [writer.returncode for writer in writers].count(0) == 1
    for writer, (_, error) in zip(writers, ended, strict=True):
        if writer.returncode:
            assert error.startswith(("SplitBusyError: ", "DatasetExistsError: ")), error
    assert contents_of(store) == undisturbed
