"""`write_shards`."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vrs_wds.errors import (
    ConfigError,
    DatasetExistsError,
    DecodeError,
    DuplicateKeyError,
    ManifestError,
    ResumeError,
    SidecarError,
    SourceError,
    UnknownTaskError,
)
from vrs_wds.images.decode import decode_rgb
from vrs_wds.images.encode import encode_rgb
from vrs_wds.order.world import World
from vrs_wds.reader.open import open_dataset
from vrs_wds.sample import SourceSample
from vrs_wds.sizes import ByteSize
from vrs_wds.writer.options import ImageOptions, ShardConfig, ShardOptions, SidecarOptions
from vrs_wds.writer.write import write_shards

IMAGE = encode_rgb(np.zeros((8, 8, 3), np.uint8), "png")


def contents(root: Path) -> dict[str, bytes]:
    """Return every file of a folder, hidden ones too."""
    files = [path for path in root.rglob("*") if path.is_file()]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def plain(name: str, **annotations: Any) -> SourceSample:
    """Return a sample with a black picture."""
    return SourceSample(name, IMAGE, "png", annotations, origin=f"origin of {name}")


@pytest.mark.parametrize("num_workers", [1, 3])
def test_equal_bytes_for_any_number_of_workers(
    small_root: Path, small_source: Any, config: ShardConfig, tmp_path: Path, num_workers: int
) -> None:
    """Shards, index, manifest and card, to the byte."""
    report = write_shards(
        small_source, tmp_path, split="train", config=config, num_workers=num_workers
    )

    assert contents(tmp_path) == contents(small_root)
    assert (report.num_samples, report.num_shards) == (23, 4)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_any_iterable_is_a_source(
    small_root: Path, small_samples: Any, config: ShardConfig, tmp_path: Path, num_workers: int
) -> None:
    """A generator gives the same bytes as the source with a length."""
    samples = (sample for sample in small_samples)
    write_shards(samples, tmp_path, split="train", config=config, num_workers=num_workers)

    assert contents(tmp_path) == contents(small_root)


@given(
    sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=12),
    max_samples=st.integers(1, 5),
    max_bytes=st.integers(1, 12_000),
)
@settings(max_examples=25, deadline=None)
def test_shards_are_cut_at_the_limits(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], max_samples: int, max_bytes: int
) -> None:
    """Within the limits, unless one sample alone is too large; no shard could take more.

    But for those that end where a block does, at a multiple of `max_samples`.
    """
    root = tmp_path_factory.mktemp("cut")
    samples = [
        plain(f"s{i}", captioning={"captions": ["x" * size]}) for i, size in enumerate(sizes)
    ]
    options = ShardOptions(max_samples=max_samples, max_bytes=ByteSize(max_bytes))
    write_shards(samples, root, split="train", config=ShardConfig(shards=options))
    shards = open_dataset(root).manifest.shardlist

    for shard in shards:
        assert shard.nsamples <= max_samples
        assert shard.filesize <= max_bytes or shard.nsamples == 1
        assert shard.filesize == (root / shard.url).stat().st_size
    assert open_dataset(root).column("key") == [s.name for s in samples]
    first_sizes = open_dataset(root).column("size")
    starts = open_dataset(root).shard_starts
    for number in range(len(shards) - 1):
        full = shards[number].nsamples == max_samples
        at_block = starts[number + 1] % max_samples == 0
        assert (
            full
            or at_block
            or shards[number].filesize + first_sizes[starts[number + 1]] > max_bytes
        )


def test_images_keep_their_bytes(small_root: Path, small_samples: Any) -> None:
    """By default nothing is decoded or encoded."""
    for sample, source in zip(open_dataset(small_root), small_samples, strict=True):
        assert sample["png"] == source.image


@pytest.mark.parametrize(
    ("encode", "extension"), [("jpeg", "jpg"), ("webp", "webp"), ("png", "png")]
)
@pytest.mark.parametrize("num_workers", [0, 1])
def test_images_can_be_encoded_anew(
    tmp_path: Path, small_samples: Any, encode: Any, extension: str, num_workers: int
) -> None:
    """The index knows the new format; a lower quality gives fewer bytes; pixels stay close."""
    sizes = []
    for quality in (95, 30):
        config = ShardConfig(image=ImageOptions(encode=encode, quality=quality))
        root = tmp_path / str(quality)
        write_shards(small_samples[:4], root, split="val", config=config, num_workers=num_workers)
        dataset = open_dataset(root)
        assert dataset.column("format") == [encode] * 4
        assert dataset.extensions[-1] == extension
        sizes.append(sum(dataset.column(f"{extension}:size")))
        for sample, source in zip(dataset, small_samples[:4], strict=True):
            old, new = (decode_rgb(data, where="") for data in (source.image, sample[extension]))
            assert old.shape == new.shape
            if encode == "png":
                assert (old == new).all()

    assert sizes[1] <= sizes[0] if encode == "png" else sizes[1] < sizes[0]


def test_only_the_tasks_asked_for_are_written(tmp_path: Path, small_samples: Any) -> None:
    """And a name that is no task is an error."""
    write_shards(small_samples, tmp_path, split="a", config=ShardConfig(tasks=("vqa",)))

    assert open_dataset(tmp_path, "a").extensions == ("vqa.json", "meta.json", "png")
    with pytest.raises(UnknownTaskError, match="'nope' is not among"):
        write_shards(small_samples, tmp_path, split="b", config=ShardConfig(tasks="nope"))


def test_missing_sidecars_can_be_made_explicit(tmp_path: Path, small_samples: Any) -> None:
    """With `missing: empty` every sample has every sidecar."""
    config = ShardConfig(sidecars=SidecarOptions(missing="empty"))
    write_shards(small_samples, tmp_path, split="train", config=config)
    dataset = open_dataset(tmp_path)

    assert set(dataset.tasks) == {"captioning", "classification", "detection", "grounding", "vqa"}
    assert all(len(sample) == 7 for sample in dataset)
    assert dataset.metadata(0)["grounding"].expressions == ()


def test_names_are_kept_in_meta_and_found_by_key(small_root: Path, small_samples: Any) -> None:
    """`tile.9 ü` becomes a key; `meta.json` has the name."""
    dataset = open_dataset(small_root)

    assert dataset.column("key")[9] == "tile-x2E9-x20-xC3-xBC"
    assert dataset.metadata("tile-x2E9-x20-xC3-xBC")["meta"].name == "tile.9 ü"


def test_a_key_given_twice_names_both_places(tmp_path: Path) -> None:
    """And nothing is published."""
    samples = [plain("a"), plain("b"), replace(plain("a"), origin="another place")]
    both = r"by origin of a \(sample 0\) and by another place \(sample 2\)"
    with pytest.raises(DuplicateKeyError, match=both):
        write_shards(samples, tmp_path, split="train")

    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        (
            {"vqa": {"qa_pairs": [{"question": 3, "answer": ""}]}},
            r"train-000000\.tar: sample 'a' \(origin of a\): sidecar of task 'vqa': field "
            r"'qa_pairs\[0\]\.question': Expected `str`, got `int`",
        ),
        ({"vqa": {"qa_pairs": [], "more": 1}}, "task 'vqa': .*unknown field `more`"),
        ({"detection": {}}, "task 'detection': .*missing required field `objects`"),
        (
            {"detection": {"objects": [{"object_id": 0, "label": "x", "box": [5, 0, 1, 1]}]}},
            r"task 'detection': objects\[0\]\.box: expected x_min, y_min, x_max, y_max",
        ),
        (
            {"detection": {"objects": [{"object_id": 0, "label": "x", "box": [0, 0, 8, 9]}]}},
            r"objects\[0\]\.box: expected pixels within the picture of 8 x 8, got \(0\.0, 0\.0, 8",
        ),
        (
            {"grounding": {"expressions": [{"text": "a", "box": [0, 0, float("nan"), 1]}]}},
            r"task 'grounding': expressions\[0\]: expected finite coordinates",
        ),
        (
            {"grounding": {"expressions": [{"text": " ", "box": [0, 0, 1, 1]}]}},
            r"task 'grounding': expressions\[0\]\.text: expected a text",
        ),
    ],
)
@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_bad_annotation_names_shard_key_task_and_field(
    tmp_path: Path, annotations: dict[str, Any], message: str, num_workers: int
) -> None:
    """Whichever process finds it; and nothing is published."""
    samples = [plain("b"), plain("a", **annotations)]
    with pytest.raises(SidecarError, match=message):
        write_shards(samples, tmp_path, split="train", num_workers=num_workers)

    assert contents(tmp_path) == {}


def test_a_struct_with_wrong_values_is_found_too(tmp_path: Path) -> None:
    """A Struct made by hand is not trusted."""
    from vrs_wds.tasks.captioning import Captioning

    with pytest.raises(SidecarError, match=r"captions\[0\]"):
        write_shards([plain("a", captioning=Captioning((1,)))], tmp_path, split="train")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (replace(plain("a"), image=b"junk"), "train-000000.tar: sample 'a' .*member 'png'"),
        (replace(plain("a"), extension="txt"), "member 'txt': expected an image's extension"),
        (replace(plain("a"), extension="mask.png"), "expected an image's extension"),
    ],
)
def test_a_bad_image_names_shard_key_and_member(
    tmp_path: Path, sample: SourceSample, message: str
) -> None:
    """Found when it is written, not when it is trained on."""
    with pytest.raises(DecodeError, match=message):
        write_shards([sample], tmp_path, split="train")


@pytest.mark.parametrize("limits", [{"max_bytes": ByteSize(10)}, {"max_pixels": 63}])
def test_images_beyond_the_limits_are_errors(tmp_path: Path, limits: dict[str, Any]) -> None:
    """The message names the option."""
    config = ShardConfig(image=ImageOptions(**limits))
    with pytest.raises(DecodeError, match=rf"image\.{next(iter(limits))}"):
        write_shards([plain("a")], tmp_path, split="train", config=config)


def test_annotations_for_an_unknown_task_are_an_error(tmp_path: Path) -> None:
    """Not a silent loss."""
    with pytest.raises(UnknownTaskError, match=r"unknown task 'segmentation'.*register_task"):
        write_shards([plain("a", segmentation={})], tmp_path, split="train")


def test_a_source_without_samples_is_an_error(tmp_path: Path) -> None:
    """An empty shard would look like a dataset."""
    with pytest.raises(SourceError, match="split 'train': the source has no samples"):
        write_shards([], tmp_path, split="train")

    assert contents(tmp_path) == {}


def test_an_exception_in_the_source_publishes_nothing(
    tmp_path: Path, small_samples: Any, config: ShardConfig
) -> None:
    """Shards that were complete stay hidden, for the next call; the error says so."""

    def failing() -> Iterator[SourceSample]:
        yield from small_samples
        raise RuntimeError("no more pictures")

    with pytest.raises(RuntimeError, match="no more pictures") as caught:
        write_shards(failing(), tmp_path, split="train", config=config)

    assert all(name.startswith(".train.writing/") for name in contents(tmp_path))
    assert any("3 complete shards are kept" in note for note in caught.value.__notes__)
    with pytest.raises(ResumeError, match="resume=False"):  # all samples, and no error at the end
        write_shards(small_samples[:5], tmp_path, split="train", config=config)
    write_shards(small_samples[:5], tmp_path, split="train", config=config, resume=False)
    assert len(open_dataset(tmp_path)) == 5
    assert not [name for name in contents(tmp_path) if name.startswith(".")]


def test_a_split_that_is_there_is_not_touched(tmp_path: Path) -> None:
    """Unless it is to be replaced; other splits stay."""
    write_shards([plain("a")], tmp_path, split="train")
    write_shards([plain("v")], tmp_path, split="val")
    before = contents(tmp_path)
    with pytest.raises(DatasetExistsError, match=r"train\.json: the split 'train' is there"):
        write_shards([plain("b")], tmp_path, split="train")
    assert contents(tmp_path) == before

    write_shards([plain("b")], tmp_path, split="train", overwrite=True)
    assert open_dataset(tmp_path, "train").column("key") == ["b"]
    assert open_dataset(tmp_path, "val").column("key") == ["v"]


def test_replacing_a_split_touches_nothing_else(tmp_path: Path) -> None:
    """Shards that the old manifest lists go, and leftovers of its name; other files stay."""
    two = ShardConfig(shards=ShardOptions(max_samples=1))
    write_shards([plain("a"), plain("b"), plain("c")], tmp_path, split="train", config=two)
    write_shards([plain("a")], tmp_path, split="train-b")
    (tmp_path / "train-old").mkdir()
    others = ["train-old/x.tar", "train-notes.tar", "train-000009.txt", "train-9.tar"]
    for name in others:
        (tmp_path / name).write_bytes(b"mine")
    (tmp_path / "train-000007.tar").write_bytes(b"left by somebody")
    write_shards([plain("x")], tmp_path, split="train", overwrite=True)

    assert open_dataset(tmp_path, "train-b").column("key") == ["a"]
    assert all((tmp_path / name).read_bytes() == b"mine" for name in others)
    assert {p.name for p in tmp_path.glob("train-0*.tar")} == {"train-000000.tar"}


def test_shards_of_somebody_else_are_not_overwritten(tmp_path: Path) -> None:
    """Tars of that name without a manifest: an error, and they stay as they are."""
    (tmp_path / "train-000000.tar").write_bytes(b"theirs")
    with pytest.raises(DatasetExistsError, match="1 shards of the split 'train' are there"):
        write_shards([plain("a")], tmp_path, split="train")

    assert contents(tmp_path) == {"train-000000.tar": b"theirs"}


def test_the_card_keeps_what_a_person_wrote(tmp_path: Path) -> None:
    """Metadata and text of theirs stay; files and features are brought up to date."""
    (tmp_path / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n# Mine\n\nMy words.\n")
    write_shards([plain("a", captioning={"captions": []})], tmp_path, split="train")
    write_shards([plain("v", vqa={"qa_pairs": []})], tmp_path, split="val")
    text = (tmp_path / "README.md").read_text()

    assert "license: cc-by-4.0" in text
    assert text.endswith("# Mine\n\nMy words.\n")
    for part in ("split: train", "split: val", "captioning.json", "vqa.json", "dtype: image"):
        assert part in text


def test_samples_of_several_image_formats(tmp_path: Path) -> None:
    """Each keeps its extension; the index has columns for both."""
    jpeg = encode_rgb(np.zeros((8, 8, 3), np.uint8), "jpeg")
    samples = [plain("a"), SourceSample("b", jpeg, "JPG")]
    config = ShardConfig(shards=ShardOptions(max_samples=1))
    write_shards(samples, tmp_path, split="train", config=config)
    dataset = open_dataset(tmp_path)

    assert dataset.extensions == ("meta.json", "jpg", "png")
    assert [list(sample) for sample in dataset] == [["meta.json", "png"], ["meta.json", "jpg"]]
    assert dataset.column("format") == ["png", "jpeg"]


def test_extra_values_of_a_source_are_kept(tmp_path: Path) -> None:
    """Whatever JSON holds; anything else is an error that names the sample."""
    write_shards([replace(plain("a"), extra={"gsd": 0.3, "tags": ["x"]})], tmp_path, split="train")
    assert open_dataset(tmp_path).metadata(0)["meta"].extra == {"gsd": 0.3, "tags": ["x"]}

    with pytest.raises(SidecarError, match=r"sample 'a'.*'meta'"):
        write_shards([replace(plain("a"), extra={"x": object()})], tmp_path, split="val")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_workers": -1}, "num_workers: expected 0 or more"),
        ({"config": {"tasks": "all"}}, r"config: expected options as vrs_wds\.load_config"),
        ({"split": "../x"}, "split '../x'"),
        ({"split": ""}, "split ''"),
        ({"split": None}, "split None: expected letters"),
        ({"split": "a" * 101}, r"split 'a{20}'\.\.\.: expected at most 100 letters, got 101"),
    ],
)
def test_wrong_arguments_are_clear_errors(
    tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    """Each says what was expected."""
    with pytest.raises(ConfigError, match=message):
        write_shards([plain("a")], tmp_path, **({"split": "train"} | arguments))


@pytest.mark.parametrize("below", ["", "a/b"])
@pytest.mark.parametrize("kind", ["file", "dangling link"])
def test_a_file_where_the_folder_should_be(
    tmp_path: Path, small_source: Any, below: str, kind: str
) -> None:
    """It is named and stays as it is, whoever of several ranks looks."""
    file = tmp_path / "notes.txt"
    if kind == "file":
        file.write_text("keep me")
    else:
        file.symlink_to("nowhere")
    before = contents(tmp_path)
    for world in (None, World(rank=1, world_size=2)):
        with pytest.raises(ConfigError, match=r"but \S*/notes\.txt is a file\. Give the folder"):
            write_shards(small_source, file / below, split="train", world=world)

    assert contents(tmp_path) == before
    assert os.path.lexists(file)


def test_a_source_that_does_not_pickle_is_a_clear_error(tmp_path: Path, small_source: Any) -> None:
    """The message says the way out, and the way out works."""
    small_source.callback = lambda: None
    with pytest.raises(ConfigError, match="num_workers=0, or pass a generator"):
        write_shards(small_source, tmp_path, split="train", num_workers=1)

    samples = (small_source[i] for i in range(len(small_source)))
    write_shards(samples, tmp_path, split="train", num_workers=1)


def test_progress_is_shown_when_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And never on standard output."""
    write_shards([plain("a")], tmp_path, split="train", progress=True)
    write_shards([plain("a")], tmp_path, split="val")
    shown = capsys.readouterr()

    assert "write train" in shown.err
    assert "write val" not in shown.err
    assert shown.out == ""


