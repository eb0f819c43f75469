"""`write_shards` to buckets: the bytes of a local disk, whatever is killed on the way."""

import random
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vrs_wds as vw
from tests.servers.azurite import Container
from tests.servers.moto import Bucket

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "x",
    "AWS_SECRET_ACCESS_KEY": "y",
    "AWS_REGION": "us-east-1",
    "BEAT": "0.5",
}


def in_bucket(bucket: Bucket) -> dict[str, bytes]:
    """Return every object of the bucket's folder, hidden ones too."""
    pages = bucket.client.get_paginator("list_objects_v2").paginate(Bucket=bucket.name)
    keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
    return {
        key.removeprefix("folder/"): bucket.client.get_object(Bucket=bucket.name, Key=key)[
            "Body"
        ].read()
        for key in keys
    }


@pytest.fixture
def environment(moto_server: Bucket) -> dict[str, str]:
    """What a process needs to reach the bucket."""
    return ENVIRONMENT | {"AWS_ENDPOINT_URL": moto_server.endpoint}


def test_killed_at_random_moments(
    moto_server: Bucket, start: Any, environment: dict[str, str], undisturbed: dict[str, bytes]
) -> None:
    """50 seeded moments; what is visible is whole, and a resume ends it without leftovers."""
    rng = random.Random(1)
    kills = 0
    for trial in range(10):
        url = f"s3://{moto_server.name}/{trial}/folder"
        for _ in range(5):  # killed again and again on its way
            kills += _run_and_kill(start, url, rng.uniform(0, 0.8), environment)
            _check_what_is_visible(_below(moto_server, trial), undisturbed)
        found = _below(moto_server, trial)
        hidden = {name.partition("/")[0] for name in found if name.startswith(".")}
        if hidden or not found:
            output, error = start(url, **environment).communicate(timeout=60)
            # With nothing left but the claim it was over: that is no unfinished write.
            is_over = hidden == {".train.claims"} and "train.json" in found
            assert output.split() == ["begin", "400"] or is_over, error
        assert _below(moto_server, trial) == undisturbed
        assert moto_server.uploads() == []
    assert kills > 25


def _below(bucket: Bucket, trial: int) -> dict[str, bytes]:
    found = in_bucket(bucket)
    prefix = f"{trial}/folder/"
    return {k.removeprefix(prefix): data for k, data in found.items() if k.startswith(prefix)}


def _run_and_kill(start: Any, url: str, seconds: float, environment: dict[str, str]) -> bool:
    """Kill the script so long after it began; False if it had ended."""
    process = start(url, **environment)
    process.stdout.readline()  # imports are over
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
    process.communicate()
    return process.returncode == -signal.SIGKILL


def _check_what_is_visible(found: dict[str, bytes], whole: dict[str, bytes]) -> None:
    """Everything with a name is whole; and with a manifest there is everything."""
    seen = {name: data for name, data in found.items() if not name.startswith(".")}
    for name, data in seen.items():
        assert data == whole[name], f"{name} is visible and not whole"
    if "train.json" in seen:
        assert seen.keys() == whole.keys()


def test_twelve_writers_at_once(
    moto_server: Bucket, start: Any, environment: dict[str, str], undisturbed: dict[str, bytes]
) -> None:
    """Exactly one writes; the others say who does, and leave nothing."""
    writers = [start(moto_server.url, **environment) for _ in range(12)]
    ended = [writer.communicate(timeout=180) for writer in writers]

    assert [writer.returncode for writer in writers].count(0) == 1
    for writer, (_, error) in zip(writers, ended, strict=True):
        if writer.returncode:
            assert error.startswith(("SplitBusyError: ", "DatasetExistsError: ")), error
    assert in_bucket(moto_server) == undisturbed
    assert moto_server.uploads() == []


