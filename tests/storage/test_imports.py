"""Clients of clouds are imported when a bucket is opened, and not before."""

from pathlib import Path

from tests.test_public_names import modules_after

CLIENTS = {"obstore", "fsspec", "boto3", "botocore", "gcsfs"}


def test_nothing_is_imported_before_it_is_needed(small_root: Path) -> None:
    """Neither for the package and its commands, nor for a folder or memory."""
    loaded = modules_after(
        "import vrs_wds as vw, vrs_wds.cli.main, vrs_wds.storage.open\n"
        "vw.open_store('memory://x').put('a', b'')\n"
        f"vw.open_dataset({str(small_root)!r})[0]"
    )

    # pyarrow and others may bring fsspec: what counts is that it is not ours.
    assert not (CLIENTS - {"fsspec"}) & loaded
    assert "vrs_wds.storage.fsspec_store" not in loaded
    assert "vrs_wds.storage.object_store" not in loaded


def test_a_bucket_needs_one(small_root: Path) -> None:
    """So the test above can fail."""
    loaded = modules_after(
        "import vrs_wds as vw; vw.open_store('s3://bucket', skip_signature=True)"
    )

    assert "obstore" in loaded
    assert not {"fsspec", "boto3", "torch"} & loaded
