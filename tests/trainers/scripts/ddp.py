"""Trains a tiny model under DDP; saves a checkpoint every second step; may lose a rank."""

import gc
import json
import os
import signal
import sys
from pathlib import Path

import torch
import torch.distributed as dist

import vrs_wds as vw

GLOBAL_BATCH = 8


def main(root: str, out: Path, checkpoint: Path, killed_at: int) -> None:
    """Train to the end of the second epoch, from the checkpoint if there is one."""
    dist.init_process_group("gloo")
    rank, world_size = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(0)
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(3 * 8 * 8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    loader = vw.StreamingLoader(
        root,
        batch_size=GLOBAL_BATCH // world_size,
        size=(8, 8),
        shuffle=True,
        num_streams=4,  # of five or six samples each: enough to shuffle
        num_threads=2,
    )
    step = 0
    if checkpoint.exists():
        saved = torch.load(checkpoint)
        model.module.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        loader.load_state_dict(saved["loader"])
        step = saved["step"]

    with (out / f"{rank}.jsonl").open("w") as log:
        while loader.epoch < 2:
            epoch = loader.epoch
            for batch in loader:
                if rank == world_size - 1 and step == killed_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                loss = model(batch["image"].flatten(1) / 255).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                step += 1
                keys = [k for k, real in zip(batch["__key__"], batch["mask"], strict=True) if real]
                state = loader.state_dict()
                line = {"epoch": epoch, "step": step, "keys": keys, "state": state}
                log.write(json.dumps(line) + "\n")
                log.flush()
                if step % 2 == 0:
                    if rank == 0:
                        new = checkpoint.with_suffix(".new")
                        parts = {"model": model.module.state_dict(), "loader": state, "step": step}
                        torch.save(parts | {"optimizer": optimizer.state_dict()}, new)
                        new.replace(checkpoint)
                    dist.barrier()
        assert all(torch.isfinite(p).all() for p in model.parameters())
    # Some runs abort if the model outlives the process group.
    del model, optimizer
    gc.collect()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
