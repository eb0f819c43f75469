"""`shard_config.yaml` holds every option; what does not fit is an error with its path."""

from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
import yaml

from vrs_wds.config import load_config, parse_config
from vrs_wds.errors import ConfigError
from vrs_wds.sizes import ByteSize
from vrs_wds.writer.options import (
    ImageOptions,
    ShardConfig,
    ShardOptions,
    SidecarOptions,
)

PAGE = Path(__file__).parents[1] / "shard_config.yaml"


def keys_of(values, path=""):
    """Return the paths of all keys: `shards`, `shards.name`, ..."""
    keys = set()
    for key, value in values.items():
        keys.add(path + key)
        if isinstance(value, dict):
            keys |= keys_of(value, f"{path}{key}.")
    return keys


def fields_of(kind, path=""):
    """Return the paths of all fields of a Struct and of the Structs in it."""
    fields = set()
    for field in msgspec.structs.fields(kind):
        fields.add(path + field.encode_name)
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            fields |= fields_of(field.type, f"{path}{field.encode_name}.")
    return fields


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Return a function that loads a text as `shard_config.yaml`."""
    monkeypatch.chdir(tmp_path)

    def load(text):
        Path("shard_config.yaml").write_text(text, encoding="utf-8")
        return load_config("shard_config.yaml")

    return load


def test_the_page_shows_the_defaults():
    """Loading `shard_config.yaml` gives what no file gives."""
    assert load_config(PAGE) == ShardConfig()


def test_the_page_has_every_key():
    """A new option must be added to the page, and an old one taken out."""
    assert keys_of(yaml.safe_load(PAGE.read_text(encoding="utf-8"))) == fields_of(ShardConfig)


def test_the_page_explains_every_value():
    """A comment stands above each key that holds a value."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    for above, line in pairwise(lines):
        key, colon, value = line.partition(":")
        if colon and value.strip() and not line.lstrip().startswith("#"):
            assert above.lstrip().startswith("#"), f"{key.strip()} has no comment"


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "{}", "---\n"])
def test_an_empty_file_gives_the_defaults(load, text):
    """A file without any key is no error."""
    assert load(text) == ShardConfig()


def test_what_is_left_out_has_its_default(load):
    """Values that are given are taken, and all others are the defaults."""
    config = load(
        "tasks: [captioning, vqa]\n"
        "shards:\n  name: '{split}-{number:04d}.tar'\n  max_samples: 5\n  max_bytes: 1.5 KiB\n"
        "image: {encode: webp, quality: 80}\n"
        "sidecars: {missing: empty}\n"
    )

    assert config == ShardConfig(
        tasks=("captioning", "vqa"),
        shards=ShardOptions(
            name="{split}-{number:04d}.tar", max_samples=5, max_bytes=ByteSize(1536)
        ),
        image=ImageOptions(encode="webp", quality=80),
        sidecars=SidecarOptions(missing="empty"),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shard: {}", "shard: unknown key; expected one of tasks, shards, image, sidecars."),
        (
            "shards: {maxsamples: 1}",
            "shards.maxsamples: unknown key; expected one of name, max_samples, max_bytes.",
        ),
        (
            "image: {size: 1}",
            "image.size: unknown key; expected one of encode, quality, max_bytes, max_pixels.",
        ),
        (
            "sidecars: {captions: 1}",
            "sidecars.captions: unknown key; expected one of missing.",
        ),
    ],
)
def test_an_unknown_key_is_an_error_at_every_level(load, text, message):
    """A misspelt option never does nothing."""
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert str(caught.value) == f"shard_config.yaml: {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tasks: 5", "tasks: Expected `str | array`, got `int`."),
        ("tasks: ~", "tasks: Expected `str | array`, got `null`."),
        ("tasks: {vqa: 1}", "tasks: Expected `str | array`, got `object`."),
        ("tasks: [vqa, 3]", "tasks[1]: Expected `str`, got `int`."),
        ("shards: 5", "shards: Expected `object`, got `int`."),
        ("shards: ~", "shards: Expected `object`, got `null`."),
        ("shards: [1]", "shards: Expected `object`, got `array`."),
        ("shards: {name: 5}", "shards.name: Expected `str`, got `int`."),
        ("shards: {max_samples: many}", "shards.max_samples: Expected `int`, got `str`."),
        ("shards: {max_samples: 1.5}", "shards.max_samples: Expected `int`, got `float`."),
        ("shards: {max_samples: true}", "shards.max_samples: Expected `int`, got `bool`."),
        (
            "shards: {max_bytes: 512M}",
            "shards.max_bytes: expected a size such as \"256 MiB\", got '512M'.",
        ),
        (
            "shards: {max_bytes: 512}",
            'shards.max_bytes: expected a size such as "256 MiB", got 512.',
        ),
        ("image: [1]", "image: Expected `object`, got `array`."),
        ("image: {encode: gif}", "image.encode: expected one of keep, jpeg, webp, png, got 'gif'."),
        ("image: {quality: '90'}", "image.quality: Expected `int`, got `str`."),
        (
            "image: {max_bytes: 1}",
            'image.max_bytes: expected a size such as "256 MiB", got 1.',
        ),
        ("image: {max_pixels: 1e6}", "image.max_pixels: Expected `int`, got `str`."),
        ("sidecars: empty", "sidecars: Expected `object`, got `str`."),
        ("sidecars: {missing: drop}", "sidecars.missing: expected one of omit, empty, got 'drop'."),
        ("sidecars: {missing: no}", "sidecars.missing: Expected `str`, got `bool`."),
    ],
)
def test_a_wrong_type_is_an_error_with_its_path(load, text, message):
    """Nothing is converted silently; the message says where it stands."""
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert str(caught.value) == f"shard_config.yaml: {message}"


