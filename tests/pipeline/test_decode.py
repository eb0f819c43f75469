"""Decode: bytes to pixels and parsed sidecars, in one frame."""

import pickle

import msgspec
import numpy as np
import pytest

from vrs_wds.errors import ConfigError, DecodeError, SidecarError, UnknownTaskError
from vrs_wds.images.encode import encode_rgb
from vrs_wds.pipeline.decode import Decode
from vrs_wds.tasks.classification import Classification
from vrs_wds.tasks.detection import DetectedObject
from vrs_wds.tasks.meta import Meta
from vrs_wds.tasks.registry import task_names
from vrs_wds.tasks.vqa import VQA, QAPair
from vrs_wds.testing.pictures import draw_picture

QA = {"qa_pairs": [{"question": "How many?", "answer": "2", "type": "object quantity"}]}
CORNERS = [2, 2, 18, 2, 18, 8, 2, 8]


def decode(sample, **options):
    """Decode one sample."""
    (decoded,) = Decode(**options).apply(sample)
    return decoded


def test_bytes_become_pixels_and_structs(raw_sample, picture):
    """The picture is RGB uint8, and sidecars are their tasks' Structs."""
    decoded = decode(raw_sample("b", vqa=QA, classification={"label": "harbor"}))

    assert (decoded["__key__"], decoded["__url__"]) == ("b", "train-000007.tar")
    np.testing.assert_array_equal(decoded["image"], picture((20, 10)))
    assert decoded["image"].dtype == np.uint8
    assert decoded["image"].flags.c_contiguous
    assert decoded["meta"] == Meta(name="name of b", width=20, height=10)
    pair = QAPair(question="How many?", answer="2", type="object quantity")
    assert decoded["vqa"] == VQA(qa_pairs=(pair,))
    assert decoded["classification"] == Classification(label="harbor")


def test_the_raw_sample_stays_as_it_is(raw_sample):
    """Decoding makes a new dict."""
    raw = raw_sample(vqa=QA)
    before = dict(raw)
    decode(raw, size=(5, 5))
    assert raw == before


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        (None, task_names()),
        ("all", task_names()),
        ("complete", task_names()),
        ("vqa", ["vqa"]),
        (["vqa", "detection"], ["detection", "vqa"]),
        ((), []),
    ],
)
def test_only_the_tasks_asked_for_are_there(raw_sample, detection, tasks, expected):
    """A task left out leaves no field, parsed or not; the others have one."""
    decoded = decode(raw_sample(vqa=QA, detection=detection((1, 1, 2, 2))), tasks=tasks)
    assert sorted(set(decoded) & set(task_names())) == expected
    assert not [name for name in decoded if name.endswith(".json")]


def test_a_sidecar_left_out_is_not_parsed(raw_sample):
    """A damaged sidecar of a task that nobody asked for is no error."""
    raw = {**raw_sample(vqa=QA), "detection.json": b"{"}
    assert decode(raw, tasks="vqa")["vqa"].qa_pairs


def test_an_unknown_task_is_refused_at_once():
    """The message names the task and those that there are."""
    with pytest.raises(UnknownTaskError, match=r"unknown task 'vqo'; registered are captioning, "):
        Decode(tasks=["vqa", "vqo"])


@pytest.mark.parametrize("tasks", [None, "vqa", ("detection", "vqa")])
def test_a_sample_without_a_sidecar_has_none(raw_sample, tasks):
    """What the sample lacks is None, whether the task was named or not."""
    assert decode(raw_sample(), tasks=tasks)["vqa"] is None


def test_stretching_moves_boxes_and_corners(raw_sample, detection):
    """X and y are scaled apart, and so are the coordinates."""
    raw = raw_sample(detection=detection((2, 2, 18, 8), corners=CORNERS))
    decoded = decode(raw, size=(10, 20))

    (item,) = decoded["detection"].objects
    assert decoded["image"].shape == (20, 10, 3)
    assert decoded["meta"].size_wh == (10, 20)
    assert item.box == (1, 4, 9, 16)
    assert item.corners == (1, 4, 9, 4, 9, 16, 1, 16)


def test_a_letterbox_moves_boxes_and_corners(raw_sample, detection):
    """The aspect is kept; the border shifts the coordinates."""
    raw = raw_sample(detection=detection((2, 2, 18, 8), corners=CORNERS))
    decoded = decode(raw, size=(10, 21), fit="letterbox")

    (item,) = decoded["detection"].objects
    assert decoded["image"].shape == (21, 10, 3)
    assert item.box == (1, 9, 9, 12)
    assert item.corners == (1, 9, 9, 9, 9, 12, 1, 12)
    assert not decoded["image"][:8].any()
    assert decoded["image"][8:13].all(axis=(0, 1))[2]
    assert not decoded["image"][13:].any()


