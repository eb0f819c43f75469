"""`where` expressions over the index: `num_objects > 3 and "ship" in classes`.

A small part of Python's expressions, parsed by `ast` and evaluated on whole columns; nothing is
executed. Comparisons (`== != < <= > >=`, chained too), `in` and `not in` (a text in a list column,
or a column in a list of values), `and or not`, parentheses, numbers, texts, True and False.
"""

import ast
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vrs_wds.errors import ConfigError
from vrs_wds.forks import no_fork_meanwhile

Mask = NDArray[np.bool_]

_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_MAX_LENGTH = 10_000


def evaluate_where(
    expression: str, column: Callable[[str], pa.ChunkedArray], names: list[str]
) -> Mask:
    """Return, for every row, whether the expression holds.

    Args:
        expression: Such as `width >= 512 and "ship" in classes`.
        column: Gives a column by its name; raises `KeyError` for an unknown one.
        names: Names of the columns, for messages.

    Raises:
        ConfigError: if the expression is malformed, or names no column.
    """
    if not isinstance(expression, str):
        raise ConfigError(f"where: expected a text, got {expression!r}.")
    if len(expression) > _MAX_LENGTH:
        raise ConfigError(f"where: expected at most {_MAX_LENGTH} characters.")
    try:
        mask = _Evaluator(expression, column, names).mask(_parse(expression))
    except (SyntaxError, RecursionError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ConfigError(
            f"where: {expression!r} is not an expression: {reason}. Equality is ==."
        ) from error
    except (TypeError, np.exceptions.DTypePromotionError, pa.ArrowException) as error:
        raise ConfigError(f"where: {expression!r} compares what cannot be: {error}.") from error
    return mask


def _parse(expression: str) -> ast.expr:
    """Parse an expression; as in parentheses, blanks before it and line breaks in it mean nothing.

    Raises:
        SyntaxError: if it is none.
    """
    tree = ast.parse(_in_parentheses(expression), mode="eval").body
    if tree.lineno == 1:  # our parentheses belong to it: it is empty, or closes them itself
        raise SyntaxError("expected one comparison, or several joined by 'and' and 'or'")
    return tree


def _in_parentheses(expression: str) -> str:
    # On lines of their own: a comment may end the expression.
    return f"(\n{expression}\n)"


class _Evaluator:
    def __init__(
        self, expression: str, column: Callable[[str], pa.ChunkedArray], names: list[str]
    ) -> None:
        self._expression = expression
        self._column = column
        self._names = names

    def mask(self, node: ast.expr) -> Mask:
        """Evaluate a node that must be true or false for each row."""
        if isinstance(node, ast.BoolOp):
            masks = [self.mask(value) for value in node.values]
            combine = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            result: Mask = combine.reduce(masks)
            return result
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return ~self.mask(node.operand)
        if isinstance(node, ast.Compare):
            left, masks = node.left, []
            for op, right in zip(node.ops, node.comparators, strict=True):
                masks.append(self._compare(left, op, right))
                left = right
            both: Mask = np.logical_and.reduce(masks)
            return both
        raise self._refuse(node, "expected a comparison")

    def _compare(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Mask:
        if isinstance(op, ast.In | ast.NotIn):
            found = self._contains(left, right)
            return ~found if isinstance(op, ast.NotIn) else found
        compare = _COMPARISONS.get(type(op))
        if compare is None:
            raise self._refuse(right, "this comparison is not known")
        sides = self._value(left), self._value(right)
        for column, constant in (sides, sides[::-1]):
            self._check_pair(left, column, constant)
        result = compare(*sides)
        if not isinstance(result, np.ndarray):
            raise self._refuse(left, "expected a column on one side")
        return result.astype(bool)

    def _check_pair(self, node: ast.expr, column: object, other: object) -> None:
        """Refuse to compare numbers with texts: they would never be equal."""
        if not isinstance(column, np.ndarray) or _holds_texts(column) == _holds_texts(other):
            return
        if isinstance(other, np.ndarray):
            raise self._refuse(node, "a column of numbers is compared with a column of texts")
        kind, found = ("text", "number") if _holds_texts(column) else ("number", "text")
        raise self._refuse(node, f"a {kind} is compared with the {found} {other!r}")

    def _contains(self, left: ast.expr, right: ast.expr) -> Mask:
        if isinstance(right, ast.List | ast.Tuple | ast.Set):
            column = self._value(left)
            if not isinstance(column, np.ndarray):
                raise self._refuse(left, "expected a column before 'in'")
            values = [self._constant(element) for element in right.elts]
            for value in values:
                self._check_pair(left, column, value)
            masks = [column == value for value in values]
            either: Mask = np.logical_or.reduce([np.zeros(len(column), bool), *masks])
            return either
        if not isinstance(right, ast.Name):
            raise self._refuse(right, "expected a list or a column after 'in'")
        column = self._array(right)
        if not pa.types.is_list(column.type):
            raise self._refuse(right, "expected a column that holds lists after 'in'")
        wanted = self._constant(left)
        with no_fork_meanwhile():
            combined = column.combine_chunks()
            matches = pc.equal(combined.flatten(), wanted).to_numpy(zero_copy_only=False)
            parents = pc.list_parent_indices(combined).to_numpy(zero_copy_only=False)
        return np.bincount(parents, weights=matches, minlength=len(column)) > 0

    def _value(self, node: ast.expr) -> Any:  # noqa: ANN401 - a column or a constant
        if not isinstance(node, ast.Name):
            return self._constant(node)
        column = self._array(node)
        if pa.types.is_list(column.type):
            raise self._refuse(node, 'this column holds lists: use "value" in column')
        with no_fork_meanwhile():
            if pa.types.is_string(column.type):
                return np.array(column.to_pylist(), dtype=object)
            return column.to_numpy()

    def _array(self, node: ast.Name) -> pa.ChunkedArray:
        try:
            return self._column(node.id)
        except KeyError as error:
            known = ", ".join(name for name in self._names if ":" not in name)
            raise self._refuse(node, f"no such column; there are {known}") from error

    def _constant(self, node: ast.expr) -> Any:  # noqa: ANN401 - a number or a text
        try:
            value = ast.literal_eval(node)
        except ValueError:
            raise self._refuse(node, "expected a column, a number or a text") from None
        if not isinstance(value, int | float | str | bool):
            raise self._refuse(node, "expected a number or a text")
        return value

    def _refuse(self, node: ast.expr, reason: str) -> ConfigError:
        source = _in_parentheses(self._expression)
        part = ast.get_source_segment(source, node) or self._expression
        return ConfigError(f"where: {part!r} in {self._expression!r}: {reason}.")


def _holds_texts(side: object) -> bool:
    return side.dtype == object if isinstance(side, np.ndarray) else isinstance(side, str)
