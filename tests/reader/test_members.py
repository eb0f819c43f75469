"""Planning of byte ranges."""

from hypothesis import given
from hypothesis import strategies as st

from vrs_wds.reader.members import MemberRequest, coalesce
from vrs_wds.storage.reading import Reading


@st.composite
def requests(draw: st.DrawFn) -> list[MemberRequest]:
    """Members of two shards, apart from each other, in any order."""
    found = []
    for shard in range(2):
        offset = 0
        for _ in range(draw(st.integers(0, 6))):
            offset += draw(st.integers(0, 40))
            size = draw(st.integers(0, 60))
            found.append(MemberRequest(shard, offset, size, 0, len(found), "png"))
            offset += size
    return draw(st.permutations(found))


@given(requests(), st.integers(0, 30), st.integers(1, 150), st.integers(1, 80))
def test_ranges_hold_every_member_once(
    asked: list[MemberRequest], max_gap: int, max_size: int, alone: int
) -> None:
    """One shard a range, no gap too large, no range too long unless one member is."""
    reading = Reading(gap_bytes=max_gap, range_bytes=max_size, alone_bytes=alone)
    ranges = coalesce(asked, reading)

    assert sorted(r for joined in ranges for r in joined.requests) == sorted(asked)
    for joined in ranges:
        group = joined.requests
        assert {request.shard for request in group} == {joined.shard}
        assert joined.start == group[0].offset
        stop = joined.start
        for request in group:
            assert request.offset - stop <= max_gap
            stop = max(stop, request.offset + request.size)
        assert stop == joined.stop
        assert len(group) == 1 or stop - joined.start <= max_size
        assert len(group) == 1 or all(request.size < alone for request in group)


@given(requests())
def test_everything_near_is_read_in_one_go(asked: list[MemberRequest]) -> None:
    """With no limits, one range a shard."""
    ranges = coalesce(asked, Reading(gap_bytes=10**9, range_bytes=10**9))

    assert len(ranges) == len({request.shard for request in asked})
