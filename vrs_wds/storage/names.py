"""Names of files below a store's prefix. Pure."""

from collections.abc import Iterable


def is_hidden(name: str) -> bool:
    """Tell whether a component of a name begins with a dot.

    >>> is_hidden("train.json"), is_hidden(".train.writing/000000-000.tar")
    (False, True)
    """
    return any(part.startswith(".") for part in name.split("/"))


def join_name(prefix: str, name: str) -> str:
    """Return the full name of a file below a prefix.

    >>> join_name("a/b", "c"), join_name("", "c")
    ('a/b/c', 'c')
    """
    return f"{prefix}/{name}" if prefix else name


def select_names(paths: Iterable[str], root: str, prefix: str, *, hidden: bool) -> list[str]:
    """Return what lies below `root` and starts with `prefix` there, relative to it, sorted.

    >>> select_names(["a/train.json", "a/.x/y", "ab/train.json"], "a", "tr", hidden=False)
    ['train.json']
    """
    start = f"{root}/" if root else ""
    names = (path[len(start) :] for path in paths if path.startswith(start))
    return sorted(
        name for name in names if name.startswith(prefix) and (hidden or not is_hidden(name))
    )