NAME_RULE = (
    "shards.name: expected a pattern that begins with '{split}-', has '{number}', ends with "
    "'.tar' and has no slash, got "
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shards: {max_samples: 0}", "shards.max_samples: expected at least 1, got 0."),
        ("shards: {max_bytes: 0 B}", "shards.max_bytes: expected at least 1, got 0."),
        ("shards: {name: x.tar}", f"{NAME_RULE}'x.tar'."),
        ("shards: {name: '{split}.tar'}", f"{NAME_RULE}'{{split}}.tar'."),
        ("shards: {name: '{split}-{number}'}", f"{NAME_RULE}'{{split}}-{{number}}'."),
        ("shards: {name: '../{split}-{number}.tar'}", f"{NAME_RULE}'../{{split}}-{{number}}.tar'."),
        (
            "shards: {name: '{shard}.tar'}",
            "shards.name: expected a pattern such as '{split}-{number:06d}.tar', got "
            "'{shard}.tar' ('shard').",
        ),
        ("image: {quality: 0}", "image.quality: expected at least 1, got 0."),
        ("image: {quality: 101}", "image.quality: expected 1 to 100, got 101."),
        ("image: {max_bytes: 0 B}", "image.max_bytes: expected at least 1, got 0."),
        ("image: {max_pixels: 0}", "image.max_pixels: expected at least 1, got 0."),
    ],
)
def test_a_value_out_of_range_is_an_error_with_its_path(load, text, message):
    """Ranges are checked when the file is read, not when it is used."""
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert str(caught.value) == f"shard_config.yaml: {message}"


@pytest.mark.parametrize(
    ("text", "found"),
    [("- vqa\n- captioning", "array"), ("vqa", "str"), ("7", "int")],
)
def test_anything_but_a_mapping_at_the_top_is_an_error(load, text, found):
    """A list, a text or a number is no set of options."""
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert str(caught.value) == f"shard_config.yaml: top level: Expected `object`, got `{found}`."


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("shards: [", "expected the node content"),
        ("shards:\n\tmax_samples: 1", "cannot start any token"),
        ("tasks: all\n---\ntasks: vqa", "expected a single document"),
    ],
)
def test_what_is_not_yaml_is_an_error(load, text, problem):
    """The parser's own message is kept, after the file's name."""
    with pytest.raises(ConfigError, match=problem) as caught:
        load(text)
    assert str(caught.value).startswith("shard_config.yaml: expected YAML: ")


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:pathlib.Path.touch [made]",
        "!!python/object/new:os.system [touch made]",
        "!!python/name:os.system",
        "!include other.yaml",
    ],
)
def test_a_tag_runs_nothing(load, tag):
    """A configuration file is data: tags that would make objects are refused."""
    with pytest.raises(ConfigError, match="could not determine a constructor for the tag"):
        load(f"tasks: {tag}")
    assert not Path("made").exists()


