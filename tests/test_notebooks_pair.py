"""Notebooks: the Markdown and the `.ipynb` of each say the same, and outputs are kept sparingly."""

from pathlib import Path

import jupytext
import nbformat
import pytest

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
PAIRS = sorted(FOLDER.glob("[0-9]*.md"))
MAX_BYTES = 1_000_000

pytestmark = pytest.mark.parametrize("path", PAIRS, ids=lambda path: path.stem)


def read(path):
    """Return the notebook of a path's `.ipynb`."""
    return nbformat.read(path.with_suffix(".ipynb"), as_version=4)


def kept(cell):
    """Tell whether a cell's outputs are kept."""
    return "keep_output" in cell.metadata.get("tags", ())


def test_the_pair_has_the_same_cells(path):
    """Kinds, sources and tags of all cells are equal; if not, run `notebooks/refresh.py`."""

    def cells(notebook):
        return [
            (cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in notebook.cells
        ]

    assert cells(read(path)) == cells(jupytext.read(path))


def test_jupytext_keeps_the_pair_in_step(path):
    """The notebook's metadata name both formats, in either file."""
    for notebook in (read(path), jupytext.read(path)):
        assert notebook.metadata["jupytext"]["formats"] == "ipynb,md"
        assert notebook.metadata["kernelspec"]["name"] == "python3"


def test_every_notebook_has_its_markdown(path):
    """No `.ipynb` is without its Markdown."""
    assert {other.stem for other in FOLDER.glob("*.ipynb")} == {other.stem for other in PAIRS}
    assert path.with_suffix(".ipynb").exists()


def test_outputs_are_kept_where_they_are_the_point(path):
    """Cells tagged `keep_output` have outputs, no other cell has any; the file stays small."""
    for cell in read(path).cells:
        if cell.cell_type == "code":
            assert bool(cell.outputs) == kept(cell), cell.source
    assert path.with_suffix(".ipynb").stat().st_size < MAX_BYTES


def test_outputs_name_no_place_of_the_machine(path):
    """No output has a path of the machine it was made on, a warning or an error."""
    for cell in read(path).cells:
        for output in cell.get("outputs", ()):
            assert output.output_type in ("display_data", "execute_result"), cell.source
            for kind, text in output.data.items():
                if kind.startswith("text/"):
                    assert "/tmp" not in text
                    assert str(Path.home()) not in text
                    assert "<script" not in text


def test_begins_with_a_question_and_ends_with_a_check(path):
    """The first sentence asks what the notebook answers; the last cell asserts."""
    cells = read(path).cells
    title, question = cells[0].source.split("\n\n")[:2]
    assert title.startswith("# ")
    assert "?" in question.partition(".")[0]
    assert "assert " in cells[-1].source