@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
def test_a_marked_pixel_lands_where_its_box_says(raw_sample, detection, fit):
    """Picture and box are moved by the same rule, also where sizes are odd."""
    image = np.zeros((50, 90, 3), np.uint8)
    image[20:30, 30:60] = 255
    raw = {
        **raw_sample(size_wh=(90, 50), detection=detection((30, 20, 60, 30))),
        "png": encode_rgb(image, "png"),
    }
    decoded = decode(raw, size=(61, 67), fit=fit)

    (item,) = decoded["detection"].objects
    rows, columns = np.nonzero(decoded["image"][:, :, 0] >= 128)
    found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    np.testing.assert_allclose(found, item.box, atol=1)


@pytest.mark.parametrize("size", [None, (7, 7), (40, 20)])
@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
def test_the_picture_is_the_callers_to_write(raw_sample, size, fit):
    """Pixels are writable and contiguous, resized or not."""
    image = decode(raw_sample(), size=size, fit=fit)["image"]
    assert image.flags.writeable
    assert image.flags.c_contiguous


def test_a_picture_of_another_size_than_meta_says_is_refused(raw_sample):
    """Boxes would not fit it; shard and key are named."""
    raw = {**raw_sample("b"), "png": raw_sample(size_wh=(8, 6))["png"]}
    message = r"train-000007\.tar: sample 'b': meta\.json says 20 x 10 pixels, the image has 8 x 6"
    with pytest.raises(DecodeError, match=message):
        decode(raw)


def test_a_damaged_picture_is_refused(raw_sample):
    """Shard, key and member are named."""
    raw = raw_sample("b")
    raw["png"] = raw["png"][:-20]
    with pytest.raises(DecodeError, match=r"train-000007\.tar: sample 'b': member 'png'"):
        decode(raw)


def test_a_picture_above_the_limit_is_refused(raw_sample):
    """`max_pixels` is checked."""
    with pytest.raises(DecodeError, match="max_pixels=199"):
        decode(raw_sample(), max_pixels=199)
    assert decode(raw_sample(), max_pixels=200)["image"].size == 600


def test_several_pictures_need_a_name(raw_sample, picture):
    """Two images are ambiguous; `image_extension` chooses."""
    raw = {**raw_sample(), "jpg": encode_rgb(picture((20, 10)), "jpeg")}
    with pytest.raises(
        DecodeError, match=r"'a': expected one image, found 2 .*meta\.json, png, jpg"
    ):
        decode(raw)

    decoded = decode(raw, image_extension="png")
    np.testing.assert_array_equal(decoded["image"], picture((20, 10)))
    assert decoded["jpg"] == raw["jpg"]


def test_the_plain_extension_is_the_picture(raw_sample):
    """A mask beside the picture is kept as it is."""
    raw = {**raw_sample(), "mask.png": b"a mask"}
    decoded = decode(raw)
    assert decoded["image"].shape == (10, 20, 3)
    assert decoded["mask.png"] == b"a mask"


@pytest.mark.parametrize("options", [{}, {"image_extension": "jpg"}])
def test_a_sample_without_the_picture_is_refused(raw_sample, options):
    """The members that there are are listed."""
    raw = raw_sample(vqa=QA)
    del raw["png"]
    message = r"sample 'a': expected one image, found 0 among the members vqa\.json, meta\.json"
    with pytest.raises(DecodeError, match=message):
        decode(raw, **options)


def test_a_foreign_sample_decodes(raw_sample):
    """Without `meta.json`, name and size are those of the key and the picture."""
    decoded = decode({"__key__": "x/7", "png": raw_sample()["png"], "cls": b"3", "json": b"{}"})

    assert decoded["meta"] == Meta(name="x/7", width=20, height=10)
    assert decoded["cls"] == b"3"
    assert decoded["json"] == b"{}"
    assert all(decoded[name] is None for name in task_names())


@pytest.mark.parametrize("tasks", [None, "vqa"])
def test_a_member_named_as_a_field_is_not_taken_for_it(raw_sample, tasks):
    """`KEY.detection` is no parsed sidecar, and `KEY.image` no picture."""
    raw = {**raw_sample(), "detection": b"?", "image": b"?", "meta": b"?"}
    decoded = decode(raw, tasks=tasks, size=(5, 5))
    assert decoded.get("detection") is None
    assert decoded["image"].shape == (5, 5, 3)
    assert decoded["meta"].size_wh == (5, 5)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", r"sidecar of task 'vqa': .*Input data was truncated"),
        (b'{"qa_pairs": [{"question": "?"}]}', r".* field 'qa_pairs\[0\]': .* missing .*`answer`"),
        (b'{"qa_pairs": [], "more": 1}', r"sidecar of task 'vqa': .*unknown field `more`"),
    ],
)
def test_a_sidecar_that_does_not_fit_is_refused(raw_sample, data, message):
    """Shard, key, task and field are named."""
    with pytest.raises(SidecarError, match=r"^train-000007\.tar: sample 'b': " + message):
        decode({**raw_sample("b"), "vqa.json": data})


def test_meta_that_does_not_fit_is_refused(raw_sample):
    """The message says that it is `meta`."""
    with pytest.raises(SidecarError, match=r"sample 'a': sidecar of task 'meta': field 'width': "):
        decode({**raw_sample(), "meta.json": b'{"name": "a", "width": "20", "height": 10}'})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (0, 5)}, r"size: expected \(width, height\) in pixels, got \(0, 5\)"),
        ({"size": (5,)}, "size: expected"),
        ({"fit": "crop"}, "fit: expected 'stretch' or 'letterbox', got 'crop'"),
    ],
)
def test_options_are_checked(options, message):
    """The message names the option and its value."""
    with pytest.raises(ConfigError, match=message):
        Decode(**options)


