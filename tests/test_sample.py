"""Keys and member names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrs_wds.errors import KeyFormatError
from vrs_wds.sample import (
    Sample,
    SourceSample,
    check_key,
    key_to_name,
    name_to_key,
    split_member_name,
)

tricky = st.text(alphabet=st.sampled_from("a-xX0A2D/._ ü日\n"), min_size=1, max_size=12)


@given(st.one_of(tricky, st.text(min_size=1, alphabet=st.characters(exclude_categories=["Cs"]))))
def test_every_name_maps_to_a_key_and_back(name: str) -> None:
    """Any name gives a valid key, and the key gives the name."""
    key = name_to_key(name)

    assert check_key(key) == key
    assert key_to_name(key) == name


@given(st.from_regex(r"[A-Za-z0-9_]+(/[A-Za-z0-9_]+)*", fullmatch=True))
def test_plain_names_are_their_own_keys(name: str) -> None:
    """A name within the grammar stays as it is."""
    assert name_to_key(name) == name


@given(tricky, tricky)
def test_keys_of_different_names_differ(one: str, other: str) -> None:
    """No two names share a key."""
    assert (name_to_key(one) == name_to_key(other)) == (one == other)


@given(tricky, st.sampled_from(["png", "vqa.json", "meta.json"]))
def test_a_member_name_splits_into_key_and_extension(name: str, extension: str) -> None:
    """`KEY.EXTENSION` splits at the key's first dot, whatever the name was."""
    key = name_to_key(name)
    if key.rpartition("/")[2].startswith("__"):
        return

    assert split_member_name(f"{key}.{extension}") == (key, extension)


@pytest.mark.parametrize("key", ["", "a.b", "/a", "a/", "a//b", "ü", "a b", "a\n"])
def test_malformed_keys_are_refused(key: str) -> None:
    """The message names the key."""
    with pytest.raises(KeyFormatError, match="key "):
        check_key(key)


def test_an_empty_name_is_refused() -> None:
    """There is no key for nothing."""
    with pytest.raises(KeyFormatError, match="empty"):
        name_to_key("")


@pytest.mark.parametrize(
    "name", ["noextension", ".hidden", "._a.png", "__MACOSX/a.png", "__schema__.json", "a/__b__.x"]
)
def test_names_that_belong_to_no_sample(name: str) -> None:
    """Junk and metadata members make no samples."""
    assert split_member_name(name) is None


def test_sample_is_a_mapping_that_shows_sizes_and_no_bytes() -> None:
    """Its repr names key and members with sizes."""
    sample = Sample("a/b", {"vqa.json": b"{}", "png": b"secret"}, "x.tar")

    assert list(sample) == ["vqa.json", "png"]
    assert sample["png"] == b"secret"
    assert "png" in sample
    assert "jpg" not in sample
    assert len(sample) == 2
    assert sample.to_dict()["__key__"] == "a/b"
    assert repr(sample) == "Sample('a/b', vqa.json: 2 B, png: 6 B)"


def test_sample_html_is_escaped_and_has_no_script() -> None:
    """Whatever a shard holds, a notebook shows it as text."""
    html = Sample("a", {"<script>alert(1)</script>": b"x", 'png" onerror="x': b"y"})._repr_html_()

    assert "<script" not in html
    assert 'onerror="x' not in html


def test_a_source_sample_shows_itself_whatever_it_holds() -> None:
    """A message shows one that was refused: its repr does not fail in turn."""
    right = SourceSample("a", b"12345", "png", {"vqa": {}, "caption": {}})
    wrong = SourceSample("a", None, "png", None)  # type: ignore[arg-type]

    assert repr(right) == "SourceSample('a', png: 5 B, vqa, caption)"
    assert repr(wrong) == "SourceSample('a', png: 0 B, no annotations)"
