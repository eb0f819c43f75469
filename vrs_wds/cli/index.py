"""`vrs-wds index`."""

from typing import Annotated

from cyclopts import Parameter


def index(
    url: str,
    *,
    split: str,
    prefix: str | None = None,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    progress: bool | None = None,
) -> None:
    """Give tars made by anybody an index, a manifest and a card; the tars stay as they are.

    Args:
        url: Folder with the tars.
        split: Name of the split that they make.
        prefix: Beginning of the tars' names; by default "SPLIT-" and a digit, or all tars if none
            begins so.
        overwrite: Make a manifest and an index anew.
        progress: Show a progress bar; by default on a terminal.
    """
    from vrs_wds.cli._last_step import LAST_STEP
    from vrs_wds.cli._print import out
    from vrs_wds.writer.index_shards import index_until

    report = index_until(
        LAST_STEP, url, split=split, prefix=prefix, overwrite=overwrite, progress=progress
    )
    out(str(report))
