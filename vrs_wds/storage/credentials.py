"""Where keys come from: the environment, AWS profiles. The one file of storage that looks there.

Nothing here is kept, shown or pickled: each process looks for itself.
"""

import configparser
import hashlib
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vrs_wds.errors import ConfigError

_PREFIXES = {"s3": ("AWS_",), "gs": ("GOOGLE_",), "az": ("AZURE_",), "http": ()}
_SECRET_WORDS = ("KEY", "SECRET", "TOKEN", "SAS", "PASSWORD")
_S3_SOURCES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
)
"""Variables by which the client finds keys without a profile, which they go before."""
_BOTO3_KEYS = ("role_arn", "sso_session", "sso_start_url", "credential_process")
"""Settings of profiles whose keys only boto3 can fetch."""
_S3_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")


@dataclass(frozen=True, slots=True)
class Found:
    """What a profile gives a client."""

    config: dict[str, Any] = field(default_factory=dict, repr=False)
    provider: Any = field(default=None, repr=False)
    """Gives keys that expire; None if `config` has them, or the client looks for itself."""


def fingerprint(kind: str) -> str:
    """Return a hash of the environment that a client of a kind would see."""
    seen = sorted(
        (name, value) for name, value in os.environ.items() if name.startswith(_PREFIXES[kind])
    )
    return hashlib.sha256(repr((seen, os.environ.get("HOME"))).encode()).hexdigest()


def environment_secrets() -> Iterator[str]:
    """Yield the values of variables that a message must not hold."""
    prefixes = tuple(prefix for group in _PREFIXES.values() for prefix in group)
    for name, value in os.environ.items():
        if name.startswith(prefixes) and any(word in name for word in _SECRET_WORDS):
            yield value


def endpoint_in_environment(kind: str) -> str | None:
    """Return the endpoint that the environment names, if any."""
    names = {"s3": _S3_ENDPOINTS, "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")}.get(kind, ())
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def allows_http() -> bool:
    """Tell whether the environment allows plain http anywhere."""
    return os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true", "yes", "on")


def find_profile(profile: str | None, *, has_keys: bool) -> Found:
    """Return what an AWS profile gives, if it is asked for or there are no other keys.

    Args:
        profile: Name given as an option; it goes before the environment.
        has_keys: Whether options hold keys, or say that none are needed.

    Raises:
        ConfigError: if there is no such profile, or it needs boto3 and that is not installed.
    """
    if has_keys or (profile is None and any(os.environ.get(name) for name in _S3_SOURCES)):
        return Found()
    name = profile or _profile_name()
    settings = _read_profile(name)
    if not settings:
        if profile is None and "AWS_PROFILE" not in os.environ:
            return Found()
        raise ConfigError(
            f"there is no AWS profile {name!r} in {_credentials_file()} or {_config_file()}."
        )
    config = {
        option: settings[key]
        for option, key in (("region", "region"), ("endpoint", "endpoint_url"))
        if key in settings and not _is_set(option)
    }
    if not settings.keys() & {"aws_access_key_id", *_BOTO3_KEYS}:
        return Found(config)
    if importlib.util.find_spec("boto3") is not None:
        return Found(config, _boto3_provider(name))
    if "aws_access_key_id" in settings and "aws_secret_access_key" in settings:
        config["access_key_id"] = settings["aws_access_key_id"]
        config["secret_access_key"] = settings["aws_secret_access_key"]
        if "aws_session_token" in settings:
            config["session_token"] = settings["aws_session_token"]
        return Found(config)
    raise ConfigError(
        f"the AWS profile {name!r} takes on a role, logs in or runs a program: that needs boto3. "
        "Install it with `pip install 'vrs_wds[s3]'`."
    )


def boto3_session(profile: str | None) -> Any:  # noqa: ANN401 - boto3 ships no types
    """Return a boto3 session that finds keys as a store with this option does."""
    import boto3

    return boto3.Session(profile_name=profile)


def places_tried(kind: str, profile: str | None) -> str:
    """Say where keys were looked for, and what to do."""
    if kind == "s3":
        name = profile or _profile_name()
        state = "found" if _read_profile(name) else "not there"
        return (
            "Looked at the options, AWS_ACCESS_KEY_ID and its like in the environment "
            f"({'set' if os.environ.get('AWS_ACCESS_KEY_ID') else 'not set'}), the profile "
            f"{name!r} of {_credentials_file()} and {_config_file()} ({state}), and the machine's "
            "role. Set one of them; for a public bucket pass skip_signature=True"
        )
    if kind == "gs":
        return (
            "Looked at the options, GOOGLE_APPLICATION_CREDENTIALS, GOOGLE_SERVICE_ACCOUNT, the "
            "login of gcloud (`gcloud auth application-default login`), and the machine's role. "
            "Set one of them; for a public bucket pass skip_signature=True"
        )
    if kind == "az":
        return (
            "Looked at the options, AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY and "
            "their like in the environment, and the machine's identity. Set one of them; with the "
            "Azure CLI pass use_azure_cli=True, for a public container skip_signature=True"
        )
    if kind == "http":
        return "Give the server's credentials as client_options={'default_headers': {...}}"
    return "Credentials are options of the filesystem"


def _is_set(option: str) -> bool:
    names = {"region": ("AWS_REGION", "AWS_DEFAULT_REGION"), "endpoint": _S3_ENDPOINTS}[option]
    return any(os.environ.get(name) for name in names)


def _profile_name() -> str:
    return os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE") or "default"


def _credentials_file() -> Path:
    return Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"))


def _config_file() -> Path:
    return Path(os.environ.get("AWS_CONFIG_FILE", "~/.aws/config"))


def _read_profile(name: str) -> dict[str, str]:
    settings: dict[str, str] = {}
    section = name if name == "default" else f"profile {name}"
    for path, title in ((_config_file(), section), (_credentials_file(), name)):
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read(path.expanduser(), encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError, OSError):
            raise ConfigError(f"{path}: is not a file of AWS profiles.") from None
        if parser.has_section(title):
            settings.update(parser.items(title))
    return settings


def _boto3_provider(name: str) -> Any:  # noqa: ANN401 - a callable of obstore's
    from obstore.auth.boto3 import Boto3CredentialProvider

    session = boto3_session(name)
    return Boto3CredentialProvider(session) if session.get_credentials() is not None else None
