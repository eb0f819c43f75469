"""The public surface: short, sorted, documented; importing it is quick and loads no torch."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import vrs_wds


def modules_after(statement: str) -> set[str]:
    """Return the modules that a fresh interpreter has loaded after a statement."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


def test_all_is_sorted_and_is_what_is_exposed() -> None:
    """`__all__`, `dir()` and the imports for type checkers name the same things."""
    text = Path(vrs_wds.__file__).read_text(encoding="utf-8")
    for_checkers = set(re.findall(r"^    from \S+ import (\w+) as \1$", text, re.MULTILINE))

    assert list(vrs_wds.__all__) == sorted(vrs_wds.__all__)
    assert set(vrs_wds.__all__) == for_checkers | {"__version__"}
    assert dir(vrs_wds) == vrs_wds.__all__


@pytest.mark.parametrize("name", vrs_wds.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    """Each name can be imported, and says what it is."""
    value = getattr(vrs_wds, name)

    assert isinstance(value, str) or len(value.__doc__ or "") > 20


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As for any module."""
    with pytest.raises(AttributeError, match="no_such_name"):
        vrs_wds.no_such_name  # noqa: B018 - the access is the point


def test_importing_loads_no_torch() -> None:
    """Neither the package, nor the command line, nor writing and reading by index need it."""
    loaded = modules_after(
        "import vrs_wds, vrs_wds.cli.main\n"
        "vrs_wds.write_shards, vrs_wds.open_dataset, vrs_wds.VRSBenchSource, vrs_wds.verify"
    )

    assert "vrs_wds.writer.write" in loaded
    assert not {"torch", "webdataset", "datasets"} & loaded


def test_the_check_for_torch_can_fail() -> None:
    """The streaming part does load it."""
    assert "torch" in modules_after("import vrs_wds; vrs_wds.stream")
