"""Lightning starts its second process itself, with no `RANK` in the environment."""

import json
import sys
from pathlib import Path

import lightning.pytorch as lightning
import torch

import vrs_wds as vw


class Data(lightning.LightningDataModule):
    """Makes the loader in the hook, when the ranks are known."""

    def __init__(self, root: str) -> None:
        super().__init__()
        self.root = root

    def train_dataloader(self) -> vw.StreamingLoader:
        """Return this rank's loader."""
        return vw.StreamingLoader(self.root, batch_size=4, size=(8, 8), shuffle=True, num_streams=4)


class Regression(lightning.LightningModule):
    """A tiny model that keeps the keys it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(3 * 8 * 8, 1)
        self.seen: list[list[str]] = []

    def training_step(self, batch: dict, number: int) -> torch.Tensor:
        """Return any loss; remember the samples that are not repeated ones."""
        real = zip(batch["__key__"], batch["mask"], strict=True)
        self.seen.append([key for key, is_real in real if is_real])
        return self.linear(batch["image"].flatten(1) / 255).mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return a plain one."""
        return torch.optim.SGD(self.parameters(), lr=0.01)


def main(root: str, out: Path) -> None:
    """Train an epoch."""
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=2,
        strategy="ddp",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    model = Regression()
    trainer.fit(model, Data(root))
    (out / f"{trainer.global_rank}.jsonl").write_text(json.dumps(model.seen))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
