"""`vrs-wds demo`."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

_ROOT, _SHARDS = "VRSBench", "shards"
_TASKS = ("captioning", "classification", "detection", "grounding", "vqa")


def demo(*, out: Path | None = None, num_train: int = 48, num_val: int = 16) -> None:
    """Run the main job on made-up data: make, write, verify, stream each task. Offline, quick.

    Args:
        out: New folder for the data and the shards; by default a temporary one, removed at the end.
        num_train: Pictures of the train split.
        num_val: Pictures of the val split.
    """
    from vrs_wds.writer.folder import open_folder

    _check_count("--num-train", num_train)
    _check_count("--num-val", num_val)
    if out is not None:
        open_folder(out)  # a file in its place is an error before anything is made
        _check_new(out)
        _run(out, num_train, num_val)
        return
    with TemporaryDirectory(prefix="vrs-wds-demo-") as folder:
        _run(Path(folder), num_train, num_val)


def _check_count(option: str, value: int) -> None:
    from vrs_wds.errors import ConfigError

    if value < 1:
        raise ConfigError(f"{option}: expected at least 1, got {value}.")


def _check_new(folder: Path) -> None:
    """Refuse a folder that holds what would be written over: it may be the real VRSBench."""
    from vrs_wds.errors import ConfigError

    for path in (folder / _ROOT, folder / _SHARDS):
        if os.path.lexists(path):
            raise ConfigError(
                f"--out: expected a new folder, but {path} is there. Give another, or remove it."
            )


def _run(folder: Path, num_train: int, num_val: int) -> None:
    from vrs_wds.cli._print import out
    from vrs_wds.reader.verify import verify
    from vrs_wds.sources.vrsbench.source import VRSBenchSource
    from vrs_wds.testing.synthetic import make_vrsbench
    from vrs_wds.writer.write import write_shards

    root, shards = folder / _ROOT, folder / _SHARDS
    out(f"1. Make {num_train} + {num_val} pictures with annotations, laid out as VRSBench is")
    make_vrsbench(root, num_train=num_train, num_val=num_val)
    for path in sorted(root.iterdir()):
        out(f"   {path.name:<32} {path.stat().st_size:>12,} bytes")
    out("2. Write shards, from the zips as they are")
    for split in ("train", "val"):
        source = VRSBenchSource(root, split)
        out(f"   {write_shards(source, shards, split=split, progress=True)}")
    out("3. Read every byte again and compare checksums and schemas")
    for split in ("train", "val"):
        out(f"   {verify(shards, split, decode=True, progress=True)}")
    out("4. Stream batches for every task")
    for task in _TASKS:
        _stream_task(shards, task)
    out("Done. The shards are plain tars; `vrs-wds demo --out FOLDER` keeps them to look into.")


def _stream_task(shards: Path, task: str) -> None:
    from tqdm import tqdm

    from vrs_wds.cli._print import out
    from vrs_wds.loader.loader import StreamingLoader

    loader = StreamingLoader(
        shards, split="train", task=task, batch_size=8, size=(256, 256), shuffle=True
    )
    batches = list(tqdm(loader, desc=task, unit=" batches"))
    first = batches[0]
    text = str(first["target"]).replace("\n", "")
    out(f"   {task}: {len(batches)} batches, image {tuple(first['image'].shape)}")
    out(f"      target {text[:150]}{'...' if len(text) > 150 else ''}")
