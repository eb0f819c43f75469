"""The tasks: for each the schema of its sidecar and its target; a registry that users can add to.

One file a task. `all` and `complete` stand for every task of a dataset.
"""

from vrs_wds.tasks.captioning import CaptioningTask
from vrs_wds.tasks.classification import ClassificationTask
from vrs_wds.tasks.detection import DetectionTask
from vrs_wds.tasks.grounding import GroundingTask
from vrs_wds.tasks.registry import register_task
from vrs_wds.tasks.vqa import VQATask

for _task in (
    CaptioningTask(),
    ClassificationTask(),
    DetectionTask(),
    GroundingTask(),
    VQATask(),
):
    register_task(_task)
