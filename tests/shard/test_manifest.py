"""The manifest."""

import json
from pathlib import Path

import pytest

from vrs_wds.errors import ManifestError
from vrs_wds.shard.manifest import decode_manifest, encode_manifest


@pytest.fixture
def data(small_root: Path) -> bytes:
    """A manifest's bytes."""
    return (small_root / "train.json").read_bytes()


def test_it_reads_back(data: bytes) -> None:
    """Encoding what was decoded gives the same bytes."""
    assert encode_manifest(decode_manifest(data, where="x")) == data


def test_it_has_no_clock_and_no_host(data: bytes, small_root: Path) -> None:
    """Equal input, equal bytes: nothing of the moment or the machine is in it."""
    text = data.decode()

    assert "time" not in text
    assert str(small_root) not in text


@pytest.mark.parametrize("url", ["../x.tar", "/etc/passwd", "a/b.tar", "", "..", "s3://b/x.tar"])
def test_shards_elsewhere_are_refused(data: bytes, url: str) -> None:
    """A manifest names files beside itself only."""
    manifest = json.loads(data)
    manifest["shardlist"][0]["url"] = url

    with pytest.raises(ManifestError, match="files beside the manifest"):
        decode_manifest(json.dumps(manifest).encode(), where="x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vrs_wds": None}, r"x/train\.json: expected a manifest.*vrs_wds"),
        ({"__kind__": "other"}, "expected kind 'wids-shard-index-v1'"),
        ({"shardlist": []}, "num_samples is not the sum"),
    ],
)
def test_a_damaged_manifest_is_one_clear_error(
    data: bytes, change: dict[str, object], message: str
) -> None:
    """The message says what was expected."""
    manifest = json.loads(data) | change

    with pytest.raises(ManifestError, match=message):
        decode_manifest(json.dumps(manifest).encode(), where="x/train.json")


def test_a_newer_format_is_refused(data: bytes) -> None:
    """Reading it half right would be worse."""
    manifest = json.loads(data)
    manifest["vrs_wds"]["format_version"] = 2

    with pytest.raises(ManifestError, match=r"found 'wids-shard-index-v1' and 2\. A newer vrs_wds"):
        decode_manifest(json.dumps(manifest).encode(), where="x")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"[" * 100_000, b"null"])
def test_any_other_json_is_a_manifest_error(data: bytes) -> None:
    """Deep nesting too."""
    with pytest.raises(ManifestError):
        decode_manifest(data, where="x")
