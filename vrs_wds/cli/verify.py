"""`vrs-wds verify`."""

from typing import Annotated

from cyclopts import Parameter


def verify(
    url: str,
    *,
    split: str | None = None,
    decode: Annotated[bool, Parameter(negative="")] = False,
    progress: bool | None = None,
) -> int:
    """Read a dataset in full; report what differs from manifest, index and schemas.

    The exit code is 1 if anything does.

    Args:
        url: Folder of the dataset.
        split: Only this split.
        decode: Decode every image too.
        progress: Show a progress bar; by default on a terminal.
    """
    from vrs_wds.cli._print import err, out
    from vrs_wds.cli._splits import open_splits
    from vrs_wds.reader.verify import verify as verify_split

    sound = True
    for dataset in open_splits(url, split):
        report = verify_split(url, dataset.split, decode=decode, progress=progress)
        for problem in report.problems:
            err(str(problem))
        out(str(report))
        sound = sound and report.ok
    return 0 if sound else 1