SCRIPT = textwrap.dedent(
    """
    import os, signal, sys
    from vrs_wds.images.encode import encode_rgb
    from vrs_wds.sample import SourceSample
    from vrs_wds.writer.options import ShardConfig, ShardOptions
    from vrs_wds.writer.write import write_shards
    import numpy as np

    IMAGE = encode_rgb(np.zeros((8, 8, 3), np.uint8), "png")

    def samples():
        for i in range(10):
            if i == int(sys.argv[2]):
                os.kill(os.getpid(), getattr(signal, sys.argv[3]))
            yield SourceSample(f"s{i}", IMAGE, "png")

    config = ShardConfig(shards=ShardOptions(max_samples=3))
    overwrite = "overwrite" in sys.argv
    write_shards(samples(), sys.argv[1], split="train", config=config, overwrite=overwrite)
    """
)


@pytest.mark.parametrize("moment", [0, 2, 3, 9])
@pytest.mark.parametrize("name", ["SIGKILL", "SIGINT"])
def test_a_killed_writer_makes_no_dataset(tmp_path: Path, moment: int, name: str) -> None:
    """Nothing is visible; writing again works."""
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "out")]
    result = subprocess.run([*command, str(moment), name], capture_output=True, check=False)
    assert result.returncode != 0
    visible = {path.name for path in tmp_path.glob("out/*") if not path.name.startswith(".")}
    assert visible == set()

    subprocess.run([*command, "-1", "SIGKILL"], check=True)
    assert len(open_dataset(tmp_path / "out")) == 10