def test_the_fields_are_the_whole_stage(raw_sample):
    """It pickles, compares, hashes and prints by its fields."""
    stage = Decode(size=(8, 8), tasks=["vqa"], fit="letterbox")
    copy = pickle.loads(pickle.dumps(stage))

    assert copy == stage
    assert hash(copy) == hash(stage)
    assert stage != Decode(size=(8, 8), tasks=["vqa"])
    assert "size=(8, 8), tasks=('vqa',), fit='letterbox'" in repr(stage)
    first, second = decode(raw_sample()), next(Decode()(iter([raw_sample()])))
    np.testing.assert_array_equal(first.pop("image"), second.pop("image"))
    assert first == second


def test_samples_come_in_order_and_one_at_a_time(raw_sample):
    """A stream is decoded lazily: nothing is read ahead."""
    taken = []

    def samples():
        for key in ("a", "b", "c"):
            taken.append(key)
            yield raw_sample(key)

    decoded = Decode()(samples())
    assert next(decoded)["__key__"] == "a"
    assert taken == ["a"]
    assert [sample["__key__"] for sample in decoded] == ["b", "c"]


def test_a_decoded_sidecar_is_what_was_written(raw_sample, detection):
    """Nothing is lost or added on the way through the bytes."""
    written = detection((1, 2, 3, 4), (5, 5, 5, 5))
    decoded = decode(raw_sample(detection=written))["detection"]
    items = msgspec.to_builtins(decoded)["objects"]
    assert [item["box"] for item in items] == [(1, 2, 3, 4), (5, 5, 5, 5)]
    assert [item["label"] for item in items] == ["ship", "plane"]


@pytest.mark.parametrize(("side", "new"), [(600, 336), (300, 672), (400, 224), (1200, 336)])
def test_boxes_without_area_on_the_border_stay(side, new):
    """Scaling rounds; what lay on the border is not beyond it."""
    from vrs_wds.geometry.frame import Frame
    from vrs_wds.tasks.registry import get_task

    box = (float(side), 0.0, float(side), 5.0)
    task = get_task("detection")
    item = msgspec.convert({"object_id": 0, "label": "x", "box": box}, DetectedObject)
    sidecar = task.schema(objects=(item,))
    moved = task.move(sidecar, Frame.resize((side, side), (new, new)))

    assert len(moved.objects) == 1


def drawn(size_wh):
    """A picture that looks like the ground from above, as a JPEG."""
    return encode_rgb(draw_picture(np.random.default_rng(0), size_wh), "jpeg", quality=95)


@pytest.mark.parametrize(
    ("size", "fit", "least_db"),
    [((96, 64), "stretch", 35), ((48, 32), "letterbox", 35), ((50, 40), "letterbox", 30)],
)
def test_a_shrunk_picture_is_close_to_the_mean_of_areas(size, fit, least_db):
    """By peak signal-to-noise ratio; and so is the triangle filter."""
    raw = {"__key__": "a", "__url__": "", "jpg": drawn((192, 128))}
    area = decode(raw, size=size, fit=fit, filter="area")["image"]
    for name in ("shrunk", "triangle"):
        image = decode(raw, size=size, fit=fit, filter=name)["image"]
        error = np.mean((image.astype(float) - area) ** 2)
        ratio = 10 * np.log10(255**2 / max(error, 1e-9))
        assert image.shape == (size[1], size[0], 3)
        assert ratio > (least_db if name == "shrunk" else 30), (name, ratio)


def test_only_pictures_that_become_half_as_large_are_shrunk():
    """Of the others every coefficient is used."""
    raw = {"__key__": "a", "__url__": "", "jpg": drawn((192, 128))}
    for size in ((97, 64), (96, 65), (192, 128), (200, 300)):
        np.testing.assert_array_equal(
            decode(raw, size=size)["image"], decode(raw, size=size, filter="triangle")["image"]
        )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_pictures_are_shrunk_too(orientation):
    """The size asked for is that of the upright picture; boxes have its frame."""
    from io import BytesIO

    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = BytesIO()
    Image.open(BytesIO(drawn((192, 128)))).save(buffer, "JPEG", exif=exif, quality=95)
    raw = {"__key__": "a", "__url__": "", "jpg": buffer.getvalue()}
    full = decode(raw)["image"]
    size = (full.shape[1] // 2, full.shape[0] // 2)
    slots = []

    def slot(height, width):
        slots.append(np.zeros((height, width, 3), np.uint8))
        return slots[-1]

    decoded = Decode(size=size).decode(raw, slot)
    assert decoded["meta"].size_wh == size
    assert len(slots) == 1
    assert decoded["image"] is slots[0]
    area = decode(raw, size=size, filter="area")["image"]
    assert np.abs(decoded["image"].astype(float) - area).mean() < 4
