"""`VRSBenchSource`: matching, the report, the three layouts, pickling."""

import json
import logging
import multiprocessing
import pickle
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np
import pytest

from vrs_wds.errors import ConfigError, DecodeError, SourceError
from vrs_wds.sample import Source
from vrs_wds.sources.vrsbench import VRSBenchReport, VRSBenchSource
from vrs_wds.tasks.registry import get_task
from vrs_wds.tasks.sidecars import encode_sidecar
from vrs_wds.testing.pictures import draw_picture, encode_png
from vrs_wds.testing.synthetic import make_vrsbench
from vrs_wds.testing.vrsbench_files import write_files

LAYOUTS = ["extracted", "nested", "zip"]
LOGGER = "vrs_wds.sources.vrsbench.source"


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """The same small dataset in every layout."""
    base = tmp_path_factory.mktemp("vrsbench")
    return {
        layout: make_vrsbench(base / layout, num_train=16, num_val=8, size=64, layout=layout)
        for layout in LAYOUTS
    }


@pytest.fixture(scope="module")
def png():
    """A picture of 64 x 32 pixels."""
    return encode_png(draw_picture(np.random.default_rng(0), (64, 32)))


def content(source):
    """Return everything of every sample, sidecars as bytes, but where it came from."""
    return [
        (
            sample.name,
            sample.image,
            sample.extension,
            dict(sample.extra),
            {
                task: encode_sidecar(get_task(task), sidecar, where=sample.name)[1]
                for task, sidecar in sample.annotations.items()
            },
        )
        for sample in source
    ]


def write_split(root, png, images, annotations, split="val"):
    """Write pictures by name and annotations (name to its fields) of a split."""
    write_files(root, f"Images_{split}", [(name, png) for name in images])
    files = [(name, json.dumps(fields).encode()) for name, fields in annotations.items()]
    write_files(root, f"Annotations_{split}", files)
    return root


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("annotations", ["images", "records"])
def test_the_layouts_give_the_same_bytes(roots, split, annotations):
    """Extracted, nested or zipped: names, pictures and sidecars are equal, byte for byte."""
    first, second, third = (
        content(VRSBenchSource(roots[layout], split, annotations=annotations)) for layout in LAYOUTS
    )
    assert first == second == third
    assert len(first) == {"train": 16, "val": 8}[split]


def test_layouts_may_be_mixed(roots, tmp_path):
    """Pictures extracted, annotations still in their archive: the same samples again."""
    shutil.copytree(roots["extracted"] / "Images_val", tmp_path / "Images_val")
    shutil.copy(roots["zip"] / "Annotations_val.zip", tmp_path)
    assert content(VRSBenchSource(tmp_path, "val")) == content(VRSBenchSource(roots["zip"], "val"))


def test_it_is_a_source_in_the_order_of_names(roots):
    """The protocol is met; samples are sorted; numbers outside are IndexErrors."""
    source = VRSBenchSource(roots["zip"], "val")
    assert isinstance(source, Source)
    names = [sample.name for sample in source]
    assert names == sorted(names)
    assert source[-1].name == names[-1]
    with pytest.raises(IndexError):
        source[8]
    assert repr(source) == f"VRSBenchSource({str(roots['zip'])!r}, 'val'): 8 samples"


def test_a_sample_says_where_it_came_from(roots):
    """`extra` keeps the file's name and the source; `origin` names the annotation."""
    sample = VRSBenchSource(roots["zip"], "val")[0]
    assert sample.name == "50001_0000"
    assert sample.extra == {"file_name": "50001_0000.png", "source": "DIOR"}
    assert sample.origin == "Annotations_val.zip: 50001_0000.json"
    sample = VRSBenchSource(roots["nested"], "val")[0]
    assert sample.origin == "Annotations_val/Annotations_val/50001_0000.json"
    sample = VRSBenchSource(roots["zip"], annotations="records")[0]
    assert sample.extra == {"file_name": "00001_0000.png"}
    assert sample.origin == "VRSBench_train.json: 00001_0000"


def test_validation_is_val(roots):
    """Two words for one split."""
    assert VRSBenchSource(roots["zip"], "validation").split == "val"


