"""Sidecars: to bytes and back, checked, with errors that say where."""

import enum
import re
from collections import OrderedDict
from decimal import Decimal
from types import MappingProxyType

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vrs_wds.errors import SampleError, SidecarError
from vrs_wds.tasks import sidecars
from vrs_wds.tasks.captioning import Captioning
from vrs_wds.tasks.classification import Classification
from vrs_wds.tasks.detection import DetectedObject, Detection
from vrs_wds.tasks.grounding import Expression, Grounding
from vrs_wds.tasks.meta import Meta
from vrs_wds.tasks.registry import get_task, task_names
from vrs_wds.tasks.sidecars import (
    SidecarParser,
    decode_meta,
    decode_sidecar,
    encode_meta,
    encode_sidecar,
)
from vrs_wds.tasks.task import extension_of
from vrs_wds.tasks.vqa import VQA, QAPair

# JSON is UTF-8, which has no lone surrogates.
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
NUMBERS = st.floats(-1e6, 1e6)
BOXES = st.tuples(*[NUMBERS] * 4).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)
CORNERS = st.none() | st.tuples(*[NUMBERS] * 8)
ATTRIBUTES = st.dictionaries(
    TEXTS, TEXTS | st.booleans() | st.integers(-9, 9) | NUMBERS, max_size=3
)
OBJECTS = st.builds(
    DetectedObject,
    object_id=st.integers(0, 10**9),
    label=TEXTS,
    box=BOXES,
    corners=CORNERS,
    attributes=ATTRIBUTES,
)
EXPRESSIONS = st.builds(
    Expression,
    text=TEXTS.filter(str.strip),
    box=BOXES,
    corners=CORNERS,
    label=TEXTS,
    object_ids=st.lists(st.integers(0, 99), max_size=3).map(tuple),
    is_unique=st.none() | st.booleans(),
)
QA_PAIRS = st.builds(QAPair, question=TEXTS, answer=TEXTS, question_id=TEXTS, type=TEXTS)


def tuples_of(values, **options):
    """Draw tuples of up to four."""
    return st.lists(values, max_size=4, **options).map(tuple)


SIDECARS = {
    "captioning": st.builds(Captioning, captions=tuples_of(TEXTS)),
    "classification": st.builds(
        Classification, label=TEXTS, labels=tuples_of(TEXTS), scene=st.none() | TEXTS
    ),
    "detection": st.builds(
        Detection, objects=tuples_of(OBJECTS, unique_by=lambda item: item.object_id)
    ),
    "grounding": st.builds(Grounding, expressions=tuples_of(EXPRESSIONS)),
    "vqa": st.builds(VQA, qa_pairs=tuples_of(QA_PAIRS)),
}


def box_of(**changes):
    """Make plain values of an object."""
    return {"object_id": 1, "label": "ship", "box": [1, 2, 3, 4], **changes}


@pytest.mark.parametrize("name", task_names())
@given(data=st.data())
def test_sidecars_come_back(name, data):
    """What is written is what is read, and equal values give equal bytes."""
    task = get_task(name)
    value = data.draw(SIDECARS[name])
    sidecar, encoded = encode_sidecar(task, value, where="a")

    assert sidecar == value
    assert decode_sidecar(task, encoded, where="a") == value
    plain = msgspec.to_builtins(value)
    assert encode_sidecar(task, plain, where="a") == (value, encoded)


@pytest.mark.parametrize("name", task_names())
def test_an_empty_sidecar_comes_back(name):
    """Every task can say that there is nothing."""
    task = get_task(name)
    sidecar, data = encode_sidecar(task, task.empty(), where="a")
    assert decode_sidecar(task, data, where="a") == sidecar == task.empty()


@given(
    st.builds(
        Meta,
        name=TEXTS,
        width=st.integers(1, 10**6),
        height=st.integers(1, 10**6),
        extra=st.dictionaries(TEXTS, st.none() | TEXTS | st.integers(-9, 9) | st.lists(TEXTS)),
    )
)
def test_meta_comes_back(meta):
    """With whatever JSON holds in `extra`."""
    assert decode_meta(encode_meta(meta, where="a"), where="a") == meta


class Letter(enum.StrEnum):
    """A text that is more than a text."""

    A = "a"


class Text(str):
    """A text of somebody's own."""

    __slots__ = ()


class Words:
    """Not a collection, but it becomes one."""

    def tolist(self) -> list[str]:
        """Return words."""
        return ["b", "a"]


MANY = [f"word {i}" for i in range(50)]
BOX = [1.0, 2.0, 3.0, 4.0]


def _detection(**fields):
    return {"objects": [{"object_id": 1, "label": "a", "box": BOX, **fields}]}


