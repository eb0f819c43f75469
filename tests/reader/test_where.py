"""`where` expressions against Python's own meaning of them."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vrs_wds.errors import ConfigError
from vrs_wds.reader.where import evaluate_where

COLUMNS: dict[str, list[Any]] = {
    "n": [0, 1, 2, 3, 4, -1],
    "width": [512, 64, 512, 100, 7, 0],
    "label": ["ship", "car", "", "ship", "ü", "car"],
    "classes": [["ship", "car"], [], ["car"], ["ship"], ["a b"], []],
}
TABLE = pa.table(COLUMNS)


def evaluate(expression: str) -> list[bool]:
    """Return the mask for the table above."""

    def column(name: str) -> pa.ChunkedArray:
        return TABLE[name] if name in COLUMNS else {}[name]

    return evaluate_where(expression, column, list(COLUMNS)).tolist()


numbers = st.integers(-2, 600).map(str)
operators = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
comparisons = st.one_of(
    st.tuples(st.sampled_from(["n", "width"]), operators, numbers).map(" ".join),
    st.tuples(numbers, operators, st.sampled_from(["n", "width"]), operators, numbers).map(
        " ".join
    ),
    st.sampled_from(
        [
            "n < width",
            "label == 'ship'",
            "label != 'ü'",
            "label in ['ship', 'car']",
            "n in (1, 2)",
            "n not in []",
            "'ship' in classes",
            '"car" not in classes',
            "label < 'd'",
        ]
    ),
)
expressions = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]} and {pair[1]})"),
        st.tuples(inner, inner).map(lambda pair: f"{pair[0]} or {pair[1]}"),
        inner.map(lambda text: f"not ({text})"),
    ),
    max_leaves=6,
)


@given(expressions)
@settings(max_examples=200)
def test_it_means_what_python_means(expression: str) -> None:
    """Row by row, the same as evaluating the expression with the row's values."""
    rows = [
        dict(zip(COLUMNS, values, strict=True)) for values in zip(*COLUMNS.values(), strict=True)
    ]

    assert evaluate(expression) == [bool(eval(expression, {}, row)) for row in rows]


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("n >", "is not an expression"),
        ("", "is not an expression"),
        ("n", "'n' in 'n': expected a comparison"),
        ("1 < 2", "expected a column on one side"),
        ("foo > 1", "'foo' in 'foo > 1': no such column; there are n, width, label, classes"),
        ("classes == 'x'", 'use "value" in column'),
        ("'x' in label", "expected a column that holds lists"),
        ("n > 'x'", "a number is compared with the text 'x'"),
        ("n == '1'", "a number is compared with the text '1'"),
        ("n in ['1']", "'n' in \"n in ['1']\": a number is compared with the text '1'"),
        ("n not in [1, '2']", "a number is compared with the text '2'"),
        ("'ab' in ['x']", "expected a column before 'in'"),
        ("n > 1) or (n < 0", "is not an expression: expected one comparison"),
        ("n > (1", "is not an expression: '(' was never closed. Equality"),
        ("  ", "is not an expression"),
        ("n > 1\nn < 3", "is not an expression"),
        (b"n > 1", "expected a text, got b'n > 1'"),
        ("1 in classes", "compares what cannot be"),
        ("label > 1", "a text is compared with the number 1"),
        ("label == 3", "a text is compared with the number 3"),
        ("True != label", "a text is compared with the number True"),
        ("label in ['ship', 3]", "a text is compared with the number 3"),
        ("label == n", "a column of numbers is compared with a column of texts"),
        ("n + 1 > 2", "expected a column, a number or a text"),
        ("n is 1", "this comparison is not known"),
        ("__import__('os').system('true') == 0", "expected a column, a number or a text"),
        ("n == n.__class__", "expected a column, a number or a text"),
        ("(n := 3) > 1", "expected a column, a number or a text"),
        ("not " * 5000 + "n > 1", "where"),
        ("(" * 300 + "n > 1" + ")" * 300, "is not an expression"),
    ],
)
def test_anything_else_is_refused(expression: str, message: str) -> None:
    """With the part that is wrong, and what was expected; nothing is executed."""
    with pytest.raises(ConfigError, match="where: ") as caught:
        evaluate(expression)

    assert message in str(caught.value)


@pytest.mark.parametrize(
    "expression",
    [
        "  n > 1 and label == 'ship'",
        "\tn > 1 and label == 'ship'\n",
        "n > 1\nand label == 'ship'",
        "n > 1  # more than one\r\n    and label == 'ship'  # at sea",
        "(n >\n\n1) and label == 'ship'",
        "(n > 1) and (label == 'ship')",
    ],
)
def test_blanks_and_line_breaks_mean_nothing(expression: str) -> None:
    """A long expression may be written in several lines, indented as one likes."""
    assert evaluate(expression) == evaluate("n > 1 and label == 'ship'")


def test_a_part_of_several_lines_is_quoted() -> None:
    """As it was given, without what was put around it."""
    with pytest.raises(ConfigError) as caught:
        evaluate("n > 1\n and width < foo")

    assert str(caught.value).startswith(r"where: 'foo' in 'n > 1\n and width < foo': no such")