def test_pixels_are_those_of_the_upright_picture(tmp_path, png):
    """Coordinates are fractions of the picture's own sides, here 64 x 32."""
    item = {"obj_id": 0, "obj_cls": "dam", "obj_corner": [0, 0, 1, 0, 1, 0.5, 0, 0.5]}
    write_split(tmp_path, png, ["a.png"], {"a.json": {"objects": [item]}})
    (found,) = VRSBenchSource(tmp_path, "val")[0].annotations["detection"].objects
    assert found.box == (0, 0, 64, 16)


def test_auto_prefers_annotation_files_and_falls_back_to_records(roots, tmp_path):
    """Without annotation files the records speak; forcing either is possible."""
    assert "detection" in VRSBenchSource(roots["zip"], "val")[0].annotations
    shutil.copy(roots["zip"] / "Images_val.zip", tmp_path)
    shutil.copy(roots["zip"] / "VRSBench_EVAL_vqa.json", tmp_path)
    for mode in ("auto", "records"):
        source = VRSBenchSource(tmp_path, "val", annotations=mode)
        assert {task for sample in source for task in sample.annotations} == {
            "vqa",
            "classification",
        }
    with pytest.raises(SourceError, match=r"expected annotations in Annotations_val/ or Ann.*zip,"):
        VRSBenchSource(tmp_path, "val", annotations="images")


def test_missing_annotations_name_every_file_that_would_do(tmp_path, png):
    """The message lists folder, archive and record files, and what is there."""
    write_files(tmp_path, "Images_val", [("a.png", png)])
    with pytest.raises(SourceError) as caught:
        VRSBenchSource(tmp_path, "val")
    assert str(caught.value).startswith(
        f"{tmp_path}: expected annotations in Annotations_val/ or Annotations_val.zip or "
        "VRSBench_EVAL_Cap.json or VRSBench_EVAL_referring.json or VRSBench_EVAL_vqa.json, "
        "found Images_val/. "
    )


def test_pictures_and_annotations_without_each_other_are_reported(tmp_path, png, caplog):
    """They are left out, listed by name, and logged once when the source is made."""
    write_split(
        tmp_path, png, ["a.png", "b.png", "c.png"], {"b.json": {"caption": "B"}, "x.json": {}}
    )
    with caplog.at_level(logging.WARNING):
        source = VRSBenchSource(tmp_path, "val")
        assert [sample.annotations["captioning"].captions for sample in source] == [("B",)]
        pickle.loads(pickle.dumps(source))
    assert source.report == VRSBenchReport(
        split="val",
        num_samples=1,
        images_without_annotation=("a", "c"),
        annotations_without_image=("x",),
    )
    assert source.report.num_unmatched == 3
    assert str(source.report) == (
        "VRSBench val: 1 samples\n"
        "  2 pictures without an annotation, left out: a, c\n"
        "  1 annotations without a picture, left out: x"
    )
    assert [record.name for record in caplog.records] == [LOGGER]
    assert str(source.report) in caplog.text


def test_unmatched_names_are_matched_for_records_too(tmp_path, png):
    """A picture without any record, and a record without its picture."""
    write_files(tmp_path, "Images_val", [("a.png", png), ("b.png", png)])
    records = [
        {"image_id": f"{stem}.png", "question": "q", "ground_truth": "x", "question_id": 0}
        for stem in "bz"
    ]
    (tmp_path / "VRSBench_EVAL_vqa.json").write_text(json.dumps(records))
    report = VRSBenchSource(tmp_path, "val").report
    assert report.images_without_annotation == ("a",)
    assert report.annotations_without_image == ("z",)


def test_unmatched_error_raises_and_names_them(tmp_path, png):
    """With unmatched="error" an incomplete dataset is refused."""
    write_split(tmp_path, png, ["a.png"], {"a.json": {}, "x.json": {}})
    with pytest.raises(SourceError, match="annotations without a picture, left out: x\nFetch"):
        VRSBenchSource(tmp_path, "val", unmatched="error")
    write_split(tmp_path, png, ["x.png"], {})
    assert len(VRSBenchSource(tmp_path, "val", unmatched="error")) == 2


def test_a_complete_dataset_logs_nothing(roots, caplog):
    """Repairs alone are in the report, not in the log."""
    with caplog.at_level(logging.WARNING):
        report = VRSBenchSource(roots["zip"], "train").report
    assert caplog.records == []
    assert report.repairs == {"boxes_of_zero_area": 2}
    assert str(report) == "VRSBench train: 16 samples\n  2 boxes without area, kept"


