"""The exception tree."""

import inspect
import pickle
import re

import pytest

from vrs_wds import errors

CLASSES = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if kind.__module__ == errors.__name__
]


def test_the_drawing_shows_every_error_and_its_builtin() -> None:
    """The tree in the docstring names each class with its builtin base, and no other."""
    drawn = dict(re.findall(r"[├└]── (\w+)(?: \((\w+)\))?", errors.__doc__ or ""))
    drawn["VrsWdsError"] = ""
    builtin = {
        kind.__name__: next((b.__name__ for b in kind.__bases__ if b.__module__ == "builtins"), "")
        for kind in CLASSES
    }
    builtin["VrsWdsError"] = ""

    assert drawn == builtin


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_errors_survive_the_way_from_a_worker(kind: type[Exception]) -> None:
    """One text in, the same text out, after pickling too."""
    error = pickle.loads(pickle.dumps(kind("train-000000.tar: sample 'a'")))

    assert type(error) is kind
    assert str(error) == "train-000000.tar: sample 'a'"
    assert isinstance(error, errors.VrsWdsError)
