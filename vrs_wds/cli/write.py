"""`vrs-wds write`."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


def write(
    *,
    source: Literal["vrsbench"],
    root: Path,
    split: str,
    out: str,
    config: Path | None = None,
    num_workers: int = 0,
    engine: Literal["local", "ray"] = "local",
    annotations: Literal["auto", "images", "records"] = "auto",
    unmatched: Literal["report", "error"] = "report",
    resume: bool = True,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    progress: bool | None = None,
) -> None:
    """Pack a dataset into shards, with index, manifest and card.

    Nothing is visible before the end; the same input gives the same bytes. When it is stopped,
    the same command goes on after the last complete shard.

    Started by torchrun or Slurm, the ranks share the work; rank 0 makes the split visible.

    Args:
        source: Layout of the dataset.
        root: Folder with the dataset, extracted or as zips.
        split: Split to write, such as train or val.
        out: Folder for the shards, or its URL: s3://bucket/folder; it may hold other splits.
        config: YAML file with options, such as shard_config.yaml.
        num_workers: Processes that load and encode; 0 does it in this one.
        engine: Pack in this process, or in tasks of a Ray cluster (extra ray).
        annotations: Files to take annotations from: one a picture, records, or whichever is there.
        unmatched: Pictures without annotations, and annotations without pictures: report or error.
        resume: Go on where an unfinished write stopped; --no-resume throws it away.
        overwrite: Replace a split that is there.
        progress: Show a progress bar; by default on a terminal.
    """
    from vrs_wds.cli._last_step import LAST_STEP
    from vrs_wds.cli._print import err
    from vrs_wds.cli._print import out as print_line
    from vrs_wds.config import load_config
    from vrs_wds.loader.detect import detect_world
    from vrs_wds.sources.vrsbench.source import VRSBenchSource
    from vrs_wds.writer.write import write_until

    assert source == "vrsbench"  # noqa: S101 - the only one there is
    options = None if config is None else load_config(config)
    samples = VRSBenchSource(root, split, annotations=annotations, unmatched=unmatched)
    report = write_until(
        LAST_STEP,
        samples,
        out,
        split=split,
        config=options,
        num_workers=num_workers,
        engine=engine,
        world=detect_world(),
        resume=resume,
        progress=progress,
        overwrite=overwrite,
    )
    if detect_world().rank == 0:
        print_line(str(report))
        err(str(samples.report))
