"""`view_sample` and `view_samples`: what they hold, and that texts are escaped."""

import base64
import io
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

import vrs_wds as vw
from vrs_wds.errors import ConfigError
from vrs_wds.inspect.gallery import view_samples
from vrs_wds.tasks.captioning import Captioning
from vrs_wds.tasks.classification import Classification
from vrs_wds.tasks.detection import DetectedObject, Detection
from vrs_wds.tasks.grounding import Expression, Grounding
from vrs_wds.tasks.meta import Meta
from vrs_wds.tasks.vqa import VQA, QAPair

NASTY = """<script>alert("1")</script> & 'x' </div>"""
BOX = (10.0, 10.0, 30.0, 20.0)
VOID = {"img", "br"}


class Page(HTMLParser):
    """Reads HTML, and asserts that every element is closed in its turn."""

    def __init__(self, html):
        super().__init__()
        self.open, self.text, self.elements = [], "", []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        """Keep an element and its attributes."""
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        """Close the innermost element."""
        assert self.open.pop() == tag

    def handle_data(self, data):
        """Keep the text."""
        self.text += data


def png(width=64, height=48):
    """Return a PNG file of one color."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (90, 100, 80)).save(buffer, "PNG")
    return buffer.getvalue()


def decoded(text=NASTY):
    """Return a decoded sample with every sidecar, all of whose texts are `text`."""
    return {
        "__key__": text,
        "image": np.full((48, 64, 3), 90, dtype=np.uint8),
        "meta": Meta(name="a", width=64, height=48),
        "captioning": Captioning(captions=(text,)),
        "classification": Classification(label=text),
        "detection": Detection(objects=(DetectedObject(object_id=0, label=text, box=BOX),)),
        "grounding": Grounding(expressions=(Expression(text=text, box=BOX),)),
        "vqa": VQA(qa_pairs=(QAPair(question=text, answer=text),)),
    }


def pictures_in(html):
    """Return the inline pictures of a page."""
    return [
        Image.open(io.BytesIO(base64.b64decode(data)))
        for data in re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", html)
    ]


def test_texts_of_a_view_are_escaped():
    """Markup in a key, a caption, a label, an expression or a question is shown as it is."""
    page = Page(vw.view_sample(decoded())._repr_html_())

    assert page.text.count(NASTY) == 6
    assert {tag for tag, _ in page.elements} <= {"div", "code", "b", "span", "p", "img"}
    assert [attrs["alt"] for tag, attrs in page.elements if tag == "img"] == [NASTY]


def test_texts_of_a_gallery_are_escaped():
    """Markup in a key or in a region's text is shown as it is."""
    html = view_samples([decoded(), decoded() | {"region_text": NASTY}])._repr_html_()
    page = Page(html)

    assert page.text.count(NASTY) == 2
    assert {tag for tag, _ in page.elements} <= {"div", "figure", "figcaption", "img"}


def test_views_follow_the_page_theme():
    """No text has a fixed color unless its background has one too."""
    for view in (vw.view_sample(decoded()), view_samples([decoded()])):
        for style in re.findall(r'style="([^"]*)"', view._repr_html_()):
            color = re.search(r"(?<![-\w])color:([^;]+)", style)
            assert color is None or color[1] in ("inherit", "currentColor") or "background" in style


def test_a_view_holds_every_text():
    """Captions, label, expressions with their colors, questions and answers are fields."""
    view = vw.view_sample(decoded("a ship"))

    assert view.captions == ("a ship",)
    assert view.label == "a ship"
    assert view.expressions == ("a ship",)
    assert view.colors == ("#E69F00",)
    assert view.qa_pairs == (("a ship", "a ship"),)
    assert repr(view).splitlines()[0] == "SampleView('a ship', 64 x 48)"
    assert "1: a ship" in repr(view)


def test_a_sample_without_sidecars_has_a_view():
    """An image alone is shown with its key and size."""
    view = vw.view_sample(vw.Sample("P0003_0002", {"png": png()}))

    assert repr(view) == "SampleView('P0003_0002', 64 x 48)"
    assert "P0003_0002" in Page(view._repr_html_()).text


def test_samples_of_any_kind_are_viewed_alike():
    """A `Sample`, the dict of a stream and a decoded sample give equal views."""
    sample = vw.Sample("a", {"png": png(), "captioning.json": b'{"captions": ["One."]}'})
    views = [
        vw.view_sample(kind)
        for kind in (sample, sample.to_dict(), next(vw.Decode()([sample.to_dict()])))
    ]

    assert {repr(view) for view in views} == {"SampleView('a', 64 x 48)\n  caption: One."}


@pytest.mark.parametrize("side", [40, 64, 300])
def test_the_picture_has_the_size_asked_for(side):
    """The drawn picture, and the one in the page, have the longer side asked for."""
    view = vw.view_sample(decoded(), side=side)
    (inline,) = pictures_in(view._repr_html_())

    assert view.image.size == inline.size == (side, side * 3 // 4)
    assert view.size_wh == (64, 48)


def test_a_gallery_has_a_picture_for_every_sample():
    """Names are keys or regions' texts; columns are kept; an empty gallery is a page too."""
    region = decoded("a") | {"region_text": "the ship", "__region__": 3}
    gallery = view_samples([decoded("a"), region], side=40, columns=2)

    assert repr(gallery) == "Gallery of 2\n  a, 64 x 48\n  the ship, #3, 64 x 48"
    assert [image.size for image in pictures_in(gallery._repr_html_())] == [(40, 30)] * 2
    assert "repeat(2,40px)" in gallery._repr_html_()
    assert Page(view_samples([])._repr_html_()).text == ""


def test_a_gallery_without_outlines_shows_the_picture():
    """With `outlines=False` nothing is drawn."""
    (small,) = view_samples([decoded()], side=64, outlines=False).thumbnails

    assert (np.asarray(small.image) == decoded()["image"]).all()


@pytest.mark.parametrize(
    "call",
    [
        lambda: vw.view_sample(decoded(), side=0),
        lambda: view_samples([decoded()], side=0),
        lambda: view_samples([decoded()], columns=0),
    ],
)
def test_sizes_under_one_are_refused(call):
    """The message names the option."""
    with pytest.raises(ConfigError, match=r"(side|columns): expected at least 1"):
        call()


def test_looking_at_samples_needs_no_torch():
    """`view_sample` and `view_samples` work in a process that cannot import torch."""
    code = """
import sys
sys.modules["torch"] = None
import io
from PIL import Image
import vrs_wds as vw
from vrs_wds.inspect.gallery import view_samples
buffer = io.BytesIO()
Image.new("RGB", (8, 8)).save(buffer, "PNG")
sample = vw.Sample("a", {"png": buffer.getvalue()})
vw.view_sample(sample)._repr_html_()
view_samples([sample])._repr_html_()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