@pytest.mark.parametrize(
    ("task", "value"),
    [
        ("captioning", {"captions": set(MANY)}),
        ("captioning", {"captions": frozenset(MANY)}),
        ("captioning", Captioning(set(MANY))),
        ("captioning", Captioning(["a", "b"])),
        ("captioning", {"captions": (Letter.A, "b")}),
        ("captioning", Captioning((Letter.A,))),
        ("captioning", {"captions": np.array(["a", "b"])}),
        ("captioning", {"captions": Words()}),
        ("captioning", MappingProxyType({"captions": ["a"]})),
        ("captioning", {"captions": [Text("a")]}),
        ("captioning", {"captions": [np.str_("a")]}),
        ("captioning", Captioning((Text("a"),))),
        ("captioning", {"captions": [b"a"]}),
        ("captioning", {"captions": "a"}),
        ("captioning", {"captions": ["a"], "more": 1, "other": 2}),
        ("captioning", Captioning((None,))),
        ("captioning", VQA(qa_pairs=())),
        ("detection", _detection(box=np.array(BOX))),
        ("detection", _detection(box=torch.tensor(BOX))),
        ("detection", _detection(box=[np.float64(x) for x in BOX])),
        ("detection", _detection(box=[Decimal(x) for x in BOX])),
        ("detection", _detection(box={1.0})),
        ("detection", _detection(object_id=np.array([1])[0])),
        ("detection", _detection(object_id=True)),
        ("detection", _detection(attributes=OrderedDict(b=1, a=2))),
        ("detection", _detection(attributes={"a": Decimal(1)})),
        ("detection", _detection(attributes={"a": Letter.A})),
        ("detection", _detection(attributes={Letter.A: 1})),
        ("detection", _detection(attributes={1: 1})),
        ("detection", _detection(attributes={"a": float("nan")})),
        ("detection", {"objects": [DetectedObject(object_id=1, label="a", box=tuple(BOX))]}),
        ("detection", Detection([DetectedObject(object_id=1, label="a", box=BOX)])),
        ("detection", Detection((DetectedObject(object_id=1.5, label="a", box=BOX),))),
        ("detection", {"wrong": 1, "also": 2}),
        ("grounding", {"expressions": [{"text": "a", "box": BOX, "object_ids": {3, 1, 2}}]}),
        ("vqa", {"qa_pairs": [{"question": "a", "answer": 1}, {"question": 2, "answer": "b"}]}),
        ("vqa", [1]),
        ("vqa", None),
    ],
)
def test_values_are_taken_apart_in_order(task, value):
    """Whatever the way: the same bytes, or the same refusal, as with sorted sets and dicts."""
    schema = get_task(task).schema
    try:
        plain = msgspec.to_builtins(value, enc_hook=sidecars._plain, order="deterministic")
        sidecar = msgspec.convert(plain, schema)
        get_task(task).check(sidecar)
        expected = msgspec.json.encode(sidecar, order="deterministic")
        assert b"null" not in expected or "corners" in expected.decode()
    except (ValueError, TypeError) as error:
        text = str(error).partition(" - at")[0].rstrip(".")
        with pytest.raises(SidecarError, match=re.escape(text)):
            encode_sidecar(get_task(task), value, where="x")
        return
    if "nan" in repr(sidecar):
        with pytest.raises(SidecarError, match="not JSON compliant"):
            encode_sidecar(get_task(task), value, where="x")
        return
    assert encode_sidecar(get_task(task), value, where="x") == (sidecar, expected)


