"""The schedule of a mixture."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrs_wds.errors import ConfigError
from vrs_wds.order.mixing import count_turns, next_part, normalized

weights = st.lists(st.floats(0.01, 100), min_size=1, max_size=6).map(normalized)


def turns(parts: list[float], number: int) -> list[int]:
    """Return the first turns."""
    counts, found = [0] * len(parts), []
    for _ in range(number):
        found.append(next_part(parts, counts))
        counts[found[-1]] += 1
    return found


@given(weights, st.integers(1, 200))
def test_parts_stay_near_their_shares(parts: list[float], number: int) -> None:
    """After any number of turns."""
    found = turns(parts, number)
    for part, weight in enumerate(parts):
        assert abs(found.count(part) - weight * number) < max(2, len(parts) / 2)


@given(weights, st.integers(0, 60), st.integers(0, 60))
def test_the_counts_say_all(parts: list[float], first: int, more: int) -> None:
    """Going on from them gives what an undisturbed schedule gives."""
    head = turns(parts, first)
    counts = [head.count(part) for part in range(len(parts))]
    for expected in turns(parts, first + more)[first:]:
        assert next_part(parts, counts) == expected
        counts[expected] += 1


def test_the_drawing() -> None:
    """The docstring's row is what comes out; equal weights take turns."""
    assert turns(normalized([5, 3, 2]), 10) == [0, 1, 2, 0, 0, 1, 0, 2, 1, 0]
    assert turns(normalized([1, 1, 1]), 6) == [0, 1, 2, 0, 1, 2]


@given(weights, st.data())
def test_when_an_epoch_ends(parts: list[float], data: st.DataObject) -> None:
    """With the first that is through, nobody gives more than it has; with all, nobody less."""
    lengths = data.draw(st.lists(st.integers(1, 20), min_size=len(parts), max_size=len(parts)))
    first = count_turns(parts, lengths, "first")

    assert all(count <= length for count, length in zip(first, lengths, strict=True))
    assert any(count == length for count, length in zip(first, lengths, strict=True))
    if min(parts) > 0.05:
        every = count_turns(parts, lengths, "all")
        assert all(count >= length for count, length in zip(every, lengths, strict=True))


def test_what_cannot_be_mixed() -> None:
    """Weights of nothing, parts without batches, unknown rules."""
    for bad in ([], [0.0, 1.0], [-1.0], [float("nan")], [float("inf")]):
        with pytest.raises(ConfigError, match="weights: expected numbers above 0"):
            normalized(bad)
    with pytest.raises(ConfigError, match="part 1 of the mixture has no batch"):
        count_turns([0.5, 0.5], [1, 0], "first")
    with pytest.raises(ConfigError, match="until: expected one of first, all"):
        count_turns([1.0], [1], "last")  # type: ignore[arg-type]
