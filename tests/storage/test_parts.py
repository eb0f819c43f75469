"""The small parts of remote stores, one by one."""

import pytest

from vrs_wds.errors import ConfigError, FileChanged
from vrs_wds.storage.address import parse_address
from vrs_wds.storage.failures import redact
from vrs_wds.storage.open import open_store
from vrs_wds.storage.pins import Pins
from vrs_wds.storage.range_reader import RangeReader
from vrs_wds.storage.store import Stat
from vrs_wds.storage.transfer import TransferOptions


@pytest.mark.parametrize(
    ("url", "kind", "bucket", "prefix"),
    [
        ("s3://bucket", "s3", "bucket", ""),
        ("s3://bucket/a/b/", "s3", "bucket", "a/b"),
        ("s3://bucket/100%/a#b", "s3", "bucket", "100%/a#b"),
        ("gs://bucket/a", "gs", "bucket", "a"),
        ("az://container/a", "az", "container", "a"),
        ("abfss://container@account.dfs.core.windows.net/a", "az", "container", "a"),
        ("https://host:8000/a%20b/c", "http", "https://host:8000", "a b/c"),
    ],
)
def test_urls(url: str, kind: str, bucket: str, prefix: str) -> None:
    """Are taken apart; those of the web are unquoted, the others are not."""
    address = parse_address(url)
    assert (address.kind, address.bucket, address.prefix) == (kind, bucket, prefix)


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("az://container/a", {"account_name": "account", "account_key": "aHVzaA=="}),
        ("abfss://container@account.dfs.core.windows.net/a", {"skip_signature": True}),
        ("gs://bucket/a", {"skip_signature": True}),
        ("s3://bucket/a", {"skip_signature": True, "aws_region": "eu-west-1"}),
    ],
)
def test_every_cloud_opens(url: str, options: dict[str, object]) -> None:
    """Nothing is sent; the options are looked at."""
    assert open_store(url, **options).url == url
    with pytest.raises(ConfigError, match="'colour'"):
        open_store(url, colour="blue", **options)


def test_pins() -> None:
    """Ranges are of one version; whole reads alone follow the file."""
    pins, one, two = Pins(), Stat(1, "1"), Stat(1, "2")
    for stat in (one, two, one):
        pins.note_whole("a", stat, "url")
    pins.pin("a", one, "url")
    for see in (pins.pin, pins.note_whole):
        with pytest.raises(FileChanged, match="url: was replaced while it was being read"):
            see("a", two, "url")
    pins.forget("a")
    pins.pin("a", two, "url")


def test_versions_without_etag_are_told_by_size() -> None:
    """Better than nothing."""
    pins = Pins()
    pins.pin("a", Stat(1, ""), "url")
    pins.pin("a", Stat(1, ""), "url")
    with pytest.raises(FileChanged):
        pins.pin("a", Stat(2, ""), "url")


def test_parts_of_a_writer_fit_its_memory() -> None:
    """Those on the way, and the one being filled."""
    for limit in (10 << 20, 64 << 20, 1 << 30):
        options = TransferOptions(max_inflight_bytes=limit)
        assert options.part_bytes >= 5 << 20
        assert options.part_bytes * (options.part_concurrency + 1) <= limit


def test_secrets_are_taken_out_of_texts() -> None:
    """With the queries of URLs; words that are short stay."""
    text = "GET https://host/a?sig=abc%2F&x=1: (key hush123, for) https://host/b?y"
    assert (
        redact(text, ["hush123", "for"]) == "GET https://host/a?…: (key ***, for) https://host/b?…"
    )


def test_a_reader_without_threads() -> None:
    """Fetches each block once, when it is needed."""
    data, fetched = bytes(range(100)), []

    def fetch(offset: int, size: int) -> bytes:
        fetched.append((offset, size))
        return data[offset : offset + size]

    with RangeReader(fetch, 100, block_bytes=30, ahead=3, pool=None) as reader:
        assert reader.read() == data
    assert fetched == [(0, 30), (30, 30), (60, 30), (90, 10)]
    with pytest.raises(ValueError, match="closed"):
        reader.read()
