"""A web server as a store: to read."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import vrs_wds as vw
from tests.servers.ranges import RangeServer, serving, status
from vrs_wds.errors import ConfigError, FileChanged, StorageError
from vrs_wds.storage.open import open_store


@pytest.fixture
def server() -> Iterator[RangeServer]:
    """A server with one file, whose name needs quoting."""
    with serving() as server:
        server.files["/a folder/b ü.bin"] = bytes(range(256)) * 100
        yield server


def test_reading(server: RangeServer) -> None:
    """Whole, by ranges, as a file; blanks in folders and names."""
    store = open_store(f"{server.url}/a%20folder/", range_bytes=10_000)
    data = server.files["/a folder/b ü.bin"]

    assert store.get("b ü.bin") == data
    assert store.get_ranges("b ü.bin", [(5, 3), (20_000, 9_000)]) == [data[5:8], data[20_000:]]
    assert store.size_of("b ü.bin") == len(data)
    assert store.exists("b ü.bin")
    assert not store.exists("c")
    with store.open_reader("b ü.bin") as file:
        file.seek(100)
        assert file.read() == data[100:]
    with pytest.raises(FileNotFoundError, match=r"/a%20folder/c|/a folder/c"):
        store.get("c")


def test_a_replaced_file_is_noticed(server: RangeServer) -> None:
    """By its etag."""
    store = open_store(f"{server.url}/a folder")
    store.get_range("b ü.bin", 0, 10)
    server.files["/a folder/b ü.bin"] = bytes(1000)

    with pytest.raises(FileChanged):
        store.get_range("b ü.bin", 10, 10)


def test_it_is_read_only_and_not_listed(server: RangeServer) -> None:
    """The message says what to do instead."""
    store = open_store(f"{server.url}/x")
    with pytest.raises(StorageError, match="Name the split"):
        list(store.list_names())
    for write in (
        lambda: store.put("a", b""),
        lambda: store.put_new("a", b""),
        lambda: store.delete("a"),
        lambda: store.rename("a", "b"),
        lambda: store.sweep(""),
        lambda: store.open_writer("a").__enter__(),
    ):
        with pytest.raises(StorageError, match="web servers are read only here"):
            write()


def test_options(server: RangeServer) -> None:
    """Only ours and the client's."""
    with pytest.raises(ConfigError, match="unknown option 'region'; a web server takes"):
        open_store(server.url, region="x")
    server.always = status(401)
    with pytest.raises(StorageError, match="default_headers"):
        open_store(server.url).get("a")


def test_a_server_without_ranges(server: RangeServer) -> None:
    """Says so."""
    server.always = lambda handler: handler.answer(200, b"all") is None
    with pytest.raises(StorageError, match="does not serve ranges"):
        open_store(server.url).get_range("a", 0, 2)


def test_a_dataset_on_a_web_server(server: RangeServer, small_root: Path) -> None:
    """Is read by its index."""
    for path in small_root.iterdir():
        server.files[f"/data/{path.name}"] = path.read_bytes()
    dataset = vw.open_dataset(f"{server.url}/data", "train")

    assert [sample.key for sample in dataset] == list(vw.open_dataset(small_root).column("key"))
    assert vw.verify(f"{server.url}/data", split="train").ok
