"""`open_store`: the one door to all stores."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from vrs_wds.errors import ConfigError
from vrs_wds.storage.address import is_object_store
from vrs_wds.storage.local import LocalStore
from vrs_wds.storage.memory import MemoryStore
from vrs_wds.storage.store import Location, Store


def open_store(
    url: Location,
    *,
    filesystem: Any = None,  # noqa: ANN401 - fsspec ships no types
    **storage_options: Any,  # noqa: ANN401 - the client's
) -> Store:
    """Open the store at a path or a URL; a store is given back. Nothing is read, made or sent.

    | URL | what it is |
    | --- | --- |
    | a path, `file://` | a folder |
    | `memory://` | this process's memory |
    | `s3://`, `gs://`, `az://`, `abfs://` | a folder of a bucket |
    | `http://`, `https://` | a folder of a web server, to read |
    | any other | what fsspec opens |

    Args:
        url: The folder; a name in it is a file's.
        filesystem: An fsspec filesystem; then `url` is a path in it.
        storage_options: Of a bucket: those of obstore, such as `region`, `endpoint`,
            `access_key_id`, `skip_signature`; `profile`, an AWS profile; `client_options`, as
            obstore takes them. Of fsspec: those of the filesystem. Of all that are remote:
            `range_bytes`, `max_inflight_bytes`, `stall_seconds`, `retries`, `retry_seconds`.
            docs/reference/storage.md describes them.

    With `cache_dir`, a folder on a local disk, and `cache_bytes`, such as "100 GiB", what is read
    is kept there for all processes of the node; see docs/how-to/cache.md.

    Raises:
        ConfigError: if nobody knows the scheme, or options do not fit it.
    """
    if "cache_dir" in storage_options or "cache_bytes" in storage_options:
        from vrs_wds.storage.cached import add_cache  # its locks are those of POSIX

        cache_dir = storage_options.pop("cache_dir", None)
        cache_bytes = storage_options.pop("cache_bytes", None)
        return add_cache(open_store(url, **storage_options), cache_dir, cache_bytes)
    if filesystem is None:
        _refuse_what_is_none(url)
    if not isinstance(url, str | Path):
        _refuse_options(url.url, "an open store", storage_options, filesystem)
        return url
    if filesystem is not None:
        from vrs_wds.storage.fsspec_store import wrap_filesystem

        return wrap_filesystem(filesystem, str(url), storage_options)
    text = str(url)
    scheme = text.partition("://")[0] if isinstance(url, str) and "://" in text else ""
    if len(scheme) <= 1:  # a single letter is a Windows drive
        _refuse_options(text, "a folder", storage_options)
        return LocalStore(Path(url))
    parsed = urlparse(text)
    if parsed.scheme == "file" and parsed.netloc in ("", "localhost"):
        _refuse_options(text, "a folder", storage_options)
        return LocalStore(Path(unquote(parsed.path)))
    if scheme == "memory":
        _refuse_options(text, "memory", storage_options)
        return MemoryStore(text.partition("://")[2])
    if is_object_store(scheme):
        from vrs_wds.storage.object_store import ObjectStore

        return ObjectStore(text, **storage_options)
    from vrs_wds.storage.fsspec_store import open_fsspec_url

    return open_fsspec_url(text, storage_options)


def _refuse_what_is_none(url: object) -> None:
    """Raise for what is neither a path, nor a URL, nor a store."""
    if not isinstance(url, str | Path):
        if not isinstance(getattr(url, "url", None), str):
            raise ConfigError(
                f"expected a path, a URL or a store, got a {type(url).__name__}. An fsspec "
                "filesystem becomes a store by open_store(path, filesystem=...)."
            )
    elif re.match(r"[A-Za-z][\w+.-]+:/(?!/)", str(url)):
        # A path has one slash where its URL had two; it would be a folder here, named `s3:`.
        raise ConfigError(f"{url}: is no URL. Give a text, not a Path, with two slashes: s3://...")
    elif not str(url):
        raise ConfigError("expected a path or a URL, got an empty text. `.` is this folder.")


def _refuse_options(
    url: str,
    what: str,
    options: Mapping[str, object],
    filesystem: object = None,
) -> None:
    names = [*options, *(["filesystem"] if filesystem is not None else [])]
    if names:
        raise ConfigError(f"{url}: {what} takes no options, got {', '.join(sorted(names))}.")
