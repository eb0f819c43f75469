"""Runs a notebook from its Markdown, and writes the `.ipynb` beside it.

    python notebooks/refresh.py notebooks/01_first_look.md

Outputs are kept of cells tagged `keep_output` only. With `--html FILE` the page with every output
is written too.
"""

import argparse
from pathlib import Path

import jupytext
import nbformat
from nbconvert import HTMLExporter
from nbconvert.preprocessors import ExecutePreprocessor


def refresh(path: Path, html: Path | None = None, theme: str = "light") -> None:
    """Run a notebook and write its `.ipynb`; a cell that fails or warns is an error."""
    notebook = jupytext.read(path)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02}"  # the same from run to run
    runner = ExecutePreprocessor(timeout=120, record_timing=False)
    runner.preprocess(notebook, {"metadata": {"path": str(path.parent)}})
    if html is not None:
        page, _ = HTMLExporter(theme=theme).from_notebook_node(notebook)
        html.write_text(page, encoding="utf-8")
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        if any(output.get("name") == "stderr" for output in cell.outputs):
            raise SystemExit(f"{path}: a cell wrote to stderr:\n{cell.source}\n{cell.outputs}")
        cell.execution_count = None
        if "keep_output" not in cell.metadata.get("tags", ()):
            cell.outputs = []
        for output in cell.outputs:
            output.pop("execution_count", None)
            if output.output_type == "execute_result":
                output.execution_count = None
    notebook.metadata.pop("language_info", None)  # the Python version of whoever ran it
    notebook.metadata["jupytext"].pop("text_representation", None)  # said of the Markdown only
    nbformat.write(notebook, path.with_suffix(".ipynb"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--html", type=Path)
    parser.add_argument("--theme", default="light")
    arguments = parser.parse_args()
    refresh(arguments.path, arguments.html, arguments.theme)
