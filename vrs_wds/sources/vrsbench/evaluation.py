"""The records of `VRSBench_EVAL_Cap.json`, `_referring.json` and `_vqa.json`, as they are."""

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from vrs_wds.sources.vrsbench.json_text import decode_json
from vrs_wds.sources.vrsbench.raw import Scalar


class EvalCaption(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A record of `VRSBench_EVAL_Cap.json`."""

    image_id: str
    """File name of the picture, with its extension."""
    ground_truth: str
    question: str = ""
    dataset: str = ""
    question_id: int | str = ""
    type: str = ""


class EvalReferring(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A record of `VRSBench_EVAL_referring.json`."""

    image_id: str
    """File name of the picture, with its extension."""
    question: str
    """The expression."""
    ground_truth: str
    """`{<x1><y1><x2><y2>}` in percent: of `obj_corner`, truncated and clipped."""
    obj_corner: Any = None
    """Eight fractions of the picture's sides."""
    obj_cls: str | None = None
    obj_ids: list[int | str] | None = None
    """Not the `obj_id` of the annotations: `[0]` in every published record that we know."""
    unique: bool | None = None
    is_unique: bool | None = None
    """What result files call `unique`."""
    dataset: str = ""
    question_id: int | str = ""
    type: str = ""
    size_group: str | None = None


class EvalVQA(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A record of `VRSBench_EVAL_vqa.json`."""

    image_id: str
    """File name of the picture, with its extension."""
    question: str
    ground_truth: Scalar | None
    """The answer."""
    dataset: str = ""
    question_id: int | str = ""
    type: str | None = None


def read_eval_captions(path: str | Path) -> list[EvalCaption]:
    """Read `VRSBench_EVAL_Cap.json`; `SourceError` if it is not such a file."""
    return _read(path, EvalCaption)


def read_eval_referring(path: str | Path) -> list[EvalReferring]:
    """Read `VRSBench_EVAL_referring.json`; `SourceError` if it is not such a file."""
    return _read(path, EvalReferring)


def read_eval_vqa(path: str | Path) -> list[EvalVQA]:
    """Read `VRSBench_EVAL_vqa.json`; `SourceError` if it is not such a file."""
    return _read(path, EvalVQA)


RecordT = TypeVar("RecordT", bound=msgspec.Struct)


def _read(path: str | Path, schema: type[RecordT]) -> list[RecordT]:
    return decode_json(Path(path).read_bytes(), list[schema], where=str(path))  # type: ignore[valid-type]  # a type made at run time
