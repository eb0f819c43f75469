"""What is looked up once for many samples does not change what becomes of one."""

from typing import Any, ClassVar

import msgspec
import numpy as np
import pytest

from vrs_wds.errors import DecodeError
from vrs_wds.images.encode import encode_rgb
from vrs_wds.images.header import read_header
from vrs_wds.pipeline.decode import Decode
from vrs_wds.tasks import registry
from vrs_wds.tasks.classification import ClassificationTask

PICTURE = encode_rgb(np.zeros((8, 16, 3), np.uint8), "jpeg")
WRONG_SIZE = b'{"name": "a", "width": 3, "height": 8}'


class Other(msgspec.Struct):
    """One of two."""


class Another(msgspec.Struct):
    """The other one."""


class Odd(msgspec.Struct):
    """A Struct that msgspec cannot parse: it could not tell the two apart."""

    value: Other | Another


class OddTask(ClassificationTask):
    """A task that is registered, and that no sample has anything for."""

    name: ClassVar[str] = "odd"
    schema: ClassVar[Any] = Odd


def test_a_task_that_no_sample_has_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its schema is looked at with its first sidecar."""
    monkeypatch.setattr(registry, "_TASKS", {**registry._TASKS, "odd": OddTask()})
    parsed = Decode().parse({"jpg": PICTURE})
    assert parsed["odd"] is None
    with pytest.raises(TypeError, match="multiple Struct types"):
        Decode().parse({"jpg": PICTURE, "odd.json": b'{"value": 1}'})


def test_a_task_that_was_registered_meanwhile_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the same stage, which has seen samples before."""
    decode = Decode()
    assert "odd" not in decode.parse({"jpg": PICTURE})
    monkeypatch.setattr(registry, "_TASKS", {**registry._TASKS, "odd": OddTask()})
    assert "odd" in decode.parse({"jpg": PICTURE})


def test_a_member_that_is_none_is_as_one_that_is_not_there() -> None:
    """The member that is no bytes is named, and not that one."""
    assert Decode().parse({"jpg": PICTURE, "meta.json": None})["meta"].size_wh == (16, 8)
    with pytest.raises(TypeError, match=r"the bytes of member 'vqa.json', got dict"):
        Decode().parse({"jpg": PICTURE, "meta.json": None, "vqa.json": {}})
    with pytest.raises(DecodeError, match="0 bytes"):
        Decode().parse({"jpg": None})


def test_a_wrong_size_is_said_before_what_a_sidecar_lacks() -> None:
    """It is a bad sample, which may be skipped, whatever its sidecars are."""
    for text in ({}, b"{"):
        with pytest.raises(DecodeError, match=r"meta.json says 3 x 8 pixels, the image has 16 x 8"):
            Decode().parse({"jpg": PICTURE, "meta.json": WRONG_SIZE, "vqa.json": text})


def test_views_of_files_are_read_whatever_was_read_before() -> None:
    """Of a PNG, after a JPEG."""
    data = encode_rgb(np.zeros((8, 16, 3), np.uint8), "png")
    assert read_header(PICTURE, where="").format == "jpeg"
    assert read_header(memoryview(data), where="").width == 16  # type: ignore[arg-type]
