"""The schedule of a mixture."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrs_wds.errors import ConfigError
from vrs_wds.order.mixing import Schedule, Until, normalized

weights = st.lists(st.floats(0.01, 100), min_size=1, max_size=6).map(normalized)
# Whole numbers have turns at equal times; others are far apart.
odd_weights = st.lists(
    st.one_of(st.integers(1, 6).map(float), st.floats(1e-12, 1e12)), min_size=1, max_size=6
)


def turns(parts: list[float], number: int) -> list[int]:
    """Return the first turns, by the definition: sorted by time, of equals the first part."""
    asked = sorted(
        (Fraction(2 * turn + 1, 2) / Fraction(weight), part)
        for part, weight in enumerate(parts)
        for turn in range(number)
    )
    return [part for _, part in asked[:number]]


@given(odd_weights, st.integers(0, 60))
def test_turns_go_by_time(parts: list[float], number: int) -> None:
    """One after another, or counted from anywhere: as the definition says."""
    schedule, expected = Schedule.make(parts), turns(parts, number)
    counts = [0] * len(parts)
    for turn, part in enumerate(expected):
        assert schedule.counts_after(turn) == counts
        assert schedule.next_part(counts) == part
        counts[part] += 1

    assert schedule.counts_after(number) == counts


@given(odd_weights, st.integers(0, 10**12))
def test_parts_stay_near_their_shares(parts: list[float], number: int) -> None:
    """After any number of turns, within the bound that the docstring states."""
    counts = Schedule.make(parts).counts_after(number)
    total = sum(map(Fraction, parts))

    assert sum(counts) == number
    for weight, count in zip(parts, counts, strict=True):
        share = Fraction(weight) / total
        bound = Fraction(1, 2) + share * (len(parts) - 2) / 2
        assert abs(count - share * number) <= bound
        assert bound < max(1, Fraction(len(parts), 2))


def test_the_bound_is_no_promise_too_much() -> None:
    """It is reached: two parts are half a turn off at the worst."""
    counts = Schedule.make([1, 1]).counts_after(1)

    assert counts == [1, 0]


@given(odd_weights, st.integers(0, 10**15), st.integers(0, 40))
def test_going_on_from_anywhere(parts: list[float], first: int, more: int) -> None:
    """Turn by turn, or at once: the counts are the same."""
    schedule = Schedule.make(parts)
    counts = schedule.counts_after(first)
    for _ in range(more):
        counts[schedule.next_part(counts)] += 1

    assert schedule.counts_after(first + more) == counts


def test_the_drawing() -> None:
    """The docstring's row is what comes out; equal weights take turns."""
    assert turns([5, 3, 2], 10) == [0, 1, 2, 0, 0, 1, 0, 2, 1, 0]
    assert turns([1, 1, 1], 6) == [0, 1, 2, 0, 1, 2]


def count_one_by_one(parts: list[float], lengths: list[int], until: Until) -> list[int]:
    """Return what `counts_in_epoch` gives, by going through the epoch."""
    schedule, counts = Schedule.make(parts), [0] * len(parts)
    while True:
        part = schedule.next_part(counts)
        if until == "first" and counts[part] == lengths[part]:
            return counts
        if until == "all" and all(c >= n for c, n in zip(counts, lengths, strict=True)):
            return counts
        counts[part] += 1


@given(
    st.lists(st.one_of(st.integers(1, 5).map(float), st.floats(0.1, 5)), min_size=1, max_size=5),
    st.data(),
)
def test_when_an_epoch_ends(parts: list[float], data: st.DataObject) -> None:
    """In closed form as by going through it."""
    lengths = data.draw(st.lists(st.integers(1, 20), min_size=len(parts), max_size=len(parts)))
    schedule = Schedule.make(parts)

    for until in ("first", "all"):
        expected = count_one_by_one(parts, lengths, until)
        assert schedule.counts_in_epoch(lengths, until) == expected


@given(weights, st.data())
def test_epochs_of_a_billion_batches(parts: list[float], data: st.DataObject) -> None:
    """With the first that is through, nobody gives more than it has; with all, nobody less."""
    length = st.integers(10**9, 10**10)
    lengths = data.draw(st.lists(length, min_size=len(parts), max_size=len(parts)))
    schedule = Schedule.make(parts)
    first = schedule.counts_in_epoch(lengths, "first")
    every = schedule.counts_in_epoch(lengths, "all")

    assert all(count <= length for count, length in zip(first, lengths, strict=True))
    assert any(count == length for count, length in zip(first, lengths, strict=True))
    assert all(count >= length for count, length in zip(every, lengths, strict=True))
    assert any(count == length for count, length in zip(every, lengths, strict=True))
    assert schedule.counts_after(sum(first)) == first
    assert schedule.counts_after(sum(every)) == every


@given(odd_weights)
def test_weights_with_a_sum_of_1(parts: list[float]) -> None:
    """In the same proportion, whatever they were multiplied by."""
    shares = normalized(parts)

    assert sum(shares) == pytest.approx(1)
    assert normalized([7 * weight for weight in map(Fraction, parts)]) == shares  # type: ignore[misc]
    assert normalized([1e308, 1e308]) == [0.5, 0.5]


def test_what_cannot_be_mixed() -> None:
    """Weights of nothing, parts without batches, unknown rules, epochs without an end."""
    for bad in ([], [0.0, 1.0], [-1.0], [float("nan")], [float("inf")], ["1"], [None]):
        with pytest.raises(ConfigError, match="weights: expected numbers above 0"):
            normalized(bad)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="weights: too far apart"):
        normalized([1e-300, 1e300])
    schedule = Schedule.make([0.5, 0.5])
    with pytest.raises(ConfigError, match="part 1 of the mixture has no batch"):
        schedule.counts_in_epoch([1, 0], "first")
    with pytest.raises(ConfigError, match="until: expected one of first, all"):
        schedule.counts_in_epoch([1, 1], "last")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"until part 1 is through, .* batches pass"):
        Schedule.make([1.0, 1e-30]).counts_in_epoch([1, 1], "all")
