"""Results as a table of text or Markdown, and as a drawing.

python -m benchmarks.report RESULTS.json [DRAWING.png]
"""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.rows import LIMIT, ROWS, Row
from benchmarks.summary import Line, judge, summarise

Results = dict[str, Any]

HEADINGS = (
    "method",
    "samples/s",
    "best",
    "spread",
    "MB/s",
    "CPU s / 1,000",
    "peak MB",
    "first batch s",
    "share of limit",
    "by CPU",
    "ours is",
    "by CPU",
)

_BUSY = 0.25
_WARNING = """Other processes had much of the machine: speeds, and ratios of them, are rough, and
the ratios by processor seconds are the ones to compare. `remote` and `gil` have no such ratios
against their limits, and need idle cores: a run like this cannot judge them."""
"""What is said where other processes kept more cores busy than that."""


def cells(line: Line) -> list[str]:
    """Return a line's cells."""
    return [
        line.method,
        f"{line.median:,.0f}",
        f"{line.best:,.0f}",
        f"{line.spread:.0%}",
        f"{line.megabytes:,.0f}",
        f"{line.cpu:.3g}",
        f"{line.peak_mb:,.0f}",
        f"{line.first_batch:.2f}",
        "" if line.share is None else f"{line.share:.2f}",
        "" if line.cpu_share is None else f"{line.cpu_share:.2f}",
        "" if line.ours is None else f"{line.ours:.2f} x",
        "" if line.ours_cpu is None else f"{line.ours_cpu:.2f} x",
    ]


def rows_with_results(results: Results) -> list[Row]:
    """Return the rows that something was measured of."""
    names = {run["row"] for run in results["runs"]}
    return [row for row in ROWS if row.name in names]


def text_report(results: Results) -> str:
    """Return everything as text."""
    lines = [heading(results)]
    for row in rows_with_results(results):
        lines += ["", f"{row.name}: {row.title}"]
        if table := [cells(line) for line in summarise(row, results["runs"])]:
            widths = [max(map(len, column)) for column in zip(HEADINGS, *table, strict=True)]
            for some in (HEADINGS, *table):
                padded = [c.rjust(w) for c, w in zip(some[1:], widths[1:], strict=True)]
                lines.append("  ".join([some[0].ljust(widths[0]), *padded]))
        lines += other_lines(row, results) + verdict_lines(row, results)
    lines += [f"MISSING {what}: {why}" for what, why in results["missing"].items()]
    return "\n".join(lines)


def markdown_report(results: Results) -> str:
    """Return everything as Markdown: targets first, then each row."""
    rows = rows_with_results(results)
    verdicts = [verdict for row in rows for verdict in judge(row, results["runs"])]
    met = sum(verdict.is_met for verdict in verdicts)
    lines = [heading(results), "", "### Targets", ""]
    lines += [f"{met} of {len(verdicts)} targets are met, {len(verdicts) - met} are not.", ""]
    lines += ["| row | ours against | target | found | by CPU | |", "| --- | --- |" + " ---: |" * 4]
    for verdict in verdicts:
        by_cpu = "" if verdict.by_cpu is None else f"{verdict.by_cpu:.2f}"
        sign = "<=" if verdict.at_most else ">="
        lines.append(
            f"| `{verdict.row}` | {verdict.against} | {sign} {verdict.target:g} | "
            f"{verdict.found:.2f} | {by_cpu} | {'met' if verdict.is_met else 'below'} |"
        )
    for row in rows:
        lines += ["", f"### `{row.name}`: {row.title}", ""]
        if table := [cells(line) for line in summarise(row, results["runs"])]:
            lines += [f"| {' | '.join(HEADINGS)} |", "| --- |" + " ---: |" * (len(HEADINGS) - 1)]
            lines += [f"| {' | '.join(some)} |" for some in table]
        if found := other_lines(row, results):
            lines += [""] * bool(table) + [f"- {text}" for text in found]
    lines += ["", "### Missing", ""] if results["missing"] else []
    lines += [f"- {what}: {why}" for what, why in results["missing"].items()]
    return "\n".join(lines)


