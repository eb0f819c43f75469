"""`open_store`: the one door to all stores."""

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from vrs_wds.errors import ConfigError
from vrs_wds.storage.local import LocalStore
from vrs_wds.storage.store import Location, Store


def open_store(url: Location, **storage_options: Any) -> Store:  # noqa: ANN401 - any
    """Open the store at a path or a `file://` URL; a store is given back. Nothing is read or made.

    With `cache_dir`, a folder on a local disk, and `cache_bytes`, such as "100 GiB", what is read
    is kept there for all processes of the node; see docs/how-to/cache.md.

    Raises:
        ConfigError: if the scheme is unknown, or options do not fit it.
    """
    if "cache_dir" in storage_options or "cache_bytes" in storage_options:
        from vrs_wds.storage.cached import add_cache  # its locks are those of POSIX

        cache_dir = storage_options.pop("cache_dir", None)
        cache_bytes = storage_options.pop("cache_bytes", None)
        return add_cache(open_store(url, **storage_options), cache_dir, cache_bytes)
    if not isinstance(url, str | Path):
        return url
    if isinstance(url, Path):
        return LocalStore(url)
    parsed = urlparse(url)
    if parsed.scheme == "file" and parsed.netloc in ("", "localhost"):
        return LocalStore(Path(unquote(parsed.path)))
    # A single letter is a Windows drive.
    if len(parsed.scheme) <= 1 or "://" not in url:
        return LocalStore(Path(url))
    raise ConfigError(
        f"{url}: expected a path or a file:// URL; this version stores on local disks."
    )
