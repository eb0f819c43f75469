"""Lightning: its checkpoints hold the loader's place; resumed, the rest of the epoch follows."""

from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch

import vrs_wds as vw

lightning = pytest.importorskip(
    "lightning.pytorch", reason="LIGHTNING MISSING: pip install -e '.[test]'"
)

pytestmark = [
    # Lightning 2.6 asks for torch's trees in a way that newer torch deprecates
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning"),
    # a run is resumed into its own folder
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* is not empty:UserWarning"),
]


class Regression(lightning.LightningModule):
    """A tiny model that keeps the keys it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(3 * 8 * 8, 1)
        self.seen: list[tuple[int, list[str]]] = []

    def training_step(self, batch: dict[str, Any], number: int) -> torch.Tensor:
        """Return any loss."""
        self.seen.append((self.current_epoch, batch["__key__"]))
        return self.linear(batch["image"].flatten(1) / 255).mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return a plain one."""
        return torch.optim.SGD(self.parameters(), lr=0.01)


def make_loader(root: Path, **options: Any) -> vw.StreamingLoader:
    """Return a loader of three batches an epoch."""
    return vw.StreamingLoader(
        root, batch_size=8, size=(8, 8), shuffle=True, num_streams=4, **options
    )


def fit(
    root: Path, folder: Path, resume: Path | None = None, **options: Any
) -> list[tuple[int, list[str]]]:
    """Train with a new loader, saving after every step; return what the model has seen."""
    save = lightning.callbacks.ModelCheckpoint(
        folder, "{step}", every_n_train_steps=1, save_top_k=-1, save_on_train_epoch_end=False
    )
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=1,
        callbacks=[save],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    model = Regression()
    trainer.fit(model, make_loader(root), ckpt_path=resume, weights_only=True)
    return model.seen


def test_checkpoints_hold_the_place(tmp_path: Path, uneven_root: Path, all_keys: list[str]) -> None:
    """Stopped after any step and resumed: exactly the rest, then the next epoch."""
    whole = fit(uneven_root, tmp_path / "whole", max_epochs=3)
    epochs = [sorted(chain(*(keys for epoch, keys in whole if epoch == e))) for e in range(3)]

    assert [epoch for epoch, _ in whole] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert epochs == [all_keys] * 3
    for stop in range(1, 9):
        stopped = fit(uneven_root, tmp_path / f"{stop}", max_steps=stop)
        last = tmp_path / f"{stop}" / f"step={stop}.ckpt"
        saved = torch.load(last, weights_only=True)["loops"]["fit_loop"]["state_dict"]
        assert [state["batch"] for state in saved["combined_loader"]] == [stop % 3]
        resumed = fit(uneven_root, last.parent, last, max_epochs=3)

        assert stopped + resumed == whole, f"differs when stopped after step {stop}"


def test_validation_loaders_begin_anew(tmp_path: Path, uneven_root: Path) -> None:
    """Each validation sees the whole split."""
    seen: list[str] = []

    class Validated(Regression):
        def validation_step(self, batch: dict[str, Any], number: int) -> None:
            seen.extend(batch["__key__"])

    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=2,
        num_sanity_val_steps=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    validation = vw.StreamingLoader(uneven_root, batch_size=8, size=(8, 8))
    trainer.fit(Validated(), make_loader(uneven_root), validation)

    assert len(seen) == 8 + 2 * 23


@pytest.mark.slow
def test_two_processes_of_lightnings_own_launcher(
    tmp_path: Path, uneven_root: Path, all_keys: list[str], launch: Any, read_ranks: Any
) -> None:
    """A loader made in the hook knows its rank: even steps, each sample once."""
    done = launch("lightning_ddp.py", None, uneven_root, tmp_path)
    assert done.returncode == 0, done.stdout
    (first,), (second,) = read_ranks(tmp_path, 2)

    assert len(first) == len(second) == 3
    assert sorted(chain(*first, *second)) == all_keys
