"""Names of the files of a dataset."""

import re

from vrs_wds.errors import ConfigError

SHARD_NAME = "{split}-{number:06d}.tar"
"""Default pattern of shard names."""

_SPLIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-]*")
_MAX_SPLIT = 100
"""Letters of a split's name: most file systems allow 255 in the names that are made of it."""


def check_split(split: str) -> str:
    """Return `split` if files can be named after it.

    Raises:
        ConfigError: if not.
    """
    if not isinstance(split, str) or not _SPLIT.fullmatch(split):
        raise ConfigError(
            f"split {split!r}: expected letters, digits, '_' and '-', such as 'train' or 'val'."
        )
    if len(split) > _MAX_SPLIT:
        raise ConfigError(
            f"split {split[:20]!r}...: expected at most {_MAX_SPLIT} letters, got {len(split)}."
        )
    return split


def shard_name(pattern: str, split: str, number: int) -> str:
    """Return a shard's name.

    >>> shard_name(SHARD_NAME, "train", 7)
    'train-000007.tar'
    """
    return pattern.format(split=split, number=number)


def check_shard_pattern(pattern: str) -> str:
    """Return `pattern` if it names shards apart, in order, in the dataset's own folder.

    Raises:
        ConfigError: if not.
    """
    try:
        names = [shard_name(pattern, "train", n) for n in (0, 1, 2, 9, 10, 11, 99, 100, 1000)]
        first = names[0]
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"shards.name: expected a pattern such as {SHARD_NAME!r}, got {pattern!r} ({error})."
        ) from error
    if (
        len(set(names)) < len(names)
        or set(first) & set("/\\\0\r\n")
        or not first.endswith(".tar")
        or not first.startswith("train-")
    ):
        raise ConfigError(
            f"shards.name: expected a pattern that begins with '{{split}}-', has '{{number}}', "
            f"ends with '.tar' and has no slash, got {pattern!r}."
        )
    return pattern


def manifest_name(split: str) -> str:
    """Return the name of a split's manifest."""
    return f"{split}.json"


def index_name(split: str) -> str:
    """Return the name of a split's index."""
    return f"{split}.index.parquet"


CARD_NAME = "README.md"
