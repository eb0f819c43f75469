"""Classification, which VRSBench does not annotate: it follows from objects and questions."""

from collections import Counter
from collections.abc import Iterable

from vrs_wds.tasks.classification import Classification
from vrs_wds.tasks.vqa import QAPair


def classify(object_classes: Iterable[str], qa_pairs: Iterable[QAPair]) -> Classification:
    """Return what is known of the whole image.

    `labels` are the objects' classes; `scene` is the answer to the first question of type
    `scene type`; `label` is the scene in lower case, else the most frequent class (of equally
    frequent ones the first in the alphabet), else empty.

    >>> classify(["ship", "harbor", "ship"], []).label
    'ship'
    """
    counts = Counter(name for name in object_classes if name)
    scene = scene_of(qa_pairs)
    label = (
        scene.lower() if scene else min(counts, key=lambda name: (-counts[name], name), default="")
    )
    return Classification(label=label, labels=tuple(sorted(counts)), scene=scene)


def scene_of(qa_pairs: Iterable[QAPair]) -> str | None:
    """Return the answer to the first question about the type of scene; None without one."""
    for pair in qa_pairs:
        if pair.type.strip().lower() == "scene type" and pair.answer.strip():
            return pair.answer.strip()
    return None
