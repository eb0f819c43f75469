"""barecat: the six files of one sample after another, shuffled, by path."""

from collections.abc import Iterator

import barecat
import numpy as np

from benchmarks.methods.measuring import Given, Job, Passes, run
from benchmarks.methods.samples import read_samples


def prepare(job: Job) -> None:
    """Write an archive of all members."""
    job.copy_of("barecat_random").mkdir(exist_ok=True)
    with barecat.Barecat(str(job.copy_of("barecat_random") / "all"), readonly=False) as archive:
        for key, members in read_samples(job):
            for extension, data in members.items():
                archive[f"{key}.{extension}"] = data


def make(job: Job) -> Passes:
    """Whole samples in a shuffled order."""
    archive = barecat.Barecat(str(job.copy_of("barecat_random") / "all"), readonly=True)
    paths: dict[str, list[str]] = {}
    for path in archive:
        paths.setdefault(path.partition(".")[0], []).append(path)
    groups = list(paths.values())
    order = np.random.default_rng(0).permutation(len(groups)).tolist()

    def passes() -> Iterator[Given]:
        for number in order:
            yield Given(1, members=[archive[path] for path in groups[number]])

    return passes


if __name__ == "__main__":
    run(make, prepare)