@pytest.mark.parametrize("moment", [0, 4, 9])
@pytest.mark.parametrize("name", ["SIGKILL", "SIGINT"])
def test_a_split_survives_until_it_is_replaced(tmp_path: Path, moment: int, name: str) -> None:
    """A writer that overwrites and is killed, or fails, leaves the old one as it was."""
    write_shards([plain("old")], tmp_path, split="train")
    before = contents(tmp_path)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    subprocess.run([*command, str(moment), name, "overwrite"], capture_output=True, check=False)
    after = {name: data for name, data in contents(tmp_path).items() if not name.startswith(".")}
    assert after == before

    dataset = open_dataset(tmp_path)
    again = (SourceSample(s.key, s["png"], "png") for s in dataset)  # its own input
    write_shards(again, tmp_path, split="train", overwrite=True, resume=False)
    assert open_dataset(tmp_path).column("key") == ["old"]
    assert not [name for name in contents(tmp_path) if name.startswith(".")]


def test_report_says_what_was_written(small_root: Path, tmp_path: Path, small_samples: Any) -> None:
    """Counts, bytes and tasks, as one line too."""
    report = write_shards(small_samples, tmp_path, split="train")

    assert report.tasks == {"captioning": 23, "detection": 11, "vqa": 15}
    assert report.num_bytes == (tmp_path / "train-000000.tar").stat().st_size
    assert "23 samples in 1 shards" in str(report)
    assert "\n" not in str(report)


