"""The manifest: the small JSON that makes a split visible.

It is a wids index (`wids-shard-index-v1`) with one more key, `vrs_wds`, for all that wids lacks.
"""

import hashlib

import msgspec

from vrs_wds.errors import ManifestError
from vrs_wds.structs import decoder_of

FORMAT_VERSION = 1
"""Version of docs/reference/format.md that is written here."""

_KIND = "wids-shard-index-v1"


class ShardInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One shard, as wids wants it, with its SHA-256."""

    url: str
    """Relative to the manifest."""
    nsamples: int
    filesize: int
    md5sum: str = ""
    sha256: str = ""


class FileInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The index file."""

    url: str
    filesize: int
    sha256: str
    footer_sha256: str
    """Of Parquet's metadata at the end of the file: tells quickly whether it was replaced."""


class TaskInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a split holds for one task."""

    schema_version: int
    num_samples: int
    """Samples that have the task's sidecar, empty ones too."""
    count: int
    """Captions, objects, questions, ... over all samples."""


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """A run of shards in the shard list, `[start, stop)`, that give the same samples members."""

    name: str
    start: int
    stop: int


class Details(msgspec.Struct, frozen=True, kw_only=True):
    """The manifest's `vrs_wds` key."""

    format_version: int
    split: str
    num_samples: int
    fingerprint: str
    """SHA-256 over the shards' checksums and counts: equal data, equal fingerprint."""
    index: FileInfo
    extensions: tuple[str, ...]
    """Extensions of all members, sidecars first."""
    tasks: dict[str, TaskInfo]
    layers: tuple[Layer, ...]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """One split: its shards in order, and what is known of them."""

    kind: str = msgspec.field(name="__kind__", default=_KIND)
    wids_version: int = 1
    name: str
    shardlist: tuple[ShardInfo, ...]
    vrs_wds: Details

    @property
    def num_bytes(self) -> int:
        """Bytes of all shards."""
        return sum(shard.filesize for shard in self.shardlist)


def make_fingerprint(shards: tuple[ShardInfo, ...]) -> str:
    """Return the fingerprint of a list of shards: SHA-256 of lines `sha256 nsamples`."""
    lines = "".join(f"{shard.sha256} {shard.nsamples}\n" for shard in shards)
    return hashlib.sha256(lines.encode("utf-8")).hexdigest()


def encode_manifest(manifest: Manifest) -> bytes:
    """Make the manifest's bytes: indented JSON, one newline at the end."""
    data = msgspec.json.encode(manifest, order="deterministic")
    return msgspec.json.format(data, indent=1) + b"\n"


def decode_manifest(data: bytes, *, where: str) -> Manifest:
    """Parse a manifest.

    Raises:
        ManifestError: if it is malformed, of another kind, or of a newer format.
    """
    try:
        manifest = decoder_of(Manifest).decode(data)
    except (ValueError, RecursionError) as error:
        raise ManifestError(
            f"{where}: expected a manifest as `vrs-wds write` or `vrs-wds index` makes it: {error}."
        ) from error
    version = manifest.vrs_wds.format_version
    if manifest.kind != _KIND or version != FORMAT_VERSION:
        raise ManifestError(
            f"{where}: expected kind {_KIND!r} and format version {FORMAT_VERSION}, found "
            f"{manifest.kind!r} and {version}. A newer vrs_wds may read it."
        )
    for url in [shard.url for shard in manifest.shardlist] + [manifest.vrs_wds.index.url]:
        # Shards are untrusted: a manifest names files beside itself, nothing else.
        if not is_plain_name(url):
            raise ManifestError(
                f"{where}: expected files beside the manifest, found the url {url!r}."
            )
    _check_counts(manifest, where)
    return manifest


def is_plain_name(name: str) -> bool:
    """Tell whether a name is that of a file in the same folder, and nothing else.

    >>> [is_plain_name(name) for name in ("train-000000.tar", "../x", "")]
    [True, False, False]
    """
    return bool(name) and name not in (".", "..") and not set(name) & set("/\\\0\r\n")


def _check_counts(manifest: Manifest, where: str) -> None:
    """Refuse numbers that contradict each other."""
    shards, layers = manifest.shardlist, manifest.vrs_wds.layers
    if any(shard.nsamples < 0 or shard.filesize < 0 for shard in shards):
        raise ManifestError(f"{where}: expected nsamples and filesize of 0 or more.")
    if sum(shard.nsamples for shard in shards) != manifest.vrs_wds.num_samples:
        raise ManifestError(f"{where}: num_samples is not the sum of the shards' nsamples.")
    if [(layer.start, layer.stop) for layer in layers] != [(0, len(shards))]:
        raise ManifestError(
            f"{where}: expected one layer of all {len(shards)} shards, found {layers}. A newer "
            "vrs_wds may read it."
        )
