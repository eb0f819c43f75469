"""`view_sample`: a sample as a person wants to see it in a notebook."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from vrs_wds.inspect.draw import draw_items
from vrs_wds.markup import beside, paragraphs, picture
from vrs_wds.pipeline.decode import Decode
from vrs_wds.sample import Sample


@dataclass(frozen=True)
class SampleView:
    """A picture with its boxes drawn, and the texts that belong to it."""

    key: str
    image: Image.Image
    """The picture, objects and expressions outlined; expressions are numbered."""
    texts: tuple[tuple[str, str], ...]
    """Kind of text (`caption`, `expression 1`, a question) and the text."""

    def __repr__(self) -> str:
        lines = [f"SampleView({self.key!r}, {self.image.width} x {self.image.height})"]
        return "\n".join([*lines, *(f"  {kind}: {text}" for kind, text in self.texts)])

    def _repr_html_(self) -> str:
        buffer = io.BytesIO()
        self.image.save(buffer, "PNG")
        shown = picture(buffer.getvalue(), "png", self.key, max_side=512)
        return beside(shown, paragraphs([("", self.key), *self.texts]))


def view_sample(sample: Sample | Mapping[str, Any]) -> SampleView:
    """Return a view of a sample: its picture with boxes, captions, expressions, questions.

    Args:
        sample: What `dataset[i]` gives, or a decoded sample from a pipeline.

    Raises:
        DecodeError: if the picture cannot be decoded.
        SidecarError: if a sidecar does not fit its task.
    """
    decoded = sample
    if isinstance(sample, Sample):
        (decoded,) = Decode().apply(sample.to_dict())
    assert isinstance(decoded, Mapping)  # noqa: S101 - as annotated
    items, labels, texts = [], [], list[tuple[str, str]]()
    for caption in _part(decoded, "captioning", "captions"):
        texts.append(("caption", caption))
    classification = decoded.get("classification")
    if classification is not None and classification.label:
        texts.append(("label", classification.label))
    for item in _part(decoded, "detection", "objects"):
        items.append(item)
        labels.append(item.label)
    for number, item in enumerate(_part(decoded, "grounding", "expressions"), start=1):
        items.append(item)
        labels.append(str(number))
        texts.append((f"expression {number}", item.text))
    for pair in _part(decoded, "vqa", "qa_pairs"):
        texts.append((pair.question, pair.answer))
    return SampleView(
        key=str(decoded["__key__"]),
        image=draw_items(decoded["image"], items, labels),
        texts=tuple(texts),
    )


def _part(sample: Mapping[str, Any], task: str, field: str) -> tuple[Any, ...]:
    sidecar = sample.get(task)
    return () if sidecar is None else getattr(sidecar, field)
