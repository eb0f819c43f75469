"""Loops under two ranks: our loader; PyTorch's over a stream with workers, and with a sampler."""

import json
import sys
from pathlib import Path

import torch.distributed as dist
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

import vrs_wds as vw


def main(root: str, out: Path) -> None:
    """Write the keys of two epochs of each."""
    dist.init_process_group("gloo")
    loader = vw.StreamingLoader(root, batch_size=4, size=(8, 8), shuffle=True, num_streams=4)
    stream = vw.stream(root, shuffle=True, num_streams=4).compose(vw.Decode(size=(8, 8)))
    streamed = DataLoader(
        stream,
        batch_size=4,
        collate_fn=vw.collate,
        num_workers=2,
        persistent_workers=True,
    )
    items = vw.MapDataset(vw.open_dataset(root), vw.Decode(size=(8, 8)))
    sampler = DistributedSampler(items, seed=1)
    sampled = DataLoader(items, batch_size=4, sampler=sampler, collate_fn=vw.collate)

    with (out / f"{dist.get_rank()}.jsonl").open("w") as log:
        for epoch in range(2):
            stream.set_epoch(epoch)
            sampler.set_epoch(epoch)
            line = {
                name: [key for batch in batches for key in batch["__key__"]]
                for name, batches in (("stream", streamed), ("map", sampled))
            }
            line["loader"] = [
                [key for key, real in zip(batch["__key__"], batch["mask"], strict=True) if real]
                for batch in loader
            ]
            log.write(json.dumps(line) + "\n")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
