"""Writes the golden dataset anew: `python tests/golden/make_golden.py`.

Only a new version of the format may change what it writes; then the version changes, too.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from vrs_wds.sample import SourceSample
from vrs_wds.writer.options import ShardConfig, ShardOptions
from vrs_wds.writer.write import write_shards

ROOT = Path(__file__).parent / "dataset"

# A grey picture of one pixel, written out, so that no encoder's version can change it.
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c636800000082008177cd72b60000000049454e44ae426082"
)


def samples() -> Iterator[SourceSample]:
    """Give three samples: every task, none, a name that is escaped and one that needs pax."""
    box = (0.25, 0.0, 1.0, 0.5)
    corners = (0.25, -0.5, 1.5, -0.5, 1.5, 0.5, 0.25, 0.5)
    yield SourceSample(
        "P0003_0002",
        PIXEL,
        "png",
        {
            "captioning": {"captions": ["A picture \u2014 of one pixel.", "Eine zweite."]},
            "classification": {"label": "harbor", "labels": ["harbor", "ship"], "scene": "harbor"},
            "detection": {
                "objects": [
                    {
                        "object_id": 0,
                        "label": "ship",
                        "box": box,
                        "corners": corners,
                        "attributes": {"z": True, "a": "top-left"},
                    },
                    {"object_id": 7, "label": "harbor", "box": (0.0, 0.0, 0.0, 1.0)},
                ]
            },
            "grounding": {
                "expressions": [
                    {
                        "text": "The ship.",
                        "box": box,
                        "corners": corners,
                        "label": "ship",
                        "object_ids": [0],
                        "is_unique": True,
                    }
                ]
            },
            "vqa": {
                "qa_pairs": [
                    {"question": "Is it red?", "answer": "No", "question_id": "Q6", "type": "color"}
                ]
            },
        },
        extra={"file_name": "P0003_0002.png"},
    )
    yield SourceSample("folder/tile 1.5", PIXEL, "PNG")
    yield SourceSample("n" * 120, PIXEL, "png", {"vqa": {"qa_pairs": []}})


def main() -> None:
    """Write the dataset."""
    shutil.rmtree(ROOT, ignore_errors=True)
    config = ShardConfig(shards=ShardOptions(max_samples=2))
    write_shards(samples(), ROOT, split="train", config=config)


if __name__ == "__main__":
    main()
