"""What records, one a task item, say about each picture: grouped, and put right."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from vrs_wds.sources.vrsbench.conversations import (
    Conversation,
    referred_text,
    unwrap_question,
)
from vrs_wds.sources.vrsbench.evaluation import (
    EvalCaption,
    EvalReferring,
    EvalVQA,
)
from vrs_wds.sources.vrsbench.layout import image_stem
from vrs_wds.sources.vrsbench.location import (
    Location,
    count_area,
    from_corners,
    from_percent,
    parse_percent_box,
)
from vrs_wds.sources.vrsbench.raw import answer_text
from vrs_wds.sources.vrsbench.report import Repair
from vrs_wds.tasks.vqa import QAPair


class Reference(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An expression and the place that it means."""

    text: str
    location: Location
    label: str = ""
    object_ids: tuple[int, ...] = ()
    is_unique: bool | None = None


@dataclass(slots=True)
class ImageRecords:
    """Everything that the records say about one picture, in their order."""

    captions: list[str] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)
    qa_pairs: list[QAPair] = field(default_factory=list)


class RecordsByImage:
    """Takes in records and groups them by the stem of their picture."""

    def __init__(self) -> None:
        self.images: dict[str, ImageRecords] = {}
        """By stem."""
        self.repairs: Counter[Repair] = Counter()
        """What was put right, or left out."""

    def add_captions(self, records: Iterable[EvalCaption]) -> None:
        """Take in the records of `VRSBench_EVAL_Cap.json`."""
        for record in records:
            self._add_caption(self._image(record.image_id), record.ground_truth)

    def add_referring(self, records: Iterable[EvalReferring]) -> None:
        """Take in the records of `VRSBench_EVAL_referring.json`."""
        for record in records:
            unique = record.unique if record.is_unique is None else record.is_unique
            self._add_reference(
                self._image(record.image_id),
                record.question,
                from_corners(record.obj_corner) or self._percent(record.ground_truth),
                label=record.obj_cls or "",
                object_ids=tuple(i for i in record.obj_ids or () if isinstance(i, int)),
                is_unique=unique,
            )

    def add_vqa(self, records: Iterable[EvalVQA]) -> None:
        """Take in the records of `VRSBench_EVAL_vqa.json`."""
        for record in records:
            pair = QAPair(
                question=record.question,
                answer=answer_text(record.ground_truth),
                question_id=str(record.question_id),
                type=record.type or "",
            )
            self._add_question(self._image(record.image_id), pair)

    def add_conversations(self, records: Iterable[Conversation]) -> None:
        """Take in the records of `VRSBench_train.json`.

        They give questions neither number nor type, and expressions neither class nor object.
        """
        for record in records:
            image = self._image(record.image)
            for kind, prompt, answer in record.exchanges():
                match kind:
                    case "caption":
                        self._add_caption(image, answer)
                    case "refer":
                        self._add_reference(image, referred_text(prompt), self._percent(answer))
                    case "vqa":
                        pair = QAPair(question=unwrap_question(prompt), answer=answer)
                        self._add_question(image, pair)
                    case _:
                        self.repairs["records_of_unknown_kind"] += 1

    def drop_unusable_ids(self) -> None:
        """Drop all object numbers unless they tell the objects of every picture apart.

        The published `obj_ids` are `[0]` for different objects of one picture.
        """
        references = [one for image in self.images.values() for one in image.references]
        if all(_ids_tell_apart(image.references) for image in self.images.values()):
            return
        self.repairs["object_ids_dropped"] += sum(bool(one.object_ids) for one in references)
        for image in self.images.values():
            image.references = [
                msgspec.structs.replace(one, object_ids=()) for one in image.references
            ]

    def _image(self, name: str) -> ImageRecords:
        return self.images.setdefault(image_stem(name), ImageRecords())

    def _percent(self, text: str) -> Location | None:
        box = parse_percent_box(text)
        return None if box is None else from_percent(box, self.repairs)

    def _add_caption(self, image: ImageRecords, caption: str) -> None:
        if caption.strip():
            image.captions.append(caption)

    def _add_question(self, image: ImageRecords, pair: QAPair) -> None:
        if pair.question.strip():
            image.qa_pairs.append(pair)
        else:
            self.repairs["questions_without_text"] += 1

    def _add_reference(
        self,
        image: ImageRecords,
        text: str,
        location: Location | None,
        *,
        label: str = "",
        object_ids: tuple[int, ...] = (),
        is_unique: bool | None = None,
    ) -> None:
        if not text.strip():
            self.repairs["expressions_without_text"] += 1
        elif location is None:
            self.repairs["expressions_without_place"] += 1
        else:
            image.references.append(
                Reference(
                    text=text,
                    location=count_area(location, self.repairs),
                    label=label,
                    object_ids=object_ids,
                    is_unique=is_unique,
                )
            )


def _ids_tell_apart(references: Iterable[Reference]) -> bool:
    places: dict[tuple[int, ...], Location] = {}
    return all(
        not one.object_ids or places.setdefault(one.object_ids, one.location) == one.location
        for one in references
    )
