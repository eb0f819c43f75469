"""Options of writing, as `shard_config.yaml` holds them. The defaults are here and nowhere else."""

from typing import Literal

import msgspec
from msgspec.structs import force_setattr

from vrs_wds.checks import whole_number
from vrs_wds.errors import ConfigError
from vrs_wds.shard.members import DEFAULT_MAX_MEMBER_BYTES
from vrs_wds.shard.names import SHARD_NAME, check_shard_pattern
from vrs_wds.sizes import ByteSize


def _size(option: str, value: int | str) -> ByteSize:
    """Return a size that a program gives, as a number of bytes or as YAML has it."""
    try:
        size = ByteSize.parse(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ConfigError(f"{option}: {error}.") from error
    return ByteSize(whole_number(option, size, least=1))


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Part of the options; an unknown key is an error."""


class ShardOptions(_Section, frozen=True):
    """Where one shard ends and the next begins, and how they are named."""

    name: str = SHARD_NAME
    """Pattern with `{split}` and `{number}`."""
    max_samples: int = 10_000
    """Samples in a shard at most. One ends at each multiple of it in the source, too: the samples
    between are a block, which ranks and tasks pack apart from others."""
    max_bytes: ByteSize = ByteSize(256 * 1024**2)
    """Bytes of a shard's file: a number, or a text such as `"256 MiB"`. A sample that is larger has
    a shard of its own."""

    def __post_init__(self) -> None:
        check_shard_pattern(self.name)
        max_samples = whole_number("shards.max_samples", self.max_samples, least=1)
        force_setattr(self, "max_samples", max_samples)
        force_setattr(self, "max_bytes", _size("shards.max_bytes", self.max_bytes))


class ImageOptions(_Section, frozen=True):
    """What becomes of the image's bytes."""

    encode: Literal["keep", "jpeg", "webp", "png"] = "keep"
    """`keep` the file as it is, or decode it to RGB and encode it anew."""
    quality: int = 90
    """For jpeg and webp, 1 to 100."""
    max_bytes: ByteSize = ByteSize(1024**3)
    """A larger image file is an error; at most 2 GiB. A number of bytes, or a text: `"1 GiB"`."""
    max_pixels: int = 2**28
    """An image with more pixels is an error."""

    def __post_init__(self) -> None:
        force_setattr(self, "quality", whole_number("image.quality", self.quality, least=1))
        force_setattr(self, "max_bytes", _size("image.max_bytes", self.max_bytes))
        max_pixels = whole_number("image.max_pixels", self.max_pixels, least=1)
        force_setattr(self, "max_pixels", max_pixels)
        if self.quality > 100:
            raise ConfigError(f"image.quality: expected 1 to 100, got {self.quality}.")
        if self.max_bytes > DEFAULT_MAX_MEMBER_BYTES:
            raise ConfigError(
                f"image.max_bytes: expected at most {DEFAULT_MAX_MEMBER_BYTES:,} bytes, the "
                f"largest member that is read, got {int(self.max_bytes):,}."
            )


class SidecarOptions(_Section, frozen=True):
    """What becomes of annotations."""

    missing: Literal["omit", "empty"] = "omit"
    """A sample without a task has no sidecar for it, or an explicit empty one."""


class ShardConfig(_Section, frozen=True):
    """Everything that decides a dataset's bytes, besides its source."""

    tasks: str | tuple[str, ...] = "all"
    """Tasks to write, by name, or `all`; others that the source has are left out."""
    shards: ShardOptions = ShardOptions()
    image: ImageOptions = ImageOptions()
    sidecars: SidecarOptions = SidecarOptions()

    def __post_init__(self) -> None:
        for option, kind in (
            ("shards", ShardOptions),
            ("image", ImageOptions),
            ("sidecars", SidecarOptions),
        ):
            if not isinstance(getattr(self, option), kind):
                raise ConfigError(
                    f"{option}: expected vrs_wds.{kind.__name__}(...), got "
                    f"{getattr(self, option)!r}."
                )
