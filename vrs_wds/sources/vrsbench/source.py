"""`VRSBenchSource`: VRSBench on a disk, as a sequence of samples."""

import hashlib
import logging
from pathlib import Path
from typing import Literal, get_args

from vrs_wds.errors import ConfigError, SourceError
from vrs_wds.images.header import read_header
from vrs_wds.sample import SourceSample
from vrs_wds.sources.vrsbench.annotation_files import AnnotationFiles
from vrs_wds.sources.vrsbench.annotation_set import AnnotationSet
from vrs_wds.sources.vrsbench.layout import (
    check_split,
    find_annotations,
    find_images,
    not_found,
)
from vrs_wds.sources.vrsbench.record_files import (
    RecordFiles,
    find_record_files,
    record_file_names,
)
from vrs_wds.sources.vrsbench.report import VRSBenchReport

Annotations = Literal["auto", "images", "records"]
"""Annotation files, one a picture; or the files with a record a task item; `auto`: the first there
are."""

Unmatched = Literal["report", "error"]
"""What to do with pictures without an annotation, and the other way round."""

MAX_IMAGE_BYTES = 256 * 1024 * 1024
"""Larger pictures are refused; VRSBench's have about 412 KB."""

_logger = logging.getLogger(__name__)


class VRSBenchSource:
    """A split of VRSBench: a sequence of samples in the order of their pictures' names.

    The folders may be extracted, nested or still in their zip archives (`layout` draws them). A
    sample is a picture together with the annotation that names it; position never matters. Its
    sidecars are those that `annotation_to_sidecars` or `records_to_sidecars` lists; `extra` has the
    picture's `file_name` and what else the annotation says of it, such as `source`.

    Made, it knows all names and has read the annotations once, but no picture. It pickles; forked
    or unpickled copies open their own files; threads may share one.

    On the published data::

        source = VRSBenchSource("VRSBench", "val")
        len(source)                                            # 9350
        source[0].annotations["vqa"].qa_pairs[0].question

    Args:
        root: Folder with `Images_train`, `Annotations_train`, ... or their archives.
        split: `train` or `val`; `validation` is val too. There is no test split.
        annotations: `images` for the annotation files, one a picture, `records` for
            VRSBench_train.json or the VRSBench_EVAL files, `auto` for the first that are there.
        unmatched: `report` leaves pictures without annotation, and the other way round, out, says
            so in `report` and logs it once; `error` raises.

    Raises:
        SourceError: if a folder or file is missing or not as it should be; if two files have one
            name; with unmatched="error", if a picture or an annotation has no counterpart.
        ConfigError: if an option is none of its words.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        *,
        annotations: Annotations = "auto",
        unmatched: Unmatched = "report",
    ) -> None:
        _check_word("annotations", annotations, get_args(Annotations))
        _check_word("unmatched", unmatched, get_args(Unmatched))
        self.root = Path(root)
        self.split = check_split(split)
        images = find_images(self.root, self.split)
        self._annotations = _open_annotations(self.root, self.split, annotations)
        stems = self._annotations.stems
        self._images = [file for stem, file in images.items() if stem in stems]
        self.report = VRSBenchReport(
            split=self.split,
            num_samples=len(self._images),
            images_without_annotation=tuple(sorted(images.keys() - set(stems))),
            annotations_without_image=tuple(sorted(set(stems) - images.keys())),
            names_that_differ=self._annotations.names_that_differ,
            repairs=dict(self._annotations.repairs),
        )
        """What was found wrong, and what was done about it."""
        if unmatched == "error" and self.report.num_unmatched:
            raise SourceError(
                f"{self.root}: expected an annotation for each picture and a picture for each "
                f'annotation. {self.report}\nFetch what is missing, or pass unmatched="report".'
            )
        if self.report.num_unmatched or self.report.names_that_differ:
            _logger.warning("%s: %s", self.root, self.report)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, number: int, /) -> SourceSample:
        """Read one sample.

        Raises:
            DecodeError: if the picture's header cannot be read.
            SourceError: if a file has changed, or is damaged inside its archive.
        """
        file = self._images[number]
        image = file.read(MAX_IMAGE_BYTES)
        header = read_header(image, where=file.where)
        annotated = self._annotations.load(file.stem, (header.width, header.height))
        return SourceSample(
            name=file.stem,
            image=image,
            extension=file.extension,
            annotations=annotated.sidecars,
            extra=annotated.extra | {"file_name": file.file_name},
            origin=annotated.origin,
        )

    def fingerprint(self) -> str:
        """Return SHA-256 over the annotations' contents, and the pictures' names and sizes."""
        digest = hashlib.sha256(self._annotations.fingerprint.encode())
        for file in self._images:
            digest.update(f"{file.stem} {file.size}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def __repr__(self) -> str:
        return f"VRSBenchSource({str(self.root)!r}, {self.split!r}): {len(self):,} samples"


def _open_annotations(root: Path, split: str, annotations: Annotations) -> AnnotationSet:
    wanted: list[str] = []
    if annotations != "records":
        if files := find_annotations(root, split):
            return AnnotationFiles(files)
        wanted += [f"Annotations_{split}/", f"Annotations_{split}.zip"]
    if annotations != "images":
        if paths := find_record_files(root, split):
            return RecordFiles(paths)
        wanted += record_file_names(split)
    raise not_found(root, "annotations", wanted)


def _check_word(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{option}: expected one of {', '.join(allowed)}, got {value!r}.")
