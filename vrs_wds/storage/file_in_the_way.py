"""`file_in_the_way`: finds the file where a store's folder should be."""

import os
from pathlib import Path

from vrs_wds.storage.local import LocalStore
from vrs_wds.storage.store import Store


def file_in_the_way(store: Store) -> Path | None:
    """Return what is where the folder, or one that it is in, should be, and is no folder.

    None if there is a folder, or room for one; and of any store that is not on a disk: there a file
    and a folder may have one name.
    """
    if not isinstance(store, LocalStore):
        return None
    for path in (store.root, *store.root.parents):
        if os.path.lexists(path):  # also a link that leads nowhere: no folder can be made there
            return None if path.is_dir() else path
    return None
