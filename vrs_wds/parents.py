"""Worker processes and the process that they work for."""

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """Let this worker process end when the process that started it does, however that came.

    Who is killed (kill -9, out of memory) tells nobody. A watch on the parent's number would not
    do: workers are forked from a server, which lives as long as they do.
    """
    threading.Thread(target=_wait_and_end, name="vrs_wds parent", daemon=True).start()


def _wait_and_end() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()  # waits for the end of a pipe that the parent alone holds
        os._exit(1)
