"""`shard_config.yaml` to frozen options; an error carries its YAML path."""

import re
from pathlib import Path
from typing import Any

import msgspec
import yaml

from vrs_wds.errors import ConfigError
from vrs_wds.writer.options import ByteSize, ShardConfig

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
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
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
        return msgspec.convert(values, ShardConfig, dec_hook=_convert)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, ConfigError):
            raise ConfigError(f"{where}: {error.__cause__}") from error
        raise ConfigError(_message(str(error), where)) from error


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
        message = "unknown key; every key is in the project's shard_config.yaml"
    return f"{where}: {path or 'top level'}: {message.rstrip('.')}."
