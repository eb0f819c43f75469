"""URLs of object stores, taken apart. Pure."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from vrs_wds.errors import ConfigError

_KINDS = {
    "s3": "s3",
    "s3a": "s3",
    "gs": "gs",
    "gcs": "gs",
    "az": "az",
    "azure": "az",
    "abfs": "az",
    "abfss": "az",
    "http": "http",
    "https": "http",
}


@dataclass(frozen=True, slots=True)
class Address:
    """A bucket, or a web server, and a prefix in it."""

    kind: str
    """`s3`, `gs`, `az` or `http`."""
    root: str
    """All of the URL before the prefix, without a slash at its end."""
    bucket: str
    """Name of the bucket or container; of `http`, the server's address."""
    prefix: str
    """Without slashes at its ends; may be empty."""
    account: str | None = None
    """Of Azure, if the URL names it."""

    @property
    def url(self) -> str:
        """The whole URL."""
        return self.url_of("")

    def url_of(self, name: str) -> str:
        """Return the URL of a name below the prefix."""
        return "/".join(part for part in (self.root, self.prefix, name) if part)

    def path_of(self, name: str) -> str:
        """Return the full name in the bucket."""
        return f"{self.prefix}/{name}" if self.prefix and name else self.prefix or name


def is_object_store(scheme: str) -> bool:
    """Tell whether URLs of a scheme are of object stores or web servers."""
    return scheme.lower() in _KINDS


def parse_address(url: str) -> Address:
    """Take a URL apart.

    >>> parse_address("s3://bucket/data/vrsbench/").prefix
    'data/vrsbench'

    Raises:
        ConfigError: if there is no bucket, or the URL holds a password or a query.
    """
    scheme, _, rest = url.partition("://")
    kind = _KINDS[scheme.lower()]
    host, _, prefix = rest.partition("/")
    account = None
    if kind == "az" and "@" in host:
        host, _, endpoint = host.partition("@")
        account = endpoint.partition(".")[0]
        root = f"{scheme}://{host}@{endpoint}"
    else:
        if "@" in host:  # the message must not show it
            raise ConfigError(
                f"{scheme}://…: a URL with a name or password in it would be shown in messages; "
                "give credentials as options or in the environment."
            )
        root = f"{scheme}://{host}"
    if kind == "http":
        if "?" in prefix or "#" in prefix:
            raise ConfigError(
                f"{root}/…: a folder's URL has no query; to read one signed file, use fsspec."
            )
        host, prefix = root, unquote(prefix)
    elif "?" in rest:  # it may be a key: the message must not show it
        raise ConfigError(
            f"{root}/…: the URL of a bucket's folder has no query; give options and keys as "
            "open_store(url, name=value), or in the environment."
        )
    if not host or host == f"{scheme}://":
        raise ConfigError(f"{url}: expected a bucket, as in {scheme}://bucket/folder.")
    parts = [part for part in prefix.strip("/").split("/") if prefix.strip("/")]
    if any(part in ("", ".", "..") for part in parts):
        raise ConfigError(f"{url}: the folder has an empty component, or one of dots.")
    return Address(kind, root, host, "/".join(parts), account)


def is_loopback_http(endpoint: str) -> bool:
    """Tell whether an endpoint is plain http on this machine.

    >>> is_loopback_http("http://127.0.0.1:9000"), is_loopback_http("http://10.0.0.1")
    (True, False)
    """
    parts = urlsplit(endpoint)
    if parts.scheme != "http" or not parts.hostname:
        return False
    if parts.hostname == "localhost" or parts.hostname.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(parts.hostname).is_loopback
    except ValueError:
        return False
