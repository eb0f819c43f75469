"""What a user's task tells the index is checked, by the writer and by `index_shards`."""

import enum
import shutil
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np
import pytest

from vrs_wds.errors import ConfigError
from vrs_wds.images.encode import encode_rgb
from vrs_wds.reader.open import open_dataset
from vrs_wds.sample import SourceSample
from vrs_wds.tasks import registry
from vrs_wds.tasks.describe import describe
from vrs_wds.tasks.registry import register_task
from vrs_wds.tasks.task import Task
from vrs_wds.writer.index_shards import index_shards
from vrs_wds.writer.write import write_shards


class Weather(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """Sidecar of a made-up task."""

    cloud: float


class WeatherTask(Task[Weather]):
    """Gives whatever a test wants as count and facts."""

    name: ClassVar[str] = "weather"
    schema = Weather
    fact_kinds: ClassVar = {"cloud": "int", "sky": "str", "winds": "strings"}
    given_count: Any = 1
    given_facts: Any = {}  # noqa: RUF012 - replaced, never changed

    def empty(self) -> Weather:
        """Return no clouds."""
        return Weather(cloud=0)

    def count(self, sidecar: Weather) -> int:
        """Return what the test wants."""
        return self.given_count

    def facts(self, sidecar: Weather) -> Any:
        """Return what the test wants."""
        if not isinstance(self.given_facts, dict):
            return self.given_facts
        return {"cloud": 1, "sky": "clear", "winds": []} | self.given_facts

    def target(self, sidecar: Weather, size_wh: Any, options: Any) -> float:
        """Return the share."""
        return sidecar.cloud

    plain_target = target


@pytest.fixture
def weather(monkeypatch: pytest.MonkeyPatch) -> WeatherTask:
    """Register the task, for one test."""
    monkeypatch.setattr(registry, "_TASKS", dict(registry._TASKS))
    return register_task(WeatherTask())


SAMPLE = SourceSample(
    "a",
    encode_rgb(np.zeros((8, 8, 3), np.uint8), "png"),
    "png",
    {"weather": {"cloud": 0.5}},
    origin="clouds.zip: a.png",
)
WRONG_FACTS = [
    ("cloud", None, "a whole number of 64 bits"),
    ("cloud", 0.5, "a whole number of 64 bits"),
    ("cloud", True, "a whole number of 64 bits"),
    ("cloud", np.True_, "a whole number of 64 bits"),
    ("cloud", "3", "a whole number of 64 bits"),
    ("cloud", 2**63, "a whole number of 64 bits"),
    ("cloud", -(2**63) - 1, "a whole number of 64 bits"),
    ("cloud", np.uint64(2**63), "a whole number of 64 bits"),
    ("sky", None, "a text"),
    ("sky", 5, "a text"),
    ("sky", b"clear", "a text"),
    ("sky", "\ud800", "a text"),
    ("winds", None, "a list of texts"),
    ("winds", "north", "a list of texts"),
    ("winds", {"north"}, "a list of texts"),
    ("winds", [None], "a list of texts"),
    ("winds", ["north", 3], "a list of texts"),
]


@pytest.mark.parametrize(("name", "value", "expected"), WRONG_FACTS)
def test_a_fact_of_another_kind(weather, name, value, expected):
    """It is named, with its task and sample; nothing is cut, or written as null."""
    weather.given_facts = {name: value}
    with pytest.raises(ConfigError) as caught:
        describe(weather, Weather(cloud=0), where="sample 'a'")

    assert str(caught.value) == (
        f"sample 'a': task 'weather': fact {name!r}: expected {expected}, as fact_kinds promises, "
        f"got {value!r}. Mend the task's facts()."
    )


@pytest.mark.parametrize("value", [None, 1.5, True, "1", -1, 2**31, np.int64(2**31), []])
def test_a_count_that_is_none(weather, value):
    """-1 would say that there is no sidecar, and the index has 32 bits."""
    weather.given_count = value
    with pytest.raises(ConfigError) as caught:
        describe(weather, Weather(cloud=0), where="sample 'a'")

    assert str(caught.value) == (
        "sample 'a': task 'weather': count(): expected a whole number from 0 to 2,147,483,647, "
        f"got {value!r}. Mend the task's count()."
    )


@pytest.mark.parametrize("facts", [None, [], {"rain": 1}])
def test_facts_that_were_not_promised(weather, facts):
    """Both are shown."""
    weather.given_facts = facts
    with pytest.raises(
        ConfigError, match=r"task 'weather': facts\(\) gave .*, fact_kinds promises"
    ):
        describe(weather, Weather(cloud=0), where="sample 'a'")


class Wind(str, enum.Enum):  # noqa: UP042 - a StrEnum has no other text
    """A text whose `str()` is another."""

    SOUTH = "süd"


def test_numpys_own_become_pythons(weather):
    """They are what a user has in hand; tuples are lists."""
    weather.given_count = np.int32(2**31 - 1)
    weather.given_facts = {
        "cloud": np.int64(-(2**63)),
        "sky": np.str_("klar, grün"),
        "winds": (np.str_("north"), Wind.SOUTH),
    }
    count, facts = describe(weather, Weather(cloud=0), where="a")

    assert (count, facts) == (
        2**31 - 1,
        {"cloud": -(2**63), "sky": "klar, grün", "winds": ["north", "süd"]},
    )
    assert [type(value) for value in (count, *facts.values())] == [int, int, str, list]
    assert {type(text) for text in facts["winds"]} == {str}
    weather.given_facts["winds"] = np.array(["north", "süd"])
    assert describe(weather, Weather(cloud=0), where="a") == (count, facts)


@pytest.mark.parametrize(
    ("given", "part"), [({"given_facts": {"cloud": None}}, "fact"), ({"given_count": 1.5}, "count")]
)
def test_writing_names_the_sample(weather, tmp_path: Path, given, part):
    """And publishes nothing."""
    vars(weather).update(given)
    with pytest.raises(ConfigError, match=rf"sample 'a' \(clouds\.zip: a\.png\): .*: {part}"):
        write_shards([SAMPLE], tmp_path, split="train")

    assert not (tmp_path / "train.json").exists()


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"given_facts": {"winds": "north"}}, "fact"),
        ({"given_facts": {"rain": 1}}, "facts"),
        ({"given_count": None}, "count"),
    ],
)
def test_indexing_names_shard_and_sample(weather, tmp_path: Path, given, part):
    """Of tars that others made."""
    write_shards([SAMPLE], tmp_path / "made", split="train")
    (tmp_path / "x").mkdir()
    shutil.copy(tmp_path / "made" / "train-000000.tar", tmp_path / "x")
    vars(weather).update(given)
    with pytest.raises(ConfigError, match=rf"train-000000\.tar: sample 'a': .*'weather': {part}"):
        index_shards(tmp_path / "x", split="train")


def test_the_index_holds_what_the_task_says(weather, tmp_path: Path):
    """Written and read again."""
    weather.given_facts = {"cloud": np.int64(7), "sky": "grün", "winds": ("b", "a")}
    write_shards([SAMPLE], tmp_path, split="train")
    dataset = open_dataset(tmp_path)

    columns = ("weather_count", "cloud", "sky", "winds")
    assert [dataset.column(name) for name in columns] == [[1], [7], ["grün"], [["b", "a"]]]
