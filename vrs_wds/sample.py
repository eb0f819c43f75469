"""A sample: one image with all its sidecars. Its key, and how names become keys.

A member's name in a shard is `KEY.EXTENSION`. The key is the name up to the first dot of its last
path component; the extension is everything after that dot, in lower case: `a/b.vqa.json` is the
member `vqa.json` of the sample `a/b`. Keys consist of `A-Z a-z 0-9 _ - /`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from vrs_wds.errors import KeyFormatError
from vrs_wds.markup import beside, picture, table

_KEY = re.compile(r"[A-Za-z0-9_\-]+(?:/[A-Za-z0-9_\-]+)*")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*")
"""Names that are keys as they are; nearly all."""
_ESCAPED = re.compile(rb"-x([0-9A-F]{2})")
# A byte outside the grammar; a dash that would read as an escape; a slash that would make an
# empty path component. Lookarounds see the whole name, so that only such slashes are escaped.
_TO_ESCAPE = re.compile(rb"[^A-Za-z0-9_\-/]|-(?=x[0-9A-F]{2})|(?:(?<=/)|^)/|/$")
_MEMBER = re.compile(r"((?:.*/)?[^./]+)\.([^/]+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class SourceSample:
    """What a source gives for one image: its bytes and its annotations, not yet packed."""

    name: str
    """Name in the source, without the image's extension; becomes the key. Any text."""
    image: bytes
    """The image file as it is."""
    extension: str
    """The image's extension without a dot, such as `png`; lower case in the shard."""
    annotations: Mapping[str, Any] = field(default_factory=dict)
    """Task name to sidecar: the task's Struct, or plain values that convert to it."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """More JSON values about the image, kept in `meta.json`."""
    origin: str = ""
    """Where it came from, for messages; such as `Images_train.zip: P0003_0002.png`."""

    def __repr__(self) -> str:
        # Before anything was checked: the fields may hold anything.
        size = len(self.image) if isinstance(self.image, bytes) else 0
        tasks = map(str, self.annotations) if isinstance(self.annotations, Mapping) else ()
        return (
            f"SourceSample({self.name!r}, {self.extension}: {size:,} B, "
            f"{', '.join(tasks) or 'no annotations'})"
        )


@runtime_checkable
class Source(Protocol):
    """A sequence of samples: `len(source)` and `source[number]`.

    Samples are loaded when asked for, in any order; a source that pickles is read by several
    worker processes at once. Equal numbers give equal samples.
    """

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    def __getitem__(self, number: int, /) -> SourceSample:
        """Load one sample."""
        ...


def name_to_key(name: str) -> str:
    """Map any name to a key, reversibly: `key_to_name(name_to_key(name)) == name`.

    A byte of the UTF-8 name outside the grammar becomes `-xHH` (upper case hex); so does a dash
    that would otherwise read as an escape, a slash with nothing on one side, and the first
    character of `__x__` and `__MACOSX/`, which readers pass over. Other names stay.

    >>> name_to_key("P0003_0002"), name_to_key("tile 1.5/a")
    ('P0003_0002', 'tile-x201-x2E5/a')

    Raises:
        KeyFormatError: if the name is empty, or no text.
    """
    if _PLAIN.fullmatch(name):
        return name
    if not name:
        raise KeyFormatError("A sample's name is empty; a key needs at least one character.")
    try:
        data = name.encode("utf-8", errors="surrogateescape")
    except UnicodeEncodeError as error:
        raise KeyFormatError(f"name {name!r}: expected a text that UTF-8 can hold.") from error
    key = _TO_ESCAPE.sub(lambda match: b"-x%02X" % match[0][0], data).decode("ascii")
    # Readers pass over members whose names have these forms.
    folder, slash, base = key.rpartition("/")
    if base.startswith("__") and base.endswith("__"):
        key = f"{folder}{slash}-x5F{base[1:]}"
    return f"-x5F{key[1:]}" if key.startswith("__MACOSX/") else key


def key_to_name(key: str) -> str:
    """Undo `name_to_key`.

    >>> key_to_name("tile-x201-x2E5/a")
    'tile 1.5/a'
    """
    data = _ESCAPED.sub(lambda match: bytes([int(match[1], 16)]), key.encode("ascii"))
    return data.decode("utf-8", errors="surrogateescape")


def check_key(key: str) -> str:
    """Return `key` if it fits the grammar.

    Raises:
        KeyFormatError: if it does not.
    """
    if _PLAIN.fullmatch(key):
        return key
    if not _KEY.fullmatch(key) or split_member_name(f"{key}.x") is None:
        raise KeyFormatError(
            f"key {key!r}: expected path components of A-Z, a-z, 0-9, '_' and '-' with single "
            "slashes between them. Map names with vrs_wds.name_to_key."
        )
    return key


def split_member_name(name: str) -> tuple[str, str] | None:
    """Split a member's name into key and extension; None if it names no sample's member.

    Names without an extension, hidden ones (`.x`, `._x`), those below `__MACOSX/` and those whose
    last component starts with two underscores and a dunder key (`__schema__.json`) are not members.

    >>> split_member_name("a/b.VQA.json"), split_member_name("__schema__.json")
    (('a/b', 'vqa.json'), None)
    """
    name = name.removeprefix("./")
    match = _MEMBER.fullmatch(name)
    if match is None or name.startswith("__MACOSX/"):
        return None
    key, extension = match.groups()
    base = key.rpartition("/")[2]
    if (base.startswith("__") and base.endswith("__")) or extension.startswith("__"):
        return None
    return key, extension.lower()


@dataclass(frozen=True, slots=True)
class Sample(Mapping[str, bytes]):
    """A key and its members, as bytes. A mapping from extension to bytes, in member order."""

    key: str
    members: Mapping[str, bytes]
    url: str = ""
    """The shard that it came from."""

    def __getitem__(self, extension: str) -> bytes:
        """Return a member's bytes."""
        if extension not in self.members:
            raise KeyError(
                f"sample {self.key!r} has no member {extension!r}, but {', '.join(self.members)}"
            )
        return self.members[extension]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the extensions."""
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)

    def __contains__(self, extension: object) -> bool:
        return extension in self.members

    def to_dict(self) -> dict[str, Any]:
        """Return the sample as webdataset gives it: `__key__`, `__url__` and the members."""
        return {"__key__": self.key, "__url__": self.url, **self.members}

    def __repr__(self) -> str:
        members = ", ".join(f"{name}: {len(data):,} B" for name, data in self.members.items())
        return f"Sample({self.key!r}, {members})"

    def _repr_html_(self) -> str:
        rows = [(name, f"{len(data):,} B") for name, data in self.members.items()]
        pictures = [picture(data, name, self.key) for name, data in self.members.items()]
        return beside("".join(pictures), table(f"Sample {self.key}", rows))
