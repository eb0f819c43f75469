"""`view_batch`: the table of what a batch holds."""

import numpy as np
import torch

import vrs_wds as vw
from vrs_wds.inspect.batch import view_batch
from vrs_wds.tasks.meta import Meta


def sample(key, num_boxes, side=8):
    """Return a decoded sample with a target of boxes and labels."""
    return {
        "__key__": key,
        "__url__": "/data/train-000000.tar",
        "image": np.zeros((side, side, 3), dtype=np.uint8),
        "meta": Meta(name=key, width=side, height=side),
        "target": {
            "boxes": np.full((num_boxes, 4), 1.5),
            "labels": ["<b>ship</b>"] * num_boxes,
        },
    }


def rows_of(batch):
    """Return the rows of a batch's view, by name."""
    return {name: (kind, first) for name, kind, first in view_batch(batch).rows}


def test_rows_name_types_shapes_and_the_first_sample():
    """Tensors, ragged columns, texts and dicts each have a readable row."""
    rows = rows_of(vw.collate([sample("a", 2), sample("b", 0)]))

    assert rows["__key__"] == ("list of 2 str", "a")
    assert rows["__url__"] == ("list of 2 str", "train-000000.tar")
    assert rows["image"] == ("uint8 (2, 3, 8, 8)", "from 0 to 0")
    assert rows["target.boxes"] == (
        "Ragged of 2 + 0 rows of 4, float32",
        "1.5, 1.5, 1.5, 1.5; 1.5, 1.5, 1.5, 1.5",
    )
    assert rows["target.labels"] == ("Ragged of 2 + 0 values", "<b>ship</b>; <b>ship</b>")
    assert rows["metas"] == ("list of 2 dict", "__key__, __url__, meta")


def test_long_values_are_shortened():
    """A hundred boxes and a text of a thousand characters fit into a line each."""
    rows = rows_of(vw.collate([sample("k" * 1000, 100)]))

    assert rows["target.boxes"][1].endswith("; and 95 more")
    assert len(rows["__key__"][1]) <= 103


def test_empty_values_have_rows():
    """No samples, no boxes, no texts: nothing raises."""
    rows = rows_of({"none": [], "tensor": torch.zeros(0), "plain": 3, "nested": {"list": [[]]}})

    assert rows["none"] == ("list of 0", "")
    assert rows["tensor"] == ("float32 (0,)", "")
    assert rows["plain"] == ("int", "3")
    assert rows["nested.list"] == ("list of 1 list", "none")


def test_pictures_are_shown_in_the_frame_of_the_batch():
    """Pictures of one size or of several are shown; normalized ones are not."""
    batch = vw.collate([sample("a", 1), sample("b", 1)])
    mixed = vw.collate([sample("a", 1), sample("b", 1, side=16)])

    assert view_batch(batch, side=30).pictures.side == 30
    assert len(view_batch(mixed).pictures) == 2
    assert view_batch(batch | {"image": batch["image"] / 255}).pictures is None
    assert view_batch({"target": [1]}).pictures is None


def test_padded_pictures_are_shown_without_the_padding():
    """They look as those of a list."""
    samples = [sample("a", 1), sample("b", 1, side=20)]
    batch = vw.collate(samples, images="padded")
    assert batch["image"].shape == (2, 3, 20, 20)
    assert view_batch(batch).pictures == view_batch(vw.collate(samples)).pictures


def test_texts_are_escaped():
    """Markup in a label is shown as it is."""
    html = view_batch(vw.collate([sample("<script>", 1)]))._repr_html_()

    assert "&lt;b&gt;ship&lt;/b&gt;" in html
    assert "<script" not in html
