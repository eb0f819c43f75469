"""The registry of tasks, and a task that a user adds."""

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
import numpy as np
import pytest

from vrs_wds.errors import ConfigError, SidecarError, UnknownTaskError
from vrs_wds.geometry.frame import Frame
from vrs_wds.images.encode import encode_rgb
from vrs_wds.pipeline.collate import collate
from vrs_wds.pipeline.crop_regions import CropRegions
from vrs_wds.pipeline.decode import Decode
from vrs_wds.pipeline.targets import Targets
from vrs_wds.tasks import registry
from vrs_wds.tasks.registry import (
    get_task,
    register_task,
    registered_tasks,
    resolve_tasks,
    task_names,
)
from vrs_wds.tasks.sidecars import decode_sidecar, encode_sidecar
from vrs_wds.tasks.targets import get_task_targets
from vrs_wds.tasks.task import FactKind, TargetOptions, Task
from vrs_wds.tasks.vqa import VQATask

BUILT_IN = ["captioning", "classification", "detection", "grounding", "vqa"]


class Points(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """Sidecar of a task that a user made up: points of interest."""

    points: tuple[tuple[float, float], ...]


class PointsTask(Task[Points]):
    """The target is an array of points."""

    name: ClassVar[str] = "points"
    schema = Points
    fact_kinds: ClassVar[Mapping[str, FactKind]] = {"num_points": "int"}

    def empty(self) -> Points:
        """Return no points."""
        return Points(points=())

    def count(self, sidecar: Points) -> int:
        """Count the points."""
        return len(sidecar.points)

    def facts(self, sidecar: Points) -> dict[str, int]:
        """Return the count."""
        return {"num_points": len(sidecar.points)}

    def check(self, sidecar: Points, size_wh: tuple[int, int] | None = None) -> None:
        """Refuse points left of or above the picture."""
        for i, point in enumerate(sidecar.points):
            if min(point) < 0:
                raise ValueError(f"points[{i}]: expected 0 or more, got {point}")

    def move(self, sidecar: Points, frame: Frame, *, min_visible: float = 0.0) -> Points:
        """Keep the points inside."""
        moved = [tuple(frame.move(np.array(point)).tolist()) for point in sidecar.points]
        width, height = frame.size_wh
        return Points(points=tuple((x, y) for x, y in moved if 0 <= x < width and 0 <= y < height))

    def target(self, sidecar: Points, size_wh: Any, options: TargetOptions) -> dict[str, Any]:
        """Return the points as a column."""
        return {"points": np.array(sidecar.points, float).reshape(-1, 2)}

    def plain_target(self, sidecar: Points, size_wh: Any, options: TargetOptions) -> list[Any]:
        """Return a list of points."""
        return [list(point) for point in sidecar.points]


@pytest.fixture
def own_registry(monkeypatch):
    """Give the test a registry of its own, with the built-in tasks."""
    monkeypatch.setattr(registry, "_TASKS", dict(registry._TASKS))


@pytest.fixture
def points_task(own_registry) -> PointsTask:
    """Register the task."""
    return register_task(PointsTask())


def make_task(**names):
    """Make a task class with another name or other columns."""
    return type("OtherTask", (PointsTask,), names)()


def test_the_built_in_tasks_are_there():
    """By name, sorted, each with its own class."""
    assert task_names() == BUILT_IN
    assert [task.name for task in registered_tasks()] == BUILT_IN
    assert isinstance(get_task("vqa"), VQATask)


def test_a_task_without_a_name_in_the_registry():
    """The message lists the names and says what to do; it is a KeyError without quotes."""
    with pytest.raises(UnknownTaskError) as caught:
        get_task("depth")
    assert isinstance(caught.value, KeyError)
    assert str(caught.value) == (
        "unknown task 'depth'; registered are captioning, classification, detection, grounding, "
        "vqa. A task of your own needs vrs_wds.register_task first."
    )


def test_a_users_task_joins(points_task):
    """Registering returns the task; its name takes its place in the order."""
    assert get_task("points") is points_task
    assert task_names() == [*BUILT_IN[:4], "points", "vqa"]


def test_a_users_sidecar_is_written_and_read(points_task):
    """Bytes and back, checked by the schema and by the task's own check."""
    sidecar, data = encode_sidecar(points_task, {"points": [[1, 2.5]]}, where="a")
    assert data == b'{"points":[[1.0,2.5]]}'
    assert sidecar == decode_sidecar(points_task, data, where="a") == Points(points=((1, 2.5),))
    with pytest.raises(SidecarError, match=r"task 'points': points\[0\]: expected 0 or more"):
        encode_sidecar(points_task, {"points": [[-1, 2]]}, where="a")
    with pytest.raises(SidecarError, match=r"task 'points': field 'points\[0\]': .*length 2"):
        encode_sidecar(points_task, {"points": [[1, 2, 3]]}, where="a")


def test_a_users_task_goes_through_the_pipeline(points_task):
    """Its sidecar is decoded, moved with the picture, made a target and batched."""
    raw = {
        "__key__": "a",
        "png": encode_rgb(np.zeros((10, 20, 3), np.uint8), "png"),
        "points.json": b'{"points":[[2,2],[12,6]]}',
    }
    (decoded,) = Decode(size=(40, 20), tasks="points").apply(raw)
    assert decoded["points"].points == ((4, 4), (24, 12))

    (cut,) = CropRegions(boxes=lambda sample: [[20, 10, 30, 20]]).apply(decoded)
    batch = collate(list(Targets("points")([cut])))
    assert batch["target"]["points"].values.tolist() == [[4, 2]]
    assert get_task_targets(batch["metas"], "points") == [[[4, 2]]]


def test_a_class_that_is_made_anew_replaces_the_old(own_registry):
    """A notebook's cell may be run twice."""
    register_task(PointsTask())
    again = register_task(PointsTask())
    assert get_task("points") is again


@pytest.mark.parametrize(
    "name", ["", "Depth", "2d", "a-b", "a.b", "a b", "meta", "all", "complete", "image", "target"]
)
def test_names_that_could_not_be_members_are_refused(own_registry, name):
    """The grammar and the reserved names are in the message."""
    with pytest.raises(ConfigError, match=rf"task name '{name}': expected lower case letters, .*"):
        register_task(make_task(name=name))
    assert task_names() == BUILT_IN


def test_a_name_that_is_taken_is_refused(own_registry):
    """A user's class cannot stand in for another by accident."""
    with pytest.raises(ConfigError, match=r"task name 'vqa' is taken by VQATask\(\)"):
        register_task(make_task(name="vqa"))


def test_a_column_that_is_taken_is_refused(own_registry):
    """Index columns are shared by all tasks."""
    with pytest.raises(ConfigError, match="the index column 'num_objects' is taken by Detection"):
        register_task(make_task(fact_kinds={"num_objects": "int"}))


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        (None, ("a", "b", "c")),
        ("all", ("a", "b", "c")),
        ("complete", ("a", "b", "c")),
        ("b", ("b",)),
        (["c", "a"], ("c", "a")),
        ((), ()),
    ],
)
def test_what_a_user_gives_for_tasks(tasks, expected):
    """One, several in their order, or all that are available, sorted."""
    assert resolve_tasks(tasks, ["c", "a", "b"]) == expected