def test_the_bytes_do_not_depend_on_the_order_of_keys():
    """Fields have their declared order and dicts are sorted: same content, same bytes."""
    task = get_task("detection")
    one = {"objects": [box_of(attributes={"size": "large", "color": "red"})]}
    other = {
        "objects": [dict(reversed(box_of(attributes={"color": "red", "size": "large"}).items()))]
    }
    data = encode_sidecar(task, one, where="a")[1]
    assert data == encode_sidecar(task, other, where="a")[1]
    assert data == (
        b'{"objects":[{"object_id":1,"label":"ship","box":[1.0,2.0,3.0,4.0],"corners":null,'
        b'"attributes":{"color":"red","size":"large"}}]}'
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("captioning", {"captions": [1]}, r"field 'captions\[0\]': Expected `str`, got `int`"),
        ("captioning", {}, "Object missing required field `captions`"),
        ("captioning", {"captions": [], "text": ""}, "unknown field `text`"),
        ("classification", {"label": None}, "field 'label': Expected `str`, got `null`"),
        ("detection", {"objects": [box_of(box=[1, 2, 3])]}, r"'objects\[0\].box': .*length 4"),
        (
            "detection",
            {"objects": [box_of(box=[3, 2, 1, 4])]},
            r"objects\[0\]\.box: expected x_min, y_min, x_max, y_max in pixels, got \(3\.0, 2\.0,",
        ),
        (
            "detection",
            {"objects": [box_of(box=[0, 0, float("nan"), 4])]},
            r"objects\[0\]: expected finite coordinates, got box \(0\.0, 0\.0, nan, 4\.0\)",
        ),
        (
            "detection",
            {"objects": [box_of(corners=[0] * 7 + [float("inf")])]},
            r"objects\[0\]: expected finite coordinates, .* inf\)",
        ),
        (
            "detection",
            {"objects": [box_of(), box_of()]},
            r"objects\[1\]\.object_id: 1 is given twice in this image",
        ),
        (
            "grounding",
            {"expressions": [{"text": " ", "box": [0, 0, 1, 1]}]},
            r"expressions\[0\]\.text: expected a text, got ' '",
        ),
        ("vqa", {"qa_pairs": [{"question": "?", "answer": 3}]}, r"field 'qa_pairs\[0\]\.answer': "),
        ("vqa", [], "Expected `object`, got `array`"),
        ("vqa", object(), "sidecar of task 'vqa'"),
    ],
)
def test_what_does_not_fit_is_not_written(name, value, message):
    """The message names place, task and field, and where the schema is."""
    with pytest.raises(SidecarError, match=message) as caught:
        encode_sidecar(get_task(name), value, where="train-000000.tar: sample 'a'")
    text = str(caught.value)
    assert text.startswith(f"train-000000.tar: sample 'a': sidecar of task '{name}': ")
    assert text.endswith(". The schema is in docs/reference/format.md.")


def test_a_struct_that_breaks_its_own_types_is_not_written():
    """Structs are not checked when they are made, so they are when they are written."""
    broken = Captioning(captions=("fine", 3))
    with pytest.raises(SidecarError, match=r"field 'captions\[1\]': Expected `str`, got `int`"):
        encode_sidecar(get_task("captioning"), broken, where="a")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "Input data was truncated"),
        (b'{"captions": ["a"', "Input data was truncated"),
        (b'{"captions": ["\xff"]}', "Invalid UTF-8|invalid"),
        (b'{"captions": "a"}', "field 'captions': Expected `array`, got `str`"),
        (b'{"captions": []} x', "trailing characters"),
        (b"null", "Expected `object`, got `null`"),
        (b'{"captions": [' + b"[" * 100_000, "sidecar of task 'captioning'"),
    ],
)
def test_bytes_that_do_not_fit_are_bad_data(data, message):
    """They are a `SampleError`: a fault policy may skip the sample."""
    with pytest.raises(SidecarError, match=message) as caught:
        decode_sidecar(get_task("captioning"), data, where="a.tar: sample 'k'")
    assert isinstance(caught.value, SampleError)
    assert str(caught.value).startswith("a.tar: sample 'k': sidecar of task 'captioning': ")


def test_deep_nesting_is_bad_data():
    """`extra` may hold any JSON, but not any depth."""
    data = b'{"name": "a", "width": 1, "height": 1, "extra": {"x": ' + b"[" * 100_000
    with pytest.raises(SidecarError, match="sidecar of task 'meta'"):
        decode_meta(data, where="a")


def test_meta_that_json_cannot_hold_is_not_written():
    """`extra` takes JSON values only."""
    meta = Meta(name="a", width=1, height=1, extra={"x": object()})
    with pytest.raises(SidecarError, match=r"^here: sidecar of task 'meta': .*object"):
        encode_meta(meta, where="here")


def test_large_sidecars_are_refused_both_ways(monkeypatch):
    """The limit is in the message."""
    monkeypatch.setattr(sidecars, "MAX_SIDECAR_BYTES", 1000)
    task = get_task("captioning")
    message = r"a: sidecar of task 'captioning': expected at most 1,000 bytes, got 1,017\."
    with pytest.raises(SidecarError, match=message):
        encode_sidecar(task, {"captions": ["x" * 1000]}, where="a")
    with pytest.raises(SidecarError, match=r"expected at most 1,000 bytes, got 1,001\."):
        decode_sidecar(task, b" " * 1001, where="a")
    with pytest.raises(SidecarError, match=r"^u: sample 'k': sidecar of task 'captioning': exp"):
        SidecarParser([task]).parse({"captioning.json": b" " * 1001}, "k", "u")


@pytest.mark.parametrize("name", task_names())
def test_extensions_are_the_tasks_names(name):
    """`<task>.json`."""
    assert extension_of(name) == f"{name}.json"
