"""Clients of object stores, made once for each bucket and shared by its stores."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any

from vrs_wds.errors import ConfigError
from vrs_wds.forks import reset_in_children
from vrs_wds.storage.address import Address, is_loopback_http
from vrs_wds.storage.credentials import (
    allows_http,
    endpoint_in_environment,
    find_profile,
)
from vrs_wds.storage.failures import redact
from vrs_wds.storage.fork_guard import check_not_forked, mark_used
from vrs_wds.storage.private_options import PrivateOptions, known_secrets
from vrs_wds.storage.transfer import TransferOptions

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Client

_CONNECT_SECONDS = 10
_REQUEST_SECONDS = 600
"""The most that a request may take, however steadily its bytes come."""
_PUBLIC_WORDS = (
    "account_name",
    "authority_host",
    "base_url",
    "bucket_key",
    "checksum",
    "client_id",
    "conditional",
    "container_name",
    "container_credentials",
    "copy_if_not_exists",
    "default_region",
    "disable_",
    "endpoint",
    "federated_token_file",
    "imdsv1",
    "application_credentials",
    "msi_",
    "object_id",
    "region",
    "request_payer",
    "role_",
    "s3_express",
    "server_side_encryption",
    "skip_signature",
    "sse_kms_key_id",
    "tenant_id",
    "unsigned_payload",
    "use_",
    "virtual_hosted",
    "web_identity_token_file",
)
"""Options whose names hold one of these may be shown and pickled; no other may."""
_PRIVATE_CLIENT_OPTIONS = ("default_headers", "proxy_url")
_RESERVED = ("bucket", "prefix", "config", "retry_config", "credential_provider", "client_options")


class Use(Enum):
    """What a client is for."""

    READ = "read"
    """Fails once no byte comes for `stall_seconds`; tries once. Also for what sends few bytes."""
    WRITE = "write"
    """As a whole body is sent before the first byte comes back, only the total time counts."""
    UPLOAD = "upload"
    """As WRITE; tries again by itself, since parts cannot be sent again one by one."""


@dataclass(frozen=True)
class ClientOptions:
    """What `open_store` was given for an object store; a pickle of it holds no secret."""

    transfer: TransferOptions
    profile: str | None
    public: tuple[tuple[str, Any], ...]
    private: PrivateOptions
    client: tuple[tuple[str, Any], ...]

    @classmethod
    def sort_out(cls, options: Mapping[str, Any], address: Address) -> "ClientOptions":
        """Tell ours from the client's, and those that may be shown from those that may not.

        Raises:
            ConfigError: if one of ours is wrong.
        """
        rest = dict(options)
        transfer = TransferOptions.take_from(rest)
        profile = rest.pop("profile", None)
        if profile is not None and (address.kind != "s3" or not isinstance(profile, str)):
            raise ConfigError(f"{address.url}: profile: expected the name of an AWS profile.")
        client = rest.pop("client_options", None) or {}
        if not isinstance(client, Mapping):
            raise ConfigError(f"{address.url}: client_options: expected a dict.")
        for name in _RESERVED:
            if name in rest:
                raise ConfigError(
                    f"{address.url}: {name}: is no option of a store; the bucket and the folder "
                    "are part of the URL, and retries and retry_seconds say how often to try."
                )
        private = {f"client_options.{k}": client[k] for k in _PRIVATE_CLIENT_OPTIONS if k in client}
        private |= {k: v for k, v in rest.items() if not _is_public(k)}
        return cls(
            transfer,
            profile,
            tuple(sorted((k, v) for k, v in rest.items() if _is_public(k))),
            PrivateOptions(private),
            tuple((k, v) for k, v in client.items() if k not in _PRIVATE_CLIENT_OPTIONS),
        )


class Connection:
    """The clients of one bucket."""

    def __init__(self, address: Address, options: ClientOptions) -> None:
        self._address = address
        self._options = options
        self.is_reached = False
        """Whether the bucket has answered once: keys, bucket and endpoint are right."""
        self.reset_after_fork()
        reset_in_children(self)

    def reset_after_fork(self) -> None:
        """Begin without clients, and with a lock that nobody holds."""
        self.lock = threading.RLock()
        self._clients: dict[Use, Client] = {}

    def client(self, use: Use) -> "Client":
        """Return the client for a use.

        Raises:
            ConfigError: if an option is unknown or wrong.
            StorageError: if this process was forked and cannot use the network.
        """
        client = self._clients.get(use)
        if client is None:
            with self.lock:
                client = self._clients[use] = self._clients.get(use) or self._make(use)
        check_not_forked(self._address.url)
        mark_used()
        return client

    def check(self) -> None:
        """Make a client, which looks at the options; nothing is sent."""
        with self.lock:
            self._clients.setdefault(Use.READ, self._make(Use.READ))

    def _make(self, use: Use) -> "Client":
        from obstore.exceptions import BaseError

        try:
            return self._build(use)
        except ConfigError:
            raise
        except (BaseError, ValueError, TypeError, NotImplementedError) as error:
            text = redact(str(error).partition("\n\nDebug source")[0], known_secrets())
            raise ConfigError(
                f"{self._address.url}: {text.rstrip('.')}. Options are those of obstore, such as "
                f"{_EXAMPLES[self._address.kind]}; client_options; profile (of AWS); "
                f"{', '.join(TransferOptions.names())}."
            ) from None

    def _build(self, use: Use) -> "Client":
        from obstore import store

        address, transfer = self._address, self._options.transfer
        private = self._options.private.reveal(address.url)
        headers = {
            name: private.pop(f"client_options.{name}")
            for name in _PRIVATE_CLIENT_OPTIONS
            if f"client_options.{name}" in private
        }
        client_options = _times(use, transfer) | dict(self._options.client) | headers
        config = dict(self._options.public) | private
        kwargs: dict[str, Any] = {"retry_config": _retries(use, transfer)}
        kwargs["client_options"] = client_options
        if address.kind == "http":
            if config:
                raise ConfigError(
                    f"{address.url}: unknown option {min(config)!r}; a web server takes "
                    f"client_options, {', '.join(TransferOptions.names())}."
                )
            client_options.setdefault("allow_http", address.root.startswith("http://"))
            return store.HTTPStore(address.bucket, **kwargs)
        if address.kind == "s3":
            found = find_profile(self._options.profile, has_keys=_has_keys(config))
            config = found.config | config
            if found.provider is not None:
                kwargs["credential_provider"] = found.provider
        if address.account is not None:
            config.setdefault("account_name", address.account)
        self._allow_http(config, client_options)
        kinds = {"s3": store.S3Store, "gs": store.GCSStore, "az": store.AzureStore}
        client: Client = kinds[address.kind](address.bucket, config=config, **kwargs)
        return client

    def _allow_http(self, config: Mapping[str, Any], client_options: dict[str, Any]) -> None:
        given = next((str(v) for k, v in config.items() if "endpoint" in k or "base_url" in k), "")
        endpoint = given or endpoint_in_environment(self._address.kind) or ""
        if "@" in endpoint:
            raise ConfigError(
                f"{self._address.url}: endpoint: a name or password in it would be shown in "
                "messages; give credentials as options of their own."
            )
        if "allow_http" in client_options or not endpoint.startswith("http://"):
            return
        if is_loopback_http(endpoint):
            client_options["allow_http"] = True
        elif not allows_http():
            raise ConfigError(
                f"{self._address.url}: the endpoint {endpoint} is not encrypted. Use https, or "
                "pass client_options={'allow_http': True} where the network can be trusted."
            )


_EXAMPLES = {
    "s3": "access_key_id, secret_access_key, session_token, region, endpoint, skip_signature",
    "gs": "application_credentials, service_account_key, bearer_token, base_url, skip_signature",
    "az": "account_name, account_key, sas_key, endpoint, use_azure_cli, skip_signature",
    "http": "none",
}


def _times(use: Use, transfer: TransferOptions) -> dict[str, Any]:
    times = {"connect_timeout": timedelta(seconds=_CONNECT_SECONDS)}
    if use is Use.READ:
        times["read_timeout"] = timedelta(seconds=transfer.stall_seconds)
        times["timeout"] = timedelta(seconds=_REQUEST_SECONDS)
    else:
        times["timeout"] = timedelta(seconds=transfer.write_seconds)
    return times


def _retries(use: Use, transfer: TransferOptions) -> dict[str, Any]:
    if use is not Use.UPLOAD:
        return {"max_retries": 0}
    return {
        "max_retries": transfer.retries,
        "retry_timeout": timedelta(seconds=transfer.retry_seconds),
        "backoff": {"init_backoff": timedelta(seconds=0.5)},
    }


def _is_public(name: str) -> bool:
    return any(word in name.lower() for word in _PUBLIC_WORDS)


def _has_keys(config: Mapping[str, Any]) -> bool:
    words = ("access_key", "skip_signature", "web_identity", "container_credentials")
    return any(word in name.lower() for name in config for word in words)
