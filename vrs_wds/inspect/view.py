"""`view_sample`: a sample as a person wants to see it in a notebook."""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from PIL import Image

from vrs_wds.errors import ConfigError
from vrs_wds.inspect.draw import draw_outlines
from vrs_wds.inspect.inline import inline_picture
from vrs_wds.inspect.outlines import colors_of, items_in, outlines_of, text_color_on
from vrs_wds.pipeline.decode import Decode
from vrs_wds.sample import Sample


@dataclass(frozen=True)
class SampleView:
    """A picture with its things outlined, and the texts that belong to it."""

    key: str
    image: Image.Image
    """The drawn picture: objects and expressions outlined, expressions numbered."""
    size_wh: tuple[int, int]
    """Size of the sample's own picture."""
    label: str = ""
    captions: tuple[str, ...] = ()
    expressions: tuple[str, ...] = ()
    """In the order of their numbers, from 1."""
    colors: tuple[str, ...] = ()
    """Each expression's color in the picture, such as `#E69F00`."""
    qa_pairs: tuple[tuple[str, str], ...] = ()
    """Questions and answers."""

    def __repr__(self) -> str:
        width, height = self.size_wh
        lines = [f"SampleView({self.key!r}, {width} x {height})"]
        lines += [f"  label: {self.label}"] if self.label else []
        lines += [f"  caption: {caption}" for caption in self.captions]
        lines += [f"  {number}: {text}" for number, text in enumerate(self.expressions, start=1)]
        lines += [f"  {question} {answer}" for question, answer in self.qa_pairs]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        width, height = self.size_wh
        label = f" &middot; {escape(self.label)}" if self.label else ""
        parts = [
            f'<div style="margin-bottom:8px"><code><b>{escape(self.key)}</b></code> '
            f'<span style="opacity:.7">{width} &times; {height}{label}</span></div>'
        ]
        parts += [f'<p style="margin:0 0 10px">{escape(caption)}</p>' for caption in self.captions]
        parts += [
            f'<div style="margin:3px 0">{_chip(number, color)} {escape(text)}</div>'
            for number, (text, color) in enumerate(
                zip(self.expressions, self.colors, strict=True), start=1
            )
        ]
        if self.qa_pairs:
            parts.append('<div style="margin-top:10px">')
            parts += [
                f'<div style="margin:3px 0">{escape(question)} <b>{escape(answer)}</b></div>'
                for question, answer in self.qa_pairs
            ]
            parts.append("</div>")
        shown = inline_picture(self.image, self.key)
        return (
            '<div style="display:flex;flex-wrap:wrap;gap:20px;align-items:flex-start;'
            'color:inherit;font-size:14px;line-height:1.4;margin:6px 0 14px">'
            f'<div style="flex:none;max-width:100%">{shown}</div>'
            f'<div style="flex:1 1 280px;max-width:640px">{"".join(parts)}</div></div>'
        )


def view_sample(sample: Sample | Mapping[str, Any], *, side: int = 512) -> SampleView:
    """Return a view of a sample: its picture with outlines, captions, expressions, questions.

    An object and the expressions that mean it have one outline, in the color of the first
    expression; objects without an expression are outlined in white.

    Args:
        sample: What `dataset[i]` gives, or a sample from a pipeline, decoded or not.
        side: Longer side of the drawn picture, in pixels; at least 1.

    Raises:
        DecodeError: if the picture cannot be decoded.
        SidecarError: if a sidecar does not fit its task.
    """
    if side < 1:
        raise ConfigError(f"side: expected at least 1 pixel, got {side}.")
    decoded = decoded_sample(sample)
    outlines = outlines_of(decoded)
    expressions = tuple(item.text for item in items_in(decoded, "grounding", "expressions"))
    colors = colors_of(outlines)
    classification = decoded.get("classification")
    image = decoded["image"]
    return SampleView(
        key=str(decoded.get("__key__", "")),
        image=draw_outlines(image, outlines, side=side),
        size_wh=(image.shape[1], image.shape[0]),
        label="" if classification is None else classification.label,
        captions=items_in(decoded, "captioning", "captions"),
        expressions=expressions,
        colors=tuple(colors[number] for number in range(1, len(expressions) + 1)),
        qa_pairs=tuple(
            (pair.question, pair.answer) for pair in items_in(decoded, "vqa", "qa_pairs")
        ),
    )


def decoded_sample(sample: Sample | Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a sample decoded, or as it is if it is decoded already."""
    if isinstance(sample, Sample):
        sample = sample.to_dict()
    if "image" in sample:
        return sample
    (decoded,) = Decode().apply(dict(sample))
    return decoded


def _chip(number: int, color: str) -> str:
    return (
        f'<span style="display:inline-block;min-width:18px;text-align:center;border-radius:3px;'
        f'font-weight:600;background:{color};color:{text_color_on(color)}">{number}</span>'
    )
