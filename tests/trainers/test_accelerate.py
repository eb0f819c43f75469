"""Accelerate: nothing is halved, and its checkpoints hold the loader's place."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("accelerate", reason="ACCELERATE MISSING: pip install -e '.[test]'")


@pytest.mark.slow
def test_two_ranks(
    tmp_path: Path, uneven_root: Path, all_keys: list[str], launch: Any, read_ranks: Any
) -> None:
    """Each sample once an epoch over both ranks, prepared or not, and resumed."""
    done = launch("accelerated.py", 2, uneven_root, tmp_path)
    assert done.returncode == 0, done.stdout
    (first,), (second,) = read_ranks(tmp_path, 2)

    assert first["left_alone"]
    assert second["left_alone"]
    assert keys(first["first"], second["first"]) == all_keys
    assert len(first["first"]) == len(second["first"]) == 3
    assert first["rest"] == first["resumed"]
    assert second["rest"] == second["resumed"]
    parts = [rank[part] for rank in (first, second) for part in ("second", "rest")]
    assert keys(*parts) == all_keys
    assert first["second"] + first["rest"] != first["first"]
    for way in ("dispatch False", "dispatch True", "map"):
        # Accelerate fills the last step up with a sample that was given before.
        assert len(first[way]) == len(second[way]) == 12, way
        assert len({*first[way], *second[way]}) == 23, way


def keys(*parts: list[list[str]]) -> list[str]:
    """Return the keys of the batches of several ranks, sorted."""
    return sorted(key for part in parts for batch in part for key in batch)