def test_the_image_field_names_the_picture(tmp_path, png, caplog):
    """Files whose names were mixed up: the annotation says whom it is about, and it is reported."""
    swapped = {
        "a.json": {"image": "b.png", "caption": "B"},
        "b.json": {"image": "a.png", "caption": "A"},
        "c.json": {"image": "c", "caption": "C"},
        "d.json": {"caption": "D"},
    }
    write_split(tmp_path, png, ["a.png", "b.png", "c.png", "d.png"], swapped)
    with caplog.at_level(logging.WARNING):
        source = VRSBenchSource(tmp_path, "val")
    captions = {s.name: s.annotations["captioning"].captions[0] for s in source}
    assert captions == {"a": "A", "b": "B", "c": "C", "d": "D"}
    assert source.report.names_that_differ == ("a.json -> b.png", "b.json -> a.png")
    assert "2 annotation files that name another picture, followed: a.json -> b.png" in caplog.text


def test_position_never_matters(tmp_path, png):
    """One picture less at the front does not shift the annotations of the others."""
    annotations = {f"{stem}.json": {"caption": stem.upper()} for stem in "abcd"}
    write_split(tmp_path, png, ["b.png", "d.jpg"], annotations)
    source = VRSBenchSource(tmp_path, "val")
    assert [(s.name, s.annotations["captioning"].captions) for s in source] == [
        ("b", ("B",)),
        ("d", ("D",)),
    ]


def test_two_annotations_of_one_picture_are_an_error_that_names_both(tmp_path, png):
    """No guess is made as to which is meant."""
    write_split(tmp_path, png, ["a.png"], {"a.json": {}, "b.json": {"image": "a.png"}})
    with pytest.raises(SourceError, match=r"'a': .*Annotations_val/a\.json and .*/b\.json"):
        VRSBenchSource(tmp_path, "val")


def test_a_malformed_annotation_ends_the_run_before_it_begins(tmp_path, png):
    """The message names archive, entry and field."""
    write_files(tmp_path, "Images_val", [("a.png", png)])
    write_files(tmp_path, "Annotations_val", [("a.json", b'{"caption": 3}')], "zip")
    with pytest.raises(
        SourceError, match=r"Annotations_val\.zip: Annotations_val/a\.json: caption: Expected `str"
    ):
        VRSBenchSource(tmp_path, "val")


def test_no_picture_is_read_before_it_is_asked_for(tmp_path):
    """What is no picture is found when its sample is asked for, and is named."""
    write_split(tmp_path, b"no picture", ["a.png"], {"a.json": {}})
    source = VRSBenchSource(tmp_path, "val")
    with pytest.raises(DecodeError, match=r"Images_val/a\.png"):
        source[0]


@pytest.mark.parametrize(
    "options", [{"annotations": "json"}, {"unmatched": "ignore"}, {"unmatched": ""}]
)
def test_a_word_that_is_not_known_is_refused(roots, options):
    """The message lists the words that are."""
    with pytest.raises(ConfigError, match=r"expected one of \w+, \w+"):
        VRSBenchSource(roots["zip"], "val", **options)


def _names(source):
    return [msgspec.json.encode(sample.annotations) + sample.image for sample in source]


@pytest.mark.parametrize("annotations", ["images", "records"])
@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_processes_and_threads_read_the_same(roots, annotations, method):
    """A pickled copy in other processes, and many threads here, give what one loop gives."""
    source = VRSBenchSource(roots["zip"], "val", annotations=annotations)
    expected = _names(source)
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(_names, [source] * 2) == [expected] * 2
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(_names, [source] * 8)) == [expected] * 8


def test_an_archive_with_a_huge_entry_is_refused(tmp_path, png):
    """17 MiB of blanks compress to nothing; they are not unpacked."""
    write_files(tmp_path, "Images_val", [("a.png", png)])
    with zipfile.ZipFile(tmp_path / "Annotations_val.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.json", b" " * (17 * 2**20))
    with pytest.raises(SourceError, match=r"a\.json: expected at most 16,777,216 bytes"):
        VRSBenchSource(tmp_path, "val")


def test_a_report_of_many_shows_the_first_names():
    """Counts are complete, names are not."""
    names = tuple(f"P{number:04d}" for number in range(1200))
    text = str(VRSBenchReport("val", 3, images_without_annotation=names))
    assert "1,200 pictures without an annotation, left out: P0000, P0001, " in text
    assert text.endswith("P0004, ...")