def test_ranks_of_torchrun(
    moto_server: Bucket,
    start: Any,
    environment: dict[str, str],
    undisturbed: dict[str, bytes],
    tmp_path: Path,
) -> None:
    """One of four is killed; the launcher starts them again."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=4"]
    flag = tmp_path / "killed"
    process = start(
        moto_server.url, *launcher, "--max-restarts=1", **environment, DIE_AT="110", FLAG=str(flag)
    )
    _, error = process.communicate(timeout=180)
    assert flag.exists()
    assert process.returncode == 0, error
    assert in_bucket(moto_server) == undisturbed


def test_large_shards_are_sent_in_parts(
    moto_server: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception in the middle of an upload leaves no part of it, and nothing visible."""
    store = vw.open_store(moto_server.url, **moto_server.storage_options)
    image = bytes(12_000_000)
    header = (tmp_path / "x.png").read_bytes() if (tmp_path / "x.png").exists() else _png()
    samples = [vw.SourceSample(f"s{i}", header + image, "png") for i in range(3)]

    def failing() -> Any:
        yield from samples[:2]
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        vw.write_shards(failing(), store, split="train")
    assert in_bucket(moto_server) == {}
    assert moto_server.uploads() == []
    vw.write_shards(samples, store, split="train")
    vw.write_shards(samples, tmp_path, split="train")
    local = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert in_bucket(moto_server) == local


def _png() -> bytes:
    import numpy as np

    from vrs_wds.images.encode import encode_rgb

    return encode_rgb(np.zeros((8, 8, 3), np.uint8), "png")


def check_equal_to_local(
    store: vw.Store, local: Path, write: Callable[[Any], object], splits: list[str]
) -> None:
    """Write to both; every byte is the same, everything verifies and reads."""
    write(store)
    write(local)
    for path in local.iterdir():
        assert store.get(path.name) == path.read_bytes(), path.name
    assert list(store.list_names(hidden=True)) == sorted(path.name for path in local.iterdir())
    for split in splits:
        report = vw.verify(store, split, progress=False)
        assert report.ok, report
        here = vw.open_dataset(local, split)
        for there, sample in zip(vw.open_dataset(store, split), here, strict=True):
            assert (there.key, dict(there)) == (sample.key, dict(sample))


@pytest.fixture(params=["s3", "gs", "az"])
def remote(request: pytest.FixtureRequest, moto_server: Bucket) -> vw.Store:
    """A store on S3; one by the client for Google's buckets; one of Azure."""
    if request.param == "az":
        container: Container = request.getfixturevalue("azurite_server")
        return vw.open_store(container.url, **container.storage_options)
    if request.param == "s3":
        return vw.open_store(moto_server.url, **moto_server.storage_options)
    return vw.open_store(
        f"gs://{moto_server.name}/folder", base_url=moto_server.endpoint, bearer_token="x"
    )


def test_2000_samples(remote: vw.Store, tmp_path: Path, small_samples: Any) -> None:
    """Sparse sidecars, many shards."""
    from dataclasses import replace

    samples = [
        replace(small_samples[i % 23], name=f"{small_samples[i % 23].name} {i}")
        for i in range(2000)
    ]
    config = vw.ShardConfig(shards=vw.ShardOptions(max_samples=150))
    check_equal_to_local(
        remote,
        tmp_path,
        lambda out: vw.write_shards(samples, out, split="train", config=config),
        ["train"],
    )


def test_vrsbench_mini(remote: vw.Store, tmp_path: Path, shared_data: Path) -> None:
    """Real pictures, both splits."""

    def write(out: Any) -> None:
        for split in ("train", "val"):
            source = vw.VRSBenchSource(shared_data / "vrsbench_mini", split, unmatched="report")
            vw.write_shards(source, out, split=split, num_workers=2)

    check_equal_to_local(remote, tmp_path, write, ["train", "val"])


def test_uploads_of_others_go_on(moto_server: Bucket, small_samples: Any) -> None:
    """A file beside the dataset may be named as its split is."""
    client, key = moto_server.client, "folder/train.zip"
    upload = client.create_multipart_upload(Bucket=moto_server.name, Key=key)["UploadId"]
    store = vw.open_store(moto_server.url, **moto_server.storage_options)
    vw.write_shards(small_samples, store, split="train")

    left = client.list_multipart_uploads(Bucket=moto_server.name).get("Uploads", ())
    assert [(item["Key"], item["UploadId"]) for item in left] == [(key, upload)]
