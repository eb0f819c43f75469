"""The bytes on disk are a promise: what was written once is written, and read, for ever."""

import importlib.util
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from vrs_wds.reader.open import open_dataset
from vrs_wds.reader.verify import verify
from vrs_wds.writer.options import ShardConfig, ShardOptions
from vrs_wds.writer.write import write_shards

HERE = Path(__file__).parent
GOLDEN = HERE / "dataset"


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """The golden samples, written now."""
    spec = importlib.util.spec_from_file_location("make_golden", HERE / "make_golden.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = ShardConfig(shards=ShardOptions(max_samples=2))
    write_shards(module.samples(), tmp_path, split="train", config=config)
    return tmp_path


@pytest.mark.parametrize("name", ["train-000000.tar", "train-000001.tar", "README.md"])
def test_files_are_written_byte_for_byte(written: Path, name: str) -> None:
    """Shards and card."""
    assert (written / name).read_bytes() == (GOLDEN / name).read_bytes()


def test_the_index_has_the_same_columns_and_values(written: Path) -> None:
    """Parquet's own bytes depend on the library's version; the table does not."""
    found, expected = (pq.read_table(p / "train.index.parquet") for p in (written, GOLDEN))

    assert found.schema.equals(expected.schema)
    assert found.to_pylist() == expected.to_pylist()
    assert pq.ParquetFile(written / "train.index.parquet").num_row_groups == 2


def test_the_manifest_differs_in_the_index_file_only(written: Path) -> None:
    """Whose size and checksum are Parquet's."""
    found, expected = (open_dataset(path).manifest for path in (written, GOLDEN))

    assert found.shardlist == expected.shardlist
    assert found.vrs_wds.fingerprint == expected.vrs_wds.fingerprint
    assert found.vrs_wds.tasks == expected.vrs_wds.tasks
    assert found.vrs_wds.extensions == expected.vrs_wds.extensions


def test_the_golden_dataset_is_read() -> None:
    """As the first version wrote it."""
    dataset = open_dataset(GOLDEN)

    assert verify(GOLDEN, decode=True).ok
    assert dataset.column("key") == ["P0003_0002", "folder/tile-x201-x2E5", "n" * 120]
    assert dataset.metadata(0)["detection"].objects[0].corners[1] == -0.5
    assert dataset.metadata(1)["meta"].name == "folder/tile 1.5"
    assert dataset.metadata(2)["vqa"].qa_pairs == ()
