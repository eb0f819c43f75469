"""Map-style access to decoded samples, for `torch.utils.data.DataLoader` and its samplers."""

from typing import Any

from torch.utils.data import Dataset

from vrs_wds.errors import ConfigError
from vrs_wds.loader.executor import run_stages
from vrs_wds.pipeline.decode import Decode
from vrs_wds.pipeline.stage import SampleDict, SampleStage
from vrs_wds.reader.dataset import ShardedDataset


class MapDataset(Dataset[SampleDict]):
    """A dataset whose items are what sample stages make of a sample; `Decode()` by default.

    Use `collate_fn=vrs_wds.collate` in a `DataLoader`: targets have different lengths.
    """

    def __init__(self, dataset: ShardedDataset, *stages: SampleStage) -> None:
        if not isinstance(dataset, ShardedDataset):
            raise ConfigError(
                f"dataset: expected what vrs_wds.open_dataset(...) gives, got {dataset!r}."
            )
        self.dataset = dataset
        self.stages = stages or (Decode(),)
        for stage in self.stages:
            if not (isinstance(stage, SampleStage) and stage.one_to_one):
                raise ConfigError(
                    f"expected stages that give one sample for one, such as Decode, got {stage!r}."
                )

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, place: Any) -> SampleDict:  # noqa: ANN401 - a place or a key
        """Return the decoded sample at a place, or of a key."""
        return run_stages(self.stages, self.dataset[place].to_dict())[0]

    def __repr__(self) -> str:
        return "\n".join(["MapDataset", *(f"  {part!r}" for part in (self.dataset, *self.stages))])
