"""Keeps results beside the benchmarks, and puts them into the page about performance.

    python -m benchmarks.publish RESULTS.json

`python -m benchmarks.stream --publish` does this at its end.
"""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.report import draw, markdown_report

PAGE = Path("docs/explanation/performance.md")
RESULTS = Path("benchmarks/results")
BEGIN = "<!-- results of benchmarks.stream: begin -->"
END = "<!-- results of benchmarks.stream: end -->"


def write_json(results: dict[str, Any], path: Path) -> None:
    """Write results, a line for each run."""
    runs = ",\n".join(json.dumps(_rounded(run)) for run in results["runs"])
    head = json.dumps({k: v for k, v in results.items() if k != "runs"}, indent=1)[:-2]
    path.write_text(f'{head},\n "runs": [\n{runs}\n]}}\n')


def publish(results: dict[str, Any], root: Path) -> None:
    """Write JSON and drawing named after the date, and replace the page's results."""
    folder = root / RESULTS
    folder.mkdir(exist_ok=True)
    name = f"{results['date']}-stream"
    write_json(results, folder / f"{name}.json")
    draw(results, folder / f"{name}.png")
    page = (root / PAGE).read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    picture = f"![Share of the limit of each method](../../{RESULTS}/{name}.png)"
    body = f"{BEGIN}\n\n{markdown_report(results)}\n\n{picture}\n\n{END}"
    (root / PAGE).write_text(before + body + after)


def _rounded(run: dict[str, Any]) -> dict[str, Any]:
    return {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in run.items()}


if __name__ == "__main__":
    publish(json.loads(Path(sys.argv[1]).read_text()), Path(__file__).parents[1])
