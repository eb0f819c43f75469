"""Accelerate: `prepare` leaves the loader alone; its checkpoints hold the loader's place."""

import gc
import json
import sys
import zlib
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration
from torch.utils.data import DataLoader

import vrs_wds as vw


def make_loader(root: str) -> vw.StreamingLoader:
    """Return one rank's loader; made after the `Accelerator`, which starts the process group."""
    return vw.StreamingLoader(root, batch_size=4, size=(8, 8), shuffle=True, num_streams=4)


def main(root: str, out: Path) -> None:
    """Train two epochs, save in the second, and resume from there."""
    accelerator = Accelerator(cpu=True)
    model = torch.nn.Linear(3 * 8 * 8, 1)
    loader = make_loader(root)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    model, optimizer, prepared = accelerator.prepare(model, optimizer, loader)
    accelerator.register_for_checkpointing(loader)

    def train(model, optimizer, batches) -> list[list[str]]:
        given = []
        for batch in batches:
            loss = model(batch["image"].to(accelerator.device).flatten(1) / 255).mean()
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
            given.append([k for k, r in zip(batch["__key__"], batch["mask"], strict=True) if r])
        return given

    line = {"left_alone": prepared is loader, "first": train(model, optimizer, loader)}
    second = iter(loader)
    line["second"] = train(model, optimizer, [next(second)])
    accelerator.save_state(str(out / "state"))
    rest = train(model, optimizer, second)
    accelerator.load_state(str(out / "state"))
    line["rest"], line["resumed"] = rest, train(model, optimizer, loader)

    # A DataLoader that Accelerate is to share out must give everything to every rank.
    for dispatch in (False, True):
        accelerator.dataloader_config = DataLoaderConfiguration(dispatch_batches=dispatch)
        numbered = vw.stream(root, world=vw.World()).compose(vw.Map(number_of))
        line[f"dispatch {dispatch}"] = [
            number.item() for batch in accelerator.prepare(DataLoader(numbered)) for number in batch
        ]
    items = vw.MapDataset(vw.open_dataset(root), vw.Map(number_of))
    line["map"] = [
        number.item() for batch in accelerator.prepare(DataLoader(items)) for number in batch
    ]
    (out / f"{accelerator.process_index}.jsonl").write_text(json.dumps(line))
    # Some runs abort if the model outlives the process group.
    accelerator.free_memory()
    del model, optimizer
    gc.collect()
    accelerator.end_training()


def number_of(sample: dict[str, object]) -> torch.Tensor:
    """Return a number made of a sample's key."""
    return torch.tensor(zlib.crc32(str(sample["__key__"]).encode()))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
