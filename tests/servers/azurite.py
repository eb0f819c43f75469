"""Azurite, Microsoft's own emulator of Azure's blob store, and containers on it."""

import base64
import email.utils
import hmac
import os
import shutil
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest

from tests.servers.process import running

PROGRAM = "azurite-blob"
MISSING = (
    "AZURITE IS NOT INSTALLED: nothing was tested against a server that speaks Azure's language. "
    "With Node.js: npm install -g azurite"
)
_ACCOUNT = "accountoftests"
_KEY = base64.b64encode(b"hush, this is the key of the tests").decode()
_VERSION = "2021-08-06"
_NUMBERS = count()


@dataclass(frozen=True)
class Container:
    """An empty container of its own for each test."""

    name: str
    endpoint: str

    @property
    def url(self) -> str:
        """A folder in it."""
        return f"az://{self.name}/folder"

    @property
    def storage_options(self) -> dict[str, Any]:
        """What `open_store` needs to reach it."""
        return {"account_name": _ACCOUNT, "account_key": _KEY, "endpoint": self.endpoint}

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to reach it by its URL."""
        return {
            "AZURE_STORAGE_ACCOUNT_NAME": _ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": _KEY,
            "AZURE_STORAGE_ENDPOINT": self.endpoint,
        }

    def make(self) -> None:
        """Make it: the client of the stores cannot."""
        headers = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": _VERSION}
        # https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key: the verb,
        # eleven headers that are not sent, those of Azure, and what is asked for. The account is
        # there twice, as it is part of the emulator's paths.
        canonical = [f"{name}:{value}" for name, value in headers.items()]
        resource = [f"/{_ACCOUNT}/{_ACCOUNT}/{self.name}", "restype:container"]
        text = "\n".join(["PUT", *[""] * 11, *canonical, *resource])
        signature = hmac.digest(base64.b64decode(_KEY), text.encode(), "sha256")
        headers["Authorization"] = f"SharedKey {_ACCOUNT}:{base64.b64encode(signature).decode()}"
        url = f"{self.endpoint}/{self.name}?restype=container"
        request = urllib.request.Request(url, method="PUT", headers=headers)
        urllib.request.urlopen(request, timeout=30).close()


@pytest.fixture(scope="session")
def azurite_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an account; tests that use it are skipped, loudly, where it is not there."""
    if shutil.which(PROGRAM) is None:
        pytest.skip(MISSING)
    folder = tmp_path_factory.mktemp("azurite")
    command = [PROGRAM, "--blobHost", "127.0.0.1", "--location", str(folder), "--silent"]
    command += ["--disableTelemetry", "--skipApiVersionCheck", "--blobPort"]
    environment = os.environ | {"AZURITE_ACCOUNTS": f"{_ACCOUNT}:{_KEY}"}
    with running(lambda port: [*command, str(port)], folder / "log", environment) as port:
        yield f"http://127.0.0.1:{port}/{_ACCOUNT}"


@pytest.fixture
def azurite_server(azurite_endpoint: str) -> Container:
    """An empty container."""
    container = Container(f"container{next(_NUMBERS):04d}", azurite_endpoint)
    container.make()
    return container


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly, at the end, that there was no server."""
    reports = terminalreporter.getreports("skipped")
    if skipped := sum(MISSING in str(report.longrepr) for report in reports):
        terminalreporter.write_line(f"{skipped} TESTS SKIPPED. {MISSING}", red=True, bold=True)
