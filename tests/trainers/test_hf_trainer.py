"""Transformers' Trainer: each sample once an epoch, and exact resume."""

import runpy
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason="TRANSFORMERS MISSING: pip install -e '.[test]'")

SCRIPT = Path(__file__).parent / "scripts" / "hf_trainer.py"


def epochs_of(steps: list[list[str]]) -> list[list[str]]:
    """Return the keys of each epoch of three steps, sorted."""
    return [sorted(chain(*steps[start : start + 3])) for start in range(0, len(steps), 3)]


PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "trainers.md"


def test_the_page_shows_what_is_tested() -> None:
    """The recipe is the code that runs here, word for word."""
    code = SCRIPT.read_text(encoding="utf-8")
    recipe = code[code.index("class SaveLoader") : code.index("class Regression")]

    assert recipe.strip() in PAGE.read_text(encoding="utf-8")


@pytest.mark.slow
def test_one_process_and_two(
    tmp_path: Path, uneven_root: Path, all_keys: list[str], launch: Any, read_ranks: Any
) -> None:
    """Both give the same global batches; a checkpoint of two goes on with one, and of one."""
    run = runpy.run_path(str(SCRIPT))["run"]
    alone = run(str(uneven_root), tmp_path / "alone")
    steps = [sorted(step) for step in alone["steps"]]

    assert epochs_of(steps) == [all_keys, all_keys]
    assert steps[:3] != steps[3:]
    assert alone["epochs_told"] == [0, 1]
    assert alone["global_step"] == alone["max_steps"] == 6

    done = launch("hf_trainer.py", 2, uneven_root, tmp_path)
    assert done.returncode == 0, done.stdout
    (first,), (second,) = read_ranks(tmp_path, 2)
    pairs = zip(first["steps"], second["steps"], strict=True)
    assert [sorted(a + b) for a, b in pairs] == steps

    for folder, stop in (("checkpoints", 2), ("alone", 3), ("alone", 4)):
        resumed = run(
            str(uneven_root), tmp_path / "more", resume=tmp_path / folder / f"checkpoint-{stop}"
        )
        assert [sorted(step) for step in resumed["steps"]] == steps[stop:], (folder, stop)
        assert resumed["global_step"] == 6
