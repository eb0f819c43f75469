"""Ray tasks write one split."""

from pathlib import Path
from typing import Any

import pytest

RAY = {
    "ENGINE": "ray",
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@pytest.mark.parametrize("number", [-1, 130])
def test_ray_gives_the_bytes_of_one_process(
    tmp_path: Path, start: Any, contents: Any, undisturbed: dict[str, bytes], number: int
) -> None:
    """Also where a worker is killed in its work: Ray runs its task again."""
    flag = tmp_path / "killed"
    process = start(tmp_path / "out", **RAY, DIE_AT=str(number), FLAG=str(flag))
    output, error = process.communicate(timeout=180)

    assert process.returncode == 0, error
    assert "400" in output.split()
    assert flag.exists() == (number >= 0)
    assert contents(tmp_path / "out") == undisturbed


def test_an_error_in_a_task_ends_the_write(tmp_path: Path, start: Any) -> None:
    """It is raised here as it was there."""
    process = start(tmp_path / "out", **RAY, FAIL_AT="130")
    _, error = process.communicate(timeout=180)
    assert "a bad place" in error
    assert process.returncode == 1
    assert not (tmp_path / "out" / "train.json").exists()
