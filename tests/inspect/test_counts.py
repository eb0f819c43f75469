"""Counts of an index column, and their bars."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vrs_wds.inspect.counts import count_values, draw_counts


def test_counts_are_of_samples():
    """A value given twice for one sample counts once; columns of texts count too."""
    assert count_values([["a", "a"], ["b", "a"], []]) == {"a": 2, "b": 1}
    assert count_values(["x", "y", "y"]) == {"y": 2, "x": 1}


def test_the_most_frequent_come_first():
    """Order is by count, then by name."""
    assert list(count_values(["c", "b", "a", "c"])) == ["c", "a", "b"]


def test_bars_have_the_counts():
    """One bar a value, as long as its count; the figure shows the page through."""
    figure = Figure()
    axes = figure.subplots()

    draw_counts(axes, [["a"], ["a", "b"]], "Classes")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()

    assert [bar.get_width() for bar in axes.patches] == [2, 1]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert [text.get_text() for text in axes.texts] == ["2", "1"]
    assert bytes(canvas.buffer_rgba())[3] == 0


def test_an_empty_column_has_no_bars():
    """A dataset without any value of a column draws a title alone."""
    axes = Figure().subplots()

    draw_counts(axes, [[], []], "Classes")

    assert list(axes.patches) == []
