"""`shard_config.yaml` to frozen options; an error carries its YAML path."""

import re
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import yaml

from vrs_wds.errors import ConfigError
from vrs_wds.sizes import ByteSize
from vrs_wds.structs import convert
from vrs_wds.writer.options import ShardConfig

_AT = re.compile(r" - at `\$\.?([^`]*)`$")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`")


def load_config(path: str | Path) -> ShardConfig:
    """Read options from a YAML file; what it leaves out has its default.

    Raises:
        ConfigError: if a key is unknown or a value does not fit; the message begins with the
            file's name and the key's path, such as `shards.max_bytes`.
        FileNotFoundError: if there is no such file.
    """
    try:
        values = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, KeyError, RecursionError) as error:
        raise ConfigError(f"{path}: expected YAML: {error}") from error
    return parse_config({} if values is None else values, where=str(path))


def parse_config(values: Any, *, where: str = "config") -> ShardConfig:  # noqa: ANN401 - checked here
    """Make options from plain values, as YAML or JSON give them.

    >>> parse_config({"shards": {"max_bytes": "64 MiB"}}).shards.max_bytes
    ByteSize(67108864)

    Raises:
        ConfigError: as `load_config`.
    """
    try:
        return convert(values, ShardConfig, dec_hook=_convert)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, ConfigError):
            raise ConfigError(f"{where}: {error.__cause__}") from error
        raise ConfigError(_message(str(error), where)) from error


class _StrictLoader(yaml.SafeLoader):
    """Plain values only; a key given twice, or one that is no text, is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping."""
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"expected a key that is a text, got {key!r}", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def _convert(kind: type, value: object) -> object:
    if kind is ByteSize:
        return ByteSize.parse(value)
    raise NotImplementedError(kind)


def _message(message: str, where: str) -> str:
    path = ""
    if match := _AT.search(message):
        message, path = message[: match.start()], match[1]
    if match := _UNKNOWN.fullmatch(message):
        path = f"{path}.{match[1]}" if path else match[1]
        message = f"unknown key; expected one of {', '.join(_keys(path))}"
    if message.startswith("Invalid enum value"):
        message = f"expected one of {', '.join(_choices(path))}, got {message.split()[-1]}"
    return f"{where}: {path or 'top level'}: {message.rstrip('.')}."


def _keys(path: str) -> list[str]:
    """Return the keys beside the one at a path."""
    kind: Any = ShardConfig
    for name in path.split(".")[:-1]:
        kind = get_type_hints(kind)[name]
    return list(kind.__struct_fields__)


def _choices(path: str) -> list[str]:
    """Return the words that the option at a path may be."""
    kind: Any = ShardConfig
    for name in path.split("."):
        kind = get_type_hints(kind)[name]
    return [str(choice) for choice in get_args(kind)]
