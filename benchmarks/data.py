"""Makes the data of the rows below a cache folder, once for a kind, a number and a seed."""

import shutil
import subprocess
from pathlib import Path

import vrs_wds as vw
from benchmarks.corpus import make_samples
from benchmarks.methods.measuring import Job, job_to_json

NUM_SHARDS = 8
SEED = 0
_DONE = "complete"


def corpus_folder(folder: Path, kind: str, samples: int, seed: int = SEED) -> Path:
    """Return the folder of a corpus; write its `shards` if they are not there yet."""
    home = folder / "data" / f"{kind}-{samples}-{seed}"
    if not (home / _DONE).exists():
        shutil.rmtree(home, ignore_errors=True)
        config = vw.ShardConfig(shards=vw.ShardOptions(max_samples=-(-samples // NUM_SHARDS)))
        source = make_samples(kind, samples, seed)
        vw.write_shards(source, home / "shards", split="train", config=config, progress=False)
        (home / _DONE).touch()
    return home


def prepare_copy(python: str, module: str, job: Job, root: Path) -> None:
    """Let a peer write its copy of a corpus, by its own environment, if it has none yet.

    Raises:
        subprocess.CalledProcessError: if it fails; its `stderr` says why.
    """
    done = job.copy_of(f"{module}.{_DONE}")
    if not done.exists():
        shutil.rmtree(job.copy_of(module), ignore_errors=True)
        command = [python, "-m", f"benchmarks.methods.{module}", "--prepare", job_to_json(job)]
        subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)  # noqa: S603
        done.touch()
