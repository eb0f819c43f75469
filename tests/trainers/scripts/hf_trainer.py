"""Transformers' Trainer over a StreamingLoader."""

import gc
import json
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainingArguments

import vrs_wds as vw


class SaveLoader(TrainerCallback):
    """Puts the loader's place into each checkpoint."""

    def on_save(self, args, state, control, train_dataloader, **kwargs):
        """Write it beside the Trainer's own files; it is the same on every rank."""
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            (folder / "loader.json").write_text(json.dumps(train_dataloader.state_dict()))


class StreamingTrainer(Trainer):
    """A Trainer that takes its batches from a StreamingLoader."""

    def __init__(self, *args, loader, **kwargs):
        super().__init__(*args, **kwargs)
        self.loader = loader
        self.add_callback(SaveLoader())
        # The Trainer would skip batches by reading a dataset of PyTorch's; the loader just goes on.
        self.args.ignore_data_skip = True
        if len(loader) % self.args.gradient_accumulation_steps:
            raise ValueError("gradient_accumulation_steps must divide the batches of an epoch")

    def get_train_dataloader(self):
        """Return the loader as it is: it has shared out the data already."""
        return self.loader

    def train(self, resume_from_checkpoint=None, **kwargs):
        """Train, from the folder of a checkpoint if one is given."""
        if resume_from_checkpoint is not None:
            saved = Path(resume_from_checkpoint, "loader.json").read_text()
            self.loader.load_state_dict(json.loads(saved))
        return super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)


class Regression(torch.nn.Module):
    """A tiny model."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(3 * 8 * 8, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return a number for each picture."""
        return self.linear(image.flatten(1) / 255)


class RecordingTrainer(StreamingTrainer):
    """Keeps the keys of each step, and the epochs that it was told."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Return any loss; remember the samples that are not repeated ones."""
        real = zip(inputs["__key__"], inputs["mask"], strict=True)
        self.steps.append([key for key, is_real in real if is_real])
        return model(inputs["image"]).mean()


def run(
    root: str, out: Path, *, world_size: int = 1, epochs: int = 2, resume: Path | None = None
) -> dict[str, Any]:
    """Train; return the keys of each step and what the loader was told."""
    arguments = TrainingArguments(
        output_dir=str(out),
        num_train_epochs=epochs,
        per_device_train_batch_size=8 // world_size,
        use_cpu=True,
        ddp_backend="gloo" if world_size > 1 else None,
        save_steps=1,
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    # Made after the arguments: they start the process group.
    loader = vw.StreamingLoader(
        root, batch_size=8 // world_size, size=(8, 8), shuffle=True, num_streams=4
    )
    told: list[int] = []
    set_epoch = loader.set_epoch
    loader.set_epoch = lambda epoch: (told.append(epoch), set_epoch(epoch))
    trainer = RecordingTrainer(model=Regression(), args=arguments, loader=loader)
    trainer.steps = []
    trainer.train(resume_from_checkpoint=resume)
    return {
        "steps": trainer.steps,
        "epochs_told": told,
        "global_step": trainer.state.global_step,
        "max_steps": trainer.state.max_steps,
    }


def main(root: str, out: Path) -> None:
    """Run as one of two ranks."""
    result = run(root, out / "checkpoints", world_size=2)
    rank = torch.distributed.get_rank()
    (out / f"{rank}.jsonl").write_text(json.dumps(result))
    # Some runs abort if the model outlives the process group.
    gc.collect()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
