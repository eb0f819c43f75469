"""Members of a sample are joined to runs: in order, close together, none of others between."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vrs_wds.reader.runs import Member, Run, find_runs
from vrs_wds.shard.index_table import ABSENT
from vrs_wds.storage.reading import Reading

EXTENSIONS = ("a.json", "b.json", "c.json", "png")
places_of_members = st.tuples(
    st.integers(0, 1), st.integers(0, 60), st.sampled_from([ABSENT, 0, 1, 5, 20]), st.just(7)
)
rows_of_places = st.lists(
    st.lists(places_of_members, min_size=len(EXTENSIONS), max_size=len(EXTENSIONS)),
    min_size=1,
    max_size=8,
)
readings = st.builds(
    Reading,
    gap_bytes=st.sampled_from([-1, 0, 3, 100]),
    range_bytes=st.sampled_from([0, 10, 30, 1000]),
    alone_bytes=st.sampled_from([1, 5, 20, 1000]),
)
wanted_columns = st.sets(st.integers(0, len(EXTENSIONS) - 1))


def runs_one_by_one(
    places: list[tuple[int, int, int, int]], members: list[Member], reading: Reading
) -> tuple[Run, ...]:
    """Join the members of one row, one after another."""
    runs: list[list[Member]] = []
    shard, start, stop, is_open = -1, 0, 0, False
    for extension, column in members:
        of, offset, size, _ = places[column]
        if size == ABSENT:
            continue
        is_alone = size >= reading.alone_bytes
        if (
            not is_open
            or is_alone
            or of != shard
            or not 0 <= offset - stop <= reading.gap_bytes
            or offset + size - start > reading.range_bytes
        ):
            runs.append([])
            shard, start = of, offset
        runs[-1].append((extension, column))
        stop, is_open = offset + size, not is_alone
    return tuple(map(tuple, runs))


@given(rows=rows_of_places, reading=readings, wanted=wanted_columns)
def test_each_row_is_joined_as_if_it_were_alone(
    rows: list[list[tuple[int, int, int, int]]], reading: Reading, wanted: set[int]
) -> None:
    """Whatever the other rows are; and every member that is there is in one run, in order."""
    members = [(EXTENSIONS[column], column) for column in sorted(wanted)]

    table = find_runs(np.array(rows, dtype=np.int64), members, reading)

    for number, places in enumerate(rows):
        assert table.runs_of(number) == runs_one_by_one(places, members, reading)


def test_rows_share_their_patterns() -> None:
    """No Python object is made for each row of a shard."""
    places = np.zeros((1000, 2, 4), dtype=np.int64)
    places[:, 0, 1:3] = np.array([512, 100])
    places[:, 1, 1:3] = np.array([1536, 5000])
    places[::2, 0, 2] = ABSENT

    table = find_runs(places, [("vqa.json", 0), ("png", 1)], Reading(gap_bytes=1023))

    assert len(table.patterns) == 2
    assert table.runs_of(0) == ((("png", 1),),)
    assert table.runs_of(1) == ((("vqa.json", 0), ("png", 1)),)


def test_members_of_many_extensions() -> None:
    """More than fit one number that stands for a row."""
    there = np.random.default_rng(0).random((30, 50)) < 0.5
    places = np.zeros((60, 50, 4), dtype=np.int64)
    places[:, :, 2] = np.where(np.concatenate([there, there[::-1]]), 1, ABSENT)

    table = find_runs(places, [(f"{i}.json", i) for i in range(50)], Reading(gap_bytes=-1))

    assert len(table.patterns) == 30
    for row, is_there in enumerate(there):
        columns = [run[0][1] for run in table.runs_of(row)]
        assert columns == np.flatnonzero(is_there).tolist()
        assert table.runs_of(59 - row) == table.runs_of(row)
