"""Map-style access, as samplers and PyTorch's own loader want it."""

import pytest
from torch.utils.data import DataLoader

from vrs_wds.errors import ConfigError
from vrs_wds.loader.map_dataset import MapDataset
from vrs_wds.pipeline.collate import collate
from vrs_wds.pipeline.decode import Decode
from vrs_wds.pipeline.select import Select
from vrs_wds.pipeline.targets import Targets
from vrs_wds.reader.dataset import ShardedDataset


def test_items_are_decoded_samples(small_dataset: ShardedDataset) -> None:
    """By place or key."""
    items = MapDataset(small_dataset, Decode(tasks=["vqa"]), Targets("vqa"))

    assert len(items) == 23
    assert items[1]["target"]["answers"] == ["1"]
    assert items["tile_0001"]["image"].shape == (16, 24, 3)
    assert "Targets" in repr(items)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_pytorchs_loader_with_a_sampler(small_dataset: ShardedDataset, num_workers: int) -> None:
    """Shuffled by PyTorch, in its own processes."""
    loader = DataLoader(
        MapDataset(small_dataset, Decode(size=(8, 8)), Targets("detection")),
        batch_size=6,
        shuffle=True,
        num_workers=num_workers,
        collate_fn=collate,
        multiprocessing_context="forkserver" if num_workers else None,
    )
    batches = list(loader)

    assert sorted(key for batch in batches for key in batch["__key__"]) == sorted(
        small_dataset.column("key")
    )
    assert batches[0]["target"]["boxes"].values.shape[1] == 4


def test_stages_that_change_the_number_are_refused(small_dataset: ShardedDataset) -> None:
    """An item is one sample."""
    with pytest.raises(ConfigError, match="one sample for one"):
        MapDataset(small_dataset, Decode(), Select(bool))
