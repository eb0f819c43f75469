"""From runs to numbers: pure functions over the results as they lie in the JSON."""

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from benchmarks.rows import LIMIT, Row

Run = dict[str, Any]
"""What a method printed, with `row`, `method` and `round`."""


@dataclass(frozen=True, slots=True)
class Line:
    """One method of a row, over all rounds."""

    method: str
    median: float
    """Samples a second."""
    best: float
    spread: float
    """Largest less smallest, over the median."""
    megabytes: float
    """A second, at the median."""
    cpu: float
    """Processor seconds for 1,000 samples, with children's; the median."""
    peak_mb: float
    """With children's; the largest."""
    first_batch: float
    """Seconds, with opening; the median."""
    share: float | None
    """Of the limit of the same round; the median."""
    cpu_share: float | None
    """The limit's processor seconds over this method's; the median."""
    ours: float | None
    """How many times as fast ours was in the same round; the median."""
    ours_cpu: float | None
    """This method's processor seconds over ours; the median."""


def rate(run: Run) -> float:
    """Return samples a second."""
    return float(run["samples"] / run["seconds"])


def cpu(run: Run) -> float:
    """Return processor seconds for 1,000 samples, never nothing."""
    return max(float(run["cpu_seconds_per_1000"]), 1e-6)


def summarise(row: Row, runs: Iterable[Run]) -> list[Line]:
    """Return a line for each method that ran, in the row's order."""
    mine = [run for run in runs if run["row"] == row.name and "samples" in run]
    ours = next((method.name for method in row.methods if method.peer == "ours"), "")
    lines = []
    for method in row.methods:
        some = [run for run in mine if run["method"] == method.name]
        if not some:
            continue
        rates = [rate(run) for run in some]
        median = statistics.median(rates)
        each = statistics.median(run["bytes"] / run["samples"] for run in some)
        lines.append(
            Line(
                method=method.name,
                median=median,
                best=max(rates),
                spread=(max(rates) - min(rates)) / median,
                megabytes=median * each / 1e6,
                cpu=statistics.median(map(cpu, some)),
                peak_mb=max(run["tree_mb"] for run in some),
                first_batch=statistics.median(run["first_batch_seconds"] for run in some),
                share=_ratio(mine, method.name, LIMIT, rate),
                cpu_share=_ratio(mine, LIMIT, method.name, cpu) if row.limit_uses_cpu else None,
                ours=_ratio(mine, ours, method.name, rate),
                ours_cpu=_ratio(mine, method.name, ours, cpu),
            )
        )
    return lines


def _ratio(runs: list[Run], above: str, below: str, value: Callable[[Run], float]) -> float | None:
    """Return the median, over the rounds, of one method's value over another's."""
    by_round = {(run["round"], run["method"]): value(run) for run in runs}
    ratios = [
        by_round[number, above] / by_round[number, below]
        for number in sorted({run["round"] for run in runs})
        if (number, above) in by_round and (number, below) in by_round
    ]
    return statistics.median(ratios) if ratios else None


@dataclass(frozen=True, slots=True)
class Verdict:
    """One target of a row."""

    row: str
    against: str
    target: float
    found: float
    by_cpu: float | None
    """The same by processor seconds, which other processes disturb less."""
    at_most: bool = False

    @property
    def is_met(self) -> bool:
        """Whether wall time meets the target."""
        return self.found <= self.target if self.at_most else self.found >= self.target


def judge(row: Row, runs: list[Run]) -> list[Verdict]:
    """Compare what was found with the row's targets."""
    if row.name == "gil":
        return [
            Verdict(row.name, name, target, statistics.median(shares), None)
            for name, target in row.targets.items()
            if (shares := [run["share"] for run in runs if run.get("method") == name])
        ]
    lines = {line.method: line for line in summarise(row, runs)}
    ours = next((lines[m.name] for m in row.methods if m.peer == "ours" and m.name in lines), None)
    verdicts = []
    for name, target in row.targets.items():
        if ours is None or name not in lines:
            continue
        found, by_cpu = lines[name].ours, lines[name].ours_cpu
        if name == LIMIT and not row.limit_uses_cpu:
            by_cpu = None
        if found is not None:
            verdicts.append(Verdict(row.name, name, target, found, by_cpu))
    if row.first_batch_target and ours is not None and LIMIT in lines:
        ratio = ours.first_batch / lines[LIMIT].first_batch
        name = "first batch, in times of one range"
        verdicts.append(Verdict(row.name, name, row.first_batch_target, ratio, None, at_most=True))
    return verdicts