def test_a_task_that_is_not_available_is_refused():
    """The message says what is."""
    with pytest.raises(UnknownTaskError, match="task 'x' is not among those available here: a, b"):
        resolve_tasks(["a", "x"], ["b", "a"])
    with pytest.raises(UnknownTaskError, match="available here: none"):
        resolve_tasks("x", [])


def test_columns_that_every_index_has_are_refused(own_registry):
    """A fact of that name would make the index unusable."""
    from vrs_wds.shard.index_table import SAMPLE_COLUMNS
    from vrs_wds.tasks.registry import INDEX_COLUMNS

    assert set(SAMPLE_COLUMNS) == INDEX_COLUMNS
    for column in ("width", "vqa_count", "png:size"):

        class Clashing(PointsTask):
            name = "clashing"
            fact_kinds: ClassVar = {column: "int"}

        with pytest.raises(ConfigError, match=f"the index column '{column}' is one that"):
            register_task(Clashing())


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (
            PointsTask,
            r"subclass, got <class .*PointsTask'>\. Write register_task\(PointsTask\(\)\)",
        ),
        ("points", "register_task: expected an instance of .*, got 'points'"),
        (make_task(name=None), r"OtherTask\.name: expected a text, got None"),
        (make_task(name="x", fact_kinds=["a"]), "OtherTask.fact_kinds: expected a dict"),
        (
            make_task(name="x", fact_kinds={"a": "float"}),
            "task 'x': fact_kinds: .* one of int, str, strings, got 'a': 'float'",
        ),
        (make_task(name="x", fact_kinds={3: "int"}), "task 'x': fact_kinds: .*, got 3: 'int'"),
        (make_task(name="x", schema=dict), "schema: expected a subclass of .*, got <class 'dict'>"),
        (make_task(name="x", schema=Points(())), r"msgspec\.Struct, got Points\(points=\(\)\)"),
    ],
)
def test_what_is_no_task_is_refused(own_registry, task, message):
    """Here, and not with the first sample that is written."""
    with pytest.raises(ConfigError, match=message):
        register_task(task)
    assert task_names() == BUILT_IN
