"""The benchmarks run and say what they measured; how fast anything is, no test asks."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.publish import BEGIN, END, PAGE, RESULTS
from benchmarks.report import draw, markdown_report, text_report
from benchmarks.rows import LIMIT, ROWS, peers
from benchmarks.summary import judge, summarise

ROOT = Path(__file__).parents[2]


def make_run(row, method, round_number, seconds, cpu=1.0):
    """Return what a method prints that reads 100 samples of 10 bytes."""
    return {
        "row": row,
        "method": method,
        "round": round_number,
        "samples": 100,
        "seconds": seconds,
        "bytes": 1000,
        "cpu_seconds_per_1000": cpu,
        "first_batch_seconds": 0.5,
        "tree_mb": 64.0,
        "others": 0.0,
    }


RAW = next(row for row in ROWS if row.name == "raw")
RUNS = [
    make_run("raw", LIMIT, 0, 1.0),
    make_run("raw", "ours", 0, 2.0, cpu=4.0),
    make_run("raw", "webdataset", 0, 8.0, cpu=8.0),
    make_run("raw", LIMIT, 1, 10.0),  # a round in which the machine was busy
    make_run("raw", "ours", 1, 20.0, cpu=4.0),
    make_run("raw", "webdataset", 1, 80.0, cpu=8.0),
]


@pytest.mark.slow
def test_a_row_prints_its_table_and_its_json(tmp_path):
    """Of each method: samples, bytes, seconds, memory, and the share of the limit.

    A row that takes microseconds a sample has three rounds for one; methods take turns.
    """
    command = [sys.executable, "-m", "benchmarks.stream", "--rows", "raw", "--samples", "64"]
    command += ["--rounds", "1", "--peers", "none", "--min-seconds", "0.01"]
    command += ["--folder", str(tmp_path / "cache"), "--json", str(tmp_path / "out.json")]

    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    results = json.loads((tmp_path / "out.json").read_text())
    assert [(run["round"], run["method"]) for run in results["runs"]] == [
        (0, "limit"),
        (0, "ours"),
        (1, "ours"),
        (1, "limit"),
        (2, "limit"),
        (2, "ours"),
    ]
    for run in results["runs"]:
        assert run["samples"] % 64 == 0 or run["passes"] * 64 > run["samples"] > 0
        assert min(run["seconds"], run["bytes"], run["tree_mb"], run["first_batch_seconds"]) > 0
    assert results["missing"] == {}
    assert {"date", "machine", "commit", "rounds", "load_average"} <= results.keys()
    for text in ("samples/s", "share of limit", "raw: members as bytes", "target against limit"):
        assert text in printed


def test_ratios_are_of_one_round():
    """A busy round changes speeds, not ratios."""
    limit, ours, webdataset = summarise(RAW, RUNS)

    assert (limit.median, limit.best) == (55.0, 100.0)
    assert (ours.share, ours.cpu_share) == (0.5, 0.25)
    assert (webdataset.ours, webdataset.ours_cpu) == (4.0, 2.0)
    assert webdataset.megabytes == pytest.approx(webdataset.median * 10 / 1e6)


def test_targets_are_judged():
    """Against the limit our share counts, against a peer how many times as fast ours is."""
    verdicts = {verdict.against: verdict for verdict in judge(RAW, RUNS)}

    assert (verdicts[LIMIT].found, verdicts[LIMIT].is_met) == (0.5, False)
    assert (verdicts["webdataset"].found, verdicts["webdataset"].target) == (4.0, 10.0)


def test_the_reports_hold_every_method_and_what_is_missing(tmp_path):
    """Also a drawing is made."""
    results = {
        "date": "2026-11-20",
        "machine": "a machine",
        "python": "3.11",
        "commit": "abc",
        "rounds": 2,
        "load_average": 0.0,
        "missing": {"wids": "does not install: no wheel"},
        "runs": RUNS,
    }
    for report in (text_report, markdown_report):
        assert all(name in report(results) for name in (LIMIT, "ours", "webdataset", "no wheel"))

    draw(results, tmp_path / "drawing.png")

    assert (tmp_path / "drawing.png").read_bytes().startswith(b"\x89PNG")


def test_targets_name_methods_of_their_row():
    """A target with a misspelt name would never be judged."""
    for row in ROWS:
        assert row.targets.keys() <= {method.name for method in row.methods}


def test_peers_are_all_listed_for_the_option():
    """Ours and the limit always run, so that `--peers` does not name them."""
    assert {"dali", "webdataset", "wids"} <= set(peers())
    assert not {"ours", "limit"} & set(peers())


def test_the_page_has_a_place_for_results():
    """`--publish` replaces what is between two marks; the drawing it shows is kept."""
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    assert page.index(BEGIN) < page.index(END)
    shown = [line for line in page.splitlines() if line.startswith("![")]
    assert all((ROOT / RESULTS / line.rpartition("/")[2].rstrip(")")).exists() for line in shown)