def test_arrays_and_their_numbers_are_plain_values(tmp_path: Path) -> None:
    """As COCO-like sources have them in hand; in `extra` too. What JSON cannot hold is an error."""
    box = np.array([1, 2, 3, 4.0], dtype=np.float32)
    item = {"object_id": np.int64(3), "label": "x", "box": box}
    sample = replace(plain("a", detection={"objects": [item]}), extra={"gsd": np.float32(0.5)})
    write_shards([sample], tmp_path, split="train")
    metadata = open_dataset(tmp_path).metadata(0)

    assert metadata["detection"].objects[0].box == (1, 2, 3, 4)
    assert metadata["meta"].extra == {"gsd": 0.5}
    with pytest.raises(SidecarError, match="sample 'b'"):
        write_shards([replace(plain("b"), extra={"x": float("nan")})], tmp_path, split="val")


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (replace(plain("a"), image="/a/path.png"), "origin of a: image: expected the bytes of"),
        (replace(plain("a"), image=np.zeros((8, 8, 3))), "image: expected the bytes of an image"),
        (replace(plain("a"), name=7), "name: expected a text, got int"),
        (
            replace(plain("a"), annotations=None),
            "origin of a: annotations: expected a dict of tasks .*, got NoneType",
        ),
        (replace(plain("a"), annotations=[]), "annotations: expected a dict of .*, got list"),
        (
            replace(plain("a"), extra=None),
            "origin of a: extra: expected a dict of .*, got NoneType",
        ),
        (replace(plain("a"), extra=[1]), "extra: expected a dict of JSON values .*, got list"),
        ({"name": "a"}, r"expected the source to give vrs_wds\.SourceSample, got dict"),
    ],
)
def test_what_is_no_source_sample(tmp_path: Path, sample: Any, message: str) -> None:
    """Found before anything is done with it."""
    with pytest.raises(SourceError, match=message):
        write_shards([sample], tmp_path, split="train")


