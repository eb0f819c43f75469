"""Visual question answering: questions about the image and their answers."""

from collections.abc import Mapping
from typing import ClassVar

import msgspec

from vrs_wds.tasks.task import FactKind, TargetOptions, Task


class QAPair(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, kw_only=True):
    """A question and its answer."""

    question: str
    answer: str
    question_id: str = ""
    """As in the source, always a text: sources mix numbers with texts such as `Q6`."""
    type: str = ""
    """Kind of question, such as `object quantity`."""


class VQA(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """Sidecar of the vqa task."""

    qa_pairs: tuple[QAPair, ...]


class VQATask(Task[VQA]):
    """The target has the columns `questions`, `answers` and `types`."""

    name: ClassVar[str] = "vqa"
    schema = VQA
    unit: ClassVar[str] = "question"
    fact_kinds: ClassVar[Mapping[str, FactKind]] = {
        "num_questions": "int",
        "question_types": "strings",
    }

    def empty(self) -> VQA:
        """Return a sidecar without questions."""
        return VQA(qa_pairs=())

    def count(self, sidecar: VQA) -> int:
        """Return the number of questions."""
        return len(sidecar.qa_pairs)

    def facts(self, sidecar: VQA) -> dict[str, int | str | list[str]]:
        """Return `num_questions` and the sorted `question_types`."""
        types = sorted({pair.type for pair in sidecar.qa_pairs if pair.type})
        return {"num_questions": len(sidecar.qa_pairs), "question_types": types}

    def target(
        self, sidecar: VQA, size_wh: tuple[int, int], options: TargetOptions
    ) -> dict[str, list[str]]:
        """Return columns: questions, answers, types."""
        return {
            "questions": [pair.question for pair in sidecar.qa_pairs],
            "answers": [pair.answer for pair in sidecar.qa_pairs],
            "types": [pair.type for pair in sidecar.qa_pairs],
        }

    def plain_target(
        self, sidecar: VQA, size_wh: tuple[int, int], options: TargetOptions
    ) -> list[tuple[str, str]]:
        """Return a list of (question, answer)."""
        return [(pair.question, pair.answer) for pair in sidecar.qa_pairs]

    def pick(self, sidecar: VQA, number: int) -> VQA:
        """Return a sidecar with one question."""
        return VQA(qa_pairs=(sidecar.qa_pairs[number],))
