"""The annotations of a split as VRSBench has them: one JSON file a picture."""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from vrs_wds.errors import SourceError
from vrs_wds.sources.vrsbench.annotation import annotation_to_sidecars, count_repairs
from vrs_wds.sources.vrsbench.annotation_set import Annotated
from vrs_wds.sources.vrsbench.files import FoundFile
from vrs_wds.sources.vrsbench.layout import image_stem
from vrs_wds.sources.vrsbench.raw import parse_annotation
from vrs_wds.sources.vrsbench.report import Repair

MAX_ANNOTATION_BYTES = 16 * 1024 * 1024
"""Larger annotation files are refused; VRSBench's have about 3 KB."""


class AnnotationFiles:
    """Annotation files by the stem of the picture that they name.

    All are read once when this is made (VRSBench's 20,264 of train: a few seconds from the
    archive), so that a defect ends a run before it begins; what they hold is not kept.
    """

    def __init__(self, files: Iterable[FoundFile]) -> None:
        self._files: dict[str, FoundFile] = {}
        self._repairs: Counter[Repair] = Counter()
        differ = []
        digest = hashlib.sha256()
        for file in files:
            data = file.read(MAX_ANNOTATION_BYTES)
            digest.update(hashlib.sha256(data).digest())
            raw = parse_annotation(data, where=file.where)
            stem = image_stem(raw.image or "") or file.stem
            if stem != file.stem:
                differ.append(f"{file.file_name} -> {raw.image}")
            if (other := self._files.setdefault(stem, file)) is not file:
                raise SourceError(
                    f"two annotations are about the picture {stem!r}: {other.where} and "
                    f"{file.where}. Keep one of them."
                )
            count_repairs(raw, self._repairs)
        self._names_that_differ = tuple(differ)
        self.fingerprint = digest.hexdigest()

    @property
    def stems(self) -> Collection[str]:
        """Stems of the pictures that are annotated."""
        return self._files.keys()

    @property
    def repairs(self) -> Mapping[Repair, int]:
        """How often something was put right, over all files."""
        return self._repairs

    @property
    def names_that_differ(self) -> tuple[str, ...]:
        """Files whose `image` is not the picture of their own name."""
        return self._names_that_differ

    def load(self, stem: str, size_wh: tuple[int, int]) -> Annotated:
        """Read a picture's annotation, in its pixels."""
        file = self._files[stem]
        raw = parse_annotation(file.read(MAX_ANNOTATION_BYTES), where=file.where)
        sidecars = annotation_to_sidecars(raw, size_wh)
        return Annotated(sidecars, dict(raw.extra), file.label)
