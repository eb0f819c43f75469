"""Small samples, raw and decoded, whose pixels say where they are from."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from vrs_wds.images.encode import encode_rgb
from vrs_wds.pipeline.decode import Decode
from vrs_wds.tasks.meta import Meta
from vrs_wds.tasks.registry import get_task
from vrs_wds.tasks.sidecars import encode_meta, encode_sidecar

MakeSample = Callable[..., dict[str, Any]]


def make_picture(size_wh: tuple[int, int]) -> np.ndarray:
    """Make a picture whose pixel at (x, y) is (x, y, 200)."""
    x, y = np.meshgrid(np.arange(size_wh[0]), np.arange(size_wh[1]))
    return np.stack([x, y, np.full_like(x, 200)], axis=-1).astype(np.uint8)


def make_raw_sample(
    key: str = "a", size_wh: tuple[int, int] = (20, 10), **sidecars: Any
) -> dict[str, Any]:
    """Make a sample as a stream gives it; sidecars are plain values by task, or None."""
    members = {
        f"{task}.json": encode_sidecar(get_task(task), value, where=key)[1]
        for task, value in sidecars.items()
        if value is not None
    }
    meta = Meta(name=f"name of {key}", width=size_wh[0], height=size_wh[1])
    return {
        "__key__": key,
        "__url__": "train-000007.tar",
        **members,
        "meta.json": encode_meta(meta, where=key),
        "png": encode_rgb(make_picture(size_wh), "png"),
    }


def make_decoded_sample(
    key: str = "a", size_wh: tuple[int, int] = (20, 10), **sidecars: Any
) -> dict[str, Any]:
    """Make a sample as `Decode()` gives it."""
    (decoded,) = Decode().apply(make_raw_sample(key, size_wh, **sidecars))
    return decoded


@pytest.fixture(scope="session")
def picture() -> Callable[[tuple[int, int]], np.ndarray]:
    """Return `make_picture`."""
    return make_picture


@pytest.fixture(scope="session")
def raw_sample() -> MakeSample:
    """Return `make_raw_sample`."""
    return make_raw_sample


@pytest.fixture(scope="session")
def decoded_sample() -> MakeSample:
    """Return `make_decoded_sample`."""
    return make_decoded_sample


@pytest.fixture(scope="session")
def detection() -> Callable[..., Mapping[str, Any]]:
    """Return a function from boxes to a detection sidecar; labels are `ship` and `plane`."""

    def make(*boxes: Any, corners: Any = None) -> Mapping[str, Any]:
        return {
            "objects": [
                {
                    "object_id": 10 + number,
                    "label": ("ship", "plane")[number % 2],
                    "box": list(box),
                    "corners": corners,
                }
                for number, box in enumerate(boxes)
            ]
        }

    return make


@pytest.fixture(scope="session")
def grounding() -> Callable[..., Mapping[str, Any]]:
    """Return a function from boxes to a grounding sidecar."""

    def make(*boxes: Any) -> Mapping[str, Any]:
        return {
            "expressions": [
                {"text": f"expression {number}", "box": list(box), "label": "ship"}
                for number, box in enumerate(boxes)
            ]
        }

    return make
