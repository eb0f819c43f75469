"""`open_folder`: the store that a split is written to."""

from vrs_wds.errors import ConfigError
from vrs_wds.storage.file_in_the_way import file_in_the_way
from vrs_wds.storage.open import open_store
from vrs_wds.storage.store import Location, Store


def open_folder(location: Location) -> Store:
    """Open the store of a folder that is there, or can be made.

    Raises:
        ConfigError: if a file has the folder's name, or that of one that it is in.
    """
    store = open_store(location)
    if (path := file_in_the_way(store)) is not None:
        raise ConfigError(
            f"{store.url}: expected a folder, or room for a new one, but {path} is a file. Give "
            "the folder that holds the shards, or is to hold them."
        )
    return store