def heading(results: Results) -> str:
    """Return when, where and how it was measured, and how far to trust it."""
    others = [run["others"] for run in results["runs"] if "others" in run]
    busy = sum(others) / len(others) if others else 0.0
    text = (
        f"{results['date']}, {results['machine']}, Python {results['python']}, commit "
        f"{results['commit']}, {results['rounds']} rounds; load average "
        f"{results['load_average']:.1f} at the start, other processes kept {busy:.1f} cores busy "
        f"on average. {results.get('note', '')}"
    ).rstrip()
    return f"{text}\n\n{_WARNING}" if busy > _BUSY else text


def other_lines(row: Row, results: Results) -> list[str]:
    """Return what rows other than those of speed found."""
    found = [run for run in results["runs"] if run["row"] == row.name and "samples" not in run]
    if row.name == "memory":
        return [
            f"{run['batches']:,} batches of {run['batch_mb']:.1f} MB: {run['before_mb']:,.0f} MB "
            f"before, {run['most_mb']:,.0f} MB at most, grown by {run['growth_mb']:.1f} MB from "
            f"the second to the last quarter; held {run['held']:.2f} times the "
            f"{run['must_mb']:.0f} MB that must be; libraries' code: {run['code_mb']:.0f} MB"
            for run in found
        ]
    if row.name == "gil":
        return [
            f"{run['method']}: for a batch the loader alone {run['loader']:.3f} s, the consumer "
            f"alone {run['consumer']:.3f} s, both {run['both']:.3f} s: {run['share']:.2f}"
            for run in found
        ]
    return []


def verdict_lines(row: Row, results: Results) -> list[str]:
    """Return a line for each target."""
    lines = []
    for verdict in judge(row, results["runs"]):
        state = "met" if verdict.is_met else "BELOW"
        by_cpu = "" if verdict.by_cpu is None else f" (by CPU {verdict.by_cpu:.2f})"
        least = "at most" if verdict.at_most else "at least"
        lines.append(
            f"target against {verdict.against}: {least} {verdict.target:g}, found "
            f"{verdict.found:.2f}{by_cpu}: {state}"
        )
    return lines


def draw(results: Results, path: Path) -> None:
    """Draw each method's share of its row's limit: by time as bars, by processor as dots."""
    from matplotlib.figure import Figure

    tables = [(row, summarise(row, results["runs"])) for row in rows_with_results(results)]
    tables = [(row, lines) for row, lines in tables if lines]
    heights = [len(lines) + 1 for _, lines in tables]
    figure = Figure(figsize=(8, 0.22 * sum(heights) + 0.5 * len(tables)), layout="constrained")
    axes = figure.subplots(len(tables), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, (row, lines) in zip(axes, tables, strict=True):
        for place, line in enumerate(reversed(lines)):
            share, by_cpu = line.share or 0.0, line.cpu_share
            color = "#1f4e79" if "ours" in line.method else "#8fb4d9"
            axis.barh(place, share, color="#c9c9c9" if line.method == LIMIT else color)
            if by_cpu is not None and line.method != LIMIT:
                axis.plot(by_cpu, place, "o", color="#d1762b", markersize=4)
            axis.annotate(
                f"{line.median:,.0f}/s",
                (max(share, by_cpu or 0.0), place),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
                fontsize=7,
            )
        axis.set_yticks(range(len(lines)), [line.method for line in reversed(lines)], fontsize=7)
        axis.set_title(f"{row.name}: {row.title}", fontsize=8, loc="left")
        axis.tick_params(labelsize=7)
        axis.margins(x=0.12)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(
        f"Share of the limit: bars by time, dots by processor seconds\n{results['date']}, "
        f"{results['machine']}, commit {results['commit']}",
        fontsize=8,
    )
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    loaded = json.loads(Path(sys.argv[1]).read_text())
    sys.stdout.write(text_report(loaded) + "\n")
    if sys.argv[2:]:
        draw(loaded, Path(sys.argv[2]))