def test_a_missing_file_is_an_error(tmp_path):
    """A file that is named and not there is never the defaults."""
    with pytest.raises(FileNotFoundError, match=r"nowhere\.yaml"):
        load_config(tmp_path / "nowhere.yaml")


def test_the_message_begins_with_the_path_as_given(tmp_path):
    """So that a person finds the file."""
    path = tmp_path / "options.yaml"
    path.write_text("images: {}", encoding="utf-8")

    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value).startswith(f"{path}: images: unknown key")


def test_values_from_elsewhere_have_the_same_rules():
    """`parse_config` is what `load_config` does after reading."""
    with pytest.raises(ConfigError) as caught:
        parse_config({"image": {"quality": 200}}, where="train.json")
    assert str(caught.value) == "train.json: image.quality: expected 1 to 100, got 200."


def test_a_file_of_another_encoding_is_not_yaml(tmp_path):
    """UTF-8, or the one error."""
    path = tmp_path / "config.yaml"
    path.write_bytes("tasks: [\u00fc]".encode("latin-1"))

    with pytest.raises(ConfigError, match=r"config\.yaml: expected YAML"):
        load_config(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tasks: vqa\ntasks: all\n", "the key 'tasks' is given twice"),
        ("shards:\n  max_samples: 1\n  max_samples: 2\n", "the key 'max_samples' is given twice"),
        ("1: 2\n", "expected a key that is a text, got 1"),
    ],
)
def test_keys_are_texts_and_given_once(tmp_path, text, message):
    """Neither value of two would be surely the one that was meant."""
    path = tmp_path / "config.yaml"
    path.write_text(text)

    with pytest.raises(ConfigError, match=message):
        load_config(path)


def test_a_program_may_give_sizes_as_texts():
    """As the file does, or as a number; NumPy's numbers become Python's."""
    for size in ("1.5 MiB", 1_572_864, np.int64(1_572_864), ByteSize(1_572_864)):
        options = ShardOptions(max_bytes=size, max_samples=np.int32(5))
        assert options == ShardOptions(max_bytes=ByteSize(1_572_864), max_samples=5)
        assert (type(options.max_bytes), type(options.max_samples)) == (ByteSize, int)
        assert ImageOptions(max_bytes=size).max_bytes == 1_572_864


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ShardOptions(max_samples=1.5), "shards.max_samples: .* whole number, got 1.5"),
        (lambda: ShardOptions(max_samples="5"), "shards.max_samples: .* whole number, got '5'"),
        (lambda: ShardOptions(max_samples=True), "shards.max_samples: .* whole number, got True"),
        (lambda: ShardOptions(max_samples=None), "shards.max_samples: .* whole number, got None"),
        (lambda: ShardOptions(max_bytes=float("nan")), "shards.max_bytes: .* number, got nan"),
        (lambda: ShardOptions(max_bytes=1e9), "shards.max_bytes: .* number, got 1000000000.0"),
        (lambda: ShardOptions(max_bytes="1 MB"), "shards.max_bytes: .* as \"256 MiB\", got '1 MB'"),
        (lambda: ShardOptions(max_bytes="0 MiB"), "shards.max_bytes: expected at least 1"),
        (lambda: ImageOptions(quality=90.5), "image.quality: .* whole number, got 90.5"),
        (lambda: ImageOptions(max_bytes="3 GiB"), "image.max_bytes: expected at most"),
        (lambda: ImageOptions(max_pixels=1e6), "image.max_pixels: .* number, got 1000000.0"),
    ],
)
def test_a_program_gives_a_wrong_kind_of_number(make, message):
    """Refused when the options are made, as the file's are."""
    with pytest.raises(ConfigError, match=message):
        make()