class Failing:
    """A source whose third sample fails."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, number: int) -> SourceSample:
        if number == 3:
            raise KeyError("nope")
        return plain(f"s{number}")


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_exception_of_the_source_says_for_which_sample(tmp_path: Path, num_workers: int) -> None:
    """As a note, whichever process it was in; it stays what it was."""
    with pytest.raises(KeyError, match="nope") as caught:
        write_shards(Failing(), tmp_path, split="train", num_workers=num_workers)

    assert caught.value.__notes__ == ["while loading sample 3 of the source"]


def test_options_of_a_wrong_kind(tmp_path: Path) -> None:
    """A dict where options belong is refused at once."""
    with pytest.raises(ConfigError, match=r"shards: expected vrs_wds\.ShardOptions"):
        ShardConfig(shards={"max_samples": 3})  # type: ignore[arg-type]


def test_the_longest_name_of_a_split(tmp_path: Path) -> None:
    """All files that are named after it can be made, staged ones too."""
    split = "a" * 100
    write_shards([plain("a")], tmp_path, split=split)

    assert open_dataset(tmp_path, split).column("key") == ["a"]


def test_a_source_sample_prints_without_its_bytes() -> None:
    """A notebook is not flooded."""
    assert repr(plain("a", vqa={})) == f"SourceSample('a', png: {len(IMAGE)} B, vqa)"


@pytest.mark.parametrize(
    "card",
    [
        b"\xff\xfe",
        b"---\n- a\n---\n",
        b"---\na: [\n---\n",
        b"---\r\nlicense: [\r\n---\r\nx\r\n",
        b"---\n1: 2\n---\nx",
        b"---\nto_dict: 1\n---\nx",
    ],
)
def test_a_card_that_cannot_be_kept_is_found_first(tmp_path: Path, card: bytes) -> None:
    """Before hours of writing, not after."""
    (tmp_path / "README.md").write_bytes(card)
    with pytest.raises(ConfigError, match=r"README\.md: the hub card is there and cannot be kept"):
        write_shards([plain("a")], tmp_path, split="train")

    assert contents(tmp_path) == {"README.md": card}


@pytest.mark.parametrize("moment", ["before", "meanwhile"])
def test_another_splits_manifest_is_damaged(tmp_path: Path, moment: str) -> None:
    """The card would name it; it is found before anything of the old split is removed."""
    for split in ("val", "train"):
        write_shards([plain("a")], tmp_path, split=split)

    def samples() -> Iterator[SourceSample]:
        if moment == "meanwhile":
            (tmp_path / "val.json").write_text("{broken")
        yield plain("b")

    if moment == "before":
        (tmp_path / "val.json").write_text("{broken")
    with pytest.raises(ManifestError, match=r"val\.json: expected a manifest"):
        write_shards(samples(), tmp_path, split="train", overwrite=True)

    assert open_dataset(tmp_path, "train")[0].key == "a"


def test_what_was_indexed_is_not_deleted(tmp_path: Path) -> None:
    """Tars of other names belong to somebody else, whatever the manifest lists."""
    from vrs_wds.writer.index_shards import index_shards

    write_shards([plain("a")], tmp_path, split="train")
    write_shards([plain("b")], tmp_path, split="val")
    index_shards(tmp_path, split="all")
    write_shards([plain("c")], tmp_path, split="all", overwrite=True)

    assert open_dataset(tmp_path, "train")[0].key == "a"
    assert open_dataset(tmp_path, "val")[0].key == "b"
    assert open_dataset(tmp_path, "all")[0].key == "c"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_lacks_are_refused(tmp_path: Path, value: float) -> None:
    """They would be null, and could not be read."""
    item = {"object_id": 0, "label": "x", "box": [0, 0, 1, 1], "attributes": {"score": value}}
    with pytest.raises(SidecarError, match="task 'detection'"):
        write_shards([plain("a", detection={"objects": [item]})], tmp_path, split="train")


def test_names_that_readers_pass_over_are_escaped(tmp_path: Path) -> None:
    """Every reader of tars gives every sample."""
    from vrs_wds.loader.stream import stream

    names = ["a", "__b__", "__MACOSX/c", "d__", "__", "e/__f__"]
    write_shards([plain(name) for name in names], tmp_path, split="train")
    found = [sample["__key__"] for sample in stream(str(tmp_path / "train-000000.tar"))]

    assert found == open_dataset(tmp_path).column("key")
    assert [open_dataset(tmp_path).metadata(i)["meta"].name for i in range(6)] == names


@pytest.mark.parametrize("pattern", ["{split}-{number!s:.1}.tar", "{split}-{number:.0e}.tar"])
def test_patterns_that_repeat_are_refused(tmp_path: Path, pattern: str) -> None:
    """At the latest when a name comes again; nothing is lost."""
    samples = [plain(f"s{i}") for i in range(12)]
    with pytest.raises(ConfigError, match=r"shards\.name"):
        config = ShardConfig(shards=ShardOptions(name=pattern, max_samples=1))
        write_shards(samples, tmp_path, split="train", config=config)

    assert contents(tmp_path) == {}


def test_sets_have_an_order(tmp_path: Path) -> None:
    """Whatever the hash of their members."""
    code = (
        "import sys; from vrs_wds import SourceSample, write_shards\n"
        "sample = SourceSample('a', bytes.fromhex(sys.argv[2]), 'png',"
        " {'captioning': {'captions': {'a', 'b', 'c', 'd'}}}, {'tags': {'x', 'y', 'z'}})\n"
        "write_shards([sample], sys.argv[1], split='train')"
    )
    found = set()
    for seed in ("1", "2", "3"):
        command = [sys.executable, "-c", code, str(tmp_path / seed), IMAGE.hex()]
        subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}, check=True)
        found.add((tmp_path / seed / "train-000000.tar").read_bytes())

    assert len(found) == 1
