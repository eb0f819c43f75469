"""Tile: windows over a large picture."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrs_wds.errors import ConfigError
from vrs_wds.pipeline.collate import collate
from vrs_wds.pipeline.decode import Decode
from vrs_wds.pipeline.targets import Targets
from vrs_wds.pipeline.tile import Tile, plan_tiles

EDGES = ("shift", "pad", "partial")


@st.composite
def plans(draw, max_side=60):
    """Draw picture size, tile size, overlap and edge."""
    size = (draw(st.integers(1, 30)), draw(st.integers(1, 30)))
    overlap = (draw(st.integers(0, size[0] - 1)), draw(st.integers(0, size[1] - 1)))
    picture = (draw(st.integers(1, max_side)), draw(st.integers(1, max_side)))
    return picture, size, overlap, draw(st.sampled_from(EDGES))


def tile(sample, *args, **options):
    """Cut one sample."""
    return list(Tile(*args, **options).apply(sample))


def regions_of(tiles):
    """Return the edges of each tile."""
    return [tuple(cut["region"].tolist()) for cut in tiles]


@given(plans())
def test_every_pixel_is_in_a_tile(plan):
    """Together the tiles cover the picture."""
    (width, height), *_ = plan
    covered = np.zeros((height, width), bool)
    for left, top, right, bottom in plan_tiles(*plan):
        assert left >= 0
        assert top >= 0
        covered[top:bottom, left:right] = True
    assert covered.all()


@given(plans())
def test_no_tile_is_spare(plan):
    """Tiles differ, come row by row, and each has pixels that none before it has."""
    (width, height), *_ = plan
    tiles = plan_tiles(*plan)
    assert tiles == sorted(set(tiles), key=lambda region: (region[1], region[0]))
    covered = np.zeros((height, width), bool)
    for left, top, right, bottom in tiles:
        assert not covered[top:bottom, left:right].all()
        covered[top:bottom, left:right] = True


@given(plans())
def test_sizes_follow_the_edge(plan):
    """All tiles have the size asked for; with `partial` they end at the border instead."""
    picture, size, _, edge = plan
    for left, top, right, bottom in plan_tiles(*plan):
        if edge == "partial":
            assert right == min(left + size[0], picture[0])
            assert bottom == min(top + size[1], picture[1])
        else:
            assert (right - left, bottom - top) == size
        if edge == "shift":
            assert right <= max(picture[0], size[0])
            assert bottom <= max(picture[1], size[1])


@given(plans())
def test_neighbours_overlap_by_at_least_what_was_asked(plan):
    """Only the last tile of a row, shifted back, shares more."""
    *_, (across, down), edge = plan
    tiles = plan_tiles(*plan)
    for low, high, overlap in ((0, 2, across), (1, 3, down)):
        spans = sorted({(region[low], region[high]) for region in tiles})
        shared = [end - start for (_, end), (start, _) in pairwise(spans)]
        assert all(found == overlap for found in shared[:-1])
        assert all(found >= overlap for found in shared[-1:])
        if edge != "shift":
            assert all(found == overlap for found in shared)


@given(plans(), st.data())
def test_a_box_within_the_overlap_is_whole_in_some_tile(plan, data):
    """Boxes with sides no longer than the overlap are never cut by every tile."""
    (width, height), _, overlap, _ = plan
    box = []
    for side, shared in zip((width, height), overlap, strict=True):
        length = data.draw(st.floats(0, min(shared, side)))
        start = data.draw(st.floats(0, side - length))
        box.append((start, min(start + length, side)))
    (x_min, x_max), (y_min, y_max) = box
    # A sum of floats may be off by the last digit.
    slack = 1e-9
    assert any(
        left <= x_min and top <= y_min and x_max <= right + slack and y_max <= bottom + slack
        for left, top, right, bottom in plan_tiles(*plan)
    )


@given(
    plan=plans(),
    boxes=st.lists(st.tuples(*[st.integers(0, 160)] * 4), min_size=1, max_size=4),
)
def test_boxes_carried_back_are_the_originals_clipped(decoded_sample, detection, plan, boxes):
    """A tile's box, shifted by the tile's corner, is the part of the original inside the tile."""
    _, size, overlap, edge = plan
    boxes = [
        (min(a, c) / 4, min(b, d) / 4, max(a, c) / 4 + 0.25, max(b, d) / 4 + 0.25)
        for a, b, c, d in boxes
    ]
    sample = decoded_sample(size_wh=(41, 41), detection=detection(*boxes))
    originals = {item.object_id: item.box for item in sample["detection"].objects}
    for cut in tile(sample, size, overlap, edge):
        left, top, right, bottom = cut["region"].tolist()
        found = {
            item.object_id: tuple(np.add(item.box, (left, top, left, top)))
            for item in cut["detection"].objects
        }
        clipped = {
            number: (max(box[0], left), max(box[1], top), min(box[2], right), min(box[3], bottom))
            for number, box in originals.items()
        }
        expected = {
            number: box for number, box in clipped.items() if box[0] < box[2] and box[1] < box[3]
        }
        assert found == expected


@given(plan=plans(max_side=40))
def test_every_pixel_is_where_the_region_says(decoded_sample, plan):
    """A tile's pixel at (x, y) is the picture's at (x, y) + region, or black beyond it."""
    picture_wh, size, overlap, edge = plan
    for cut in tile(decoded_sample(size_wh=picture_wh), size, overlap, edge):
        left, top, right, bottom = cut["region"].tolist()
        y, x = np.mgrid[top:bottom, left:right]
        inside = (x < picture_wh[0]) & (y < picture_wh[1])
        expected = np.stack([x, y, np.full_like(x, 200)], axis=-1) * inside[..., None]
        np.testing.assert_array_equal(cut["image"], expected)
        assert cut["meta"].size_wh == (right - left, bottom - top)


@pytest.mark.parametrize(
    ("edge", "last"),
    [("shift", (13, 2, 20, 10)), ("pad", (14, 8, 21, 16)), ("partial", (14, 8, 20, 10))],
)
def test_the_last_tile(decoded_sample, edge, last):
    """It is shifted back, padded or made smaller."""
    tiles = tile(decoded_sample(), (7, 8), 0, edge)
    assert [cut["__region__"] for cut in tiles] == [0, 1, 2, 3, 4, 5]
    assert regions_of(tiles)[-1] == last


@pytest.mark.parametrize(
    ("edge", "expected"),
    [("shift", (0, 0, 32, 32)), ("pad", (0, 0, 32, 32)), ("partial", (0, 0, 20, 10))],
)
def test_a_picture_smaller_than_a_tile(decoded_sample, edge, expected):
    """It is padded, so that tiles can be stacked; with `partial` it stays as it is."""
    (cut,) = tile(decoded_sample(), (32, 32), 8, edge)
    assert regions_of([cut]) == [expected]
    assert cut["image"].shape == (expected[3], expected[2], 3)


def test_tiles_of_pictures_of_all_sizes_can_be_stacked(decoded_sample):
    """By default every tile has the size asked for."""
    samples = [decoded_sample(size_wh=size_wh) for size_wh in ((20, 10), (5, 30), (16, 16))]
    batch = collate(list(Tile((16, 16), overlap=4)(samples)))
    assert batch["image"].shape[1:] == (3, 16, 16)
    assert batch["region"].shape == (len(batch["image"]), 4)


def test_the_overlap_may_differ_across_and_down():
    """A pair is (across, down)."""
    assert plan_tiles((10, 10), (6, 6), (2, 5)) == [
        (left, top, left + 6, top + 6) for top in range(5) for left in (0, 4)
    ]
    assert plan_tiles((10, 10), (6, 6), 2) == plan_tiles((10, 10), (6, 6), (2, 2))


def test_min_visible_leaves_out_slivers(decoded_sample, detection):
    """A box stays in a tile if enough of its area lies inside."""
    sample = decoded_sample(detection=detection((8, 0, 12, 4), (9, 5, 13, 9)))

    def counts(min_visible):
        tiles = tile(sample, (10, 10), min_visible=min_visible)
        return [[item.label for item in cut["detection"].objects] for cut in tiles]

    assert counts(0) == [["ship", "plane"], ["ship", "plane"]]
    assert counts(0.5) == [["ship"], ["ship", "plane"]]
    assert counts(0.75) == [[], ["plane"]]


def test_empty_tiles_may_be_left_out(decoded_sample, detection, grounding):
    """A tile stays if it holds an object or an expression; numbers count all tiles."""
    question = {"qa_pairs": [{"question": "?", "answer": "!"}]}
    sample = decoded_sample(
        size_wh=(40, 10),
        detection=detection((12, 2, 14, 4)),
        grounding=grounding((32, 2, 34, 4)),
        vqa=question,
    )
    assert len(tile(sample, (10, 10))) == 4
    kept = tile(sample, (10, 10), keep_empty=False)
    assert [cut["__region__"] for cut in kept] == [1, 3]
    assert tile(decoded_sample(vqa=question), (10, 10), keep_empty=False) == []


def test_leaving_out_empty_tiles_needs_something_to_tell_by(raw_sample):
    """Without detection or grounding every tile would be left out in silence."""
    sample = next(Decode(tasks="vqa")(iter([raw_sample()])))
    with pytest.raises(ConfigError, match="keep_empty: no task was decoded whose things have a"):
        tile(sample, (10, 10), keep_empty=False)


def test_a_tile_is_a_copy(decoded_sample):
    """It does not keep the whole picture in memory."""
    sample = decoded_sample()
    for edge in EDGES:
        for cut in tile(sample, (20, 8), 0, edge):
            assert cut["image"].flags.c_contiguous
            assert not np.shares_memory(cut["image"], sample["image"])


def test_other_fields_are_the_samples(decoded_sample):
    """Key and shard stay; number and edges are added."""
    sample = decoded_sample("k")
    (cut, _) = tile(sample, (10, 10))
    assert set(cut) - set(sample) == {"__region__", "region"}
    assert (cut["__key__"], cut["__url__"]) == ("k", "train-000007.tar")


def test_stages_in_the_wrong_order_are_errors(raw_sample, decoded_sample):
    """Decode comes before, Targets after."""
    with pytest.raises(TypeError, match=r"Tile needs decoded samples: put Decode\(\) before it"):
        tile(raw_sample(), (5, 5))
    sample = next(Targets("vqa")(iter([decoded_sample()])))
    with pytest.raises(TypeError, match="put Targets after it"):
        tile(sample, (5, 5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (0, 5)}, "size: expected"),
        ({"size": (5, 5, 5)}, "size: expected"),
        ({"overlap": 5}, r"overlap: expected 0 or more pixels and less than size=\(5, 6\), got 5"),
        ({"overlap": (0, 6)}, "overlap: expected"),
        ({"overlap": -1}, "overlap: expected"),
        ({"overlap": (1,)}, "overlap: expected"),
        ({"edge": "wrap"}, "edge: expected one of shift, pad, partial, got 'wrap'"),
        ({"min_visible": -1}, "min_visible: expected 0 to 1"),
    ],
)
def test_options_are_checked(options, message):
    """The message names the option and its value."""
    with pytest.raises(ConfigError, match=message):
        Tile(**{"size": (5, 6), **options})


def test_the_fields_are_the_whole_stage():
    """It pickles, compares, hashes and prints by its fields."""
    stage = Tile((8, 8), overlap=(2, 3), edge="pad")
    copy = pickle.loads(pickle.dumps(stage))
    assert copy == stage
    assert hash(copy) == hash(stage)
    assert "overlap=(2, 3), edge='pad'" in repr(stage)
    assert not stage.one_to_one
