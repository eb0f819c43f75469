"""A container of Azure as a store: what is not as with other buckets."""

import logging
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

import vrs_wds as vw
from tests.servers.azurite import Container
from vrs_wds.errors import StorageError

NOISE = np.random.default_rng(0).bytes(30 * 1024 * 1024)

KILLED = """
import os, signal, sys
import vrs_wds as vw
store = vw.open_store(sys.argv[1], max_inflight_bytes=11 << 20)
with store.open_writer("a.tar") as writer:
    for _ in range(30):
        writer.write(bytes(1 << 20))
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def store(azurite_server: Container) -> vw.Store:
    """A folder of an empty container, written to in small parts."""
    options = azurite_server.storage_options
    return vw.open_store(azurite_server.url, max_inflight_bytes=11 << 20, **options)


def test_what_a_killed_writer_left_is_never_seen(
    azurite_server: Container, store: vw.Store, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor does it get into the file that is written next; there is nothing to sweep or to warn of.

    Azure keeps the parts of a name, whoever sent them, until a file is made of some.
    """
    environment = os.environ | azurite_server.environment
    command = [sys.executable, "-c", KILLED, azurite_server.url]
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL

    assert list(store.list_names(hidden=True)) == []
    assert not store.exists("a.tar")
    with caplog.at_level(logging.WARNING):
        assert store.sweep("") == 0
    assert caplog.text == ""
    with store.open_writer("a.tar") as writer:
        writer.write(NOISE)
    assert store.get("a.tar") == NOISE
    assert list(store.list_names(hidden=True)) == ["a.tar"]


def test_two_files_of_one_name_are_never_mixed(store: vw.Store, azurite_server: Container) -> None:
    """The second to end is an error if the first has used up its parts, and else replaces it."""
    options = azurite_server.storage_options | {"max_inflight_bytes": 11 << 20}
    other = vw.open_store(azurite_server.url, **options)
    expected = NOISE[::-1]
    try:
        with other.open_writer("a.tar") as late:
            with store.open_writer("a.tar") as early:
                early.write(NOISE)
                late.write(NOISE[::-1])
            assert store.get("a.tar") == NOISE
    except StorageError as error:
        assert re.search(r"a\.tar: cannot be written.*InvalidBlockList", str(error))
        expected = NOISE

    fresh = vw.open_store(azurite_server.url, **azurite_server.storage_options)
    assert fresh.get("a.tar") == expected  # `store` has seen the file that may be replaced


def test_wrong_keys_and_containers_are_told(azurite_server: Container) -> None:
    """Before anything is written; no message shows a key."""
    options = azurite_server.storage_options
    key = "aHVzaCwgaHVzaA=="
    with pytest.raises(StorageError, match="refuses these credentials") as caught:
        vw.open_store(azurite_server.url, **options | {"account_key": key}).put("a", b"")
    assert key not in str(caught.value)
    with pytest.raises(StorageError, match=r"az://nothere/x: .*ContainerNotFound"):
        vw.open_store("az://nothere/x", **options).put("a", b"")


def test_by_a_url_that_names_the_account(azurite_server: Container, store: vw.Store) -> None:
    """As Hadoop writes it."""
    options = azurite_server.storage_options
    account = options.pop("account_name")
    store.put("a", b"1")

    url = f"abfss://{azurite_server.name}@{account}.dfs.core.windows.net/folder"
    assert vw.open_store(url, **options).get("a") == b"1"
