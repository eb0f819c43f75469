"""VRSBench (remote sensing, five tasks) as a source of samples, with every quirk that it has."""

from vrs_wds.sources.vrsbench.evaluation import (
    EvalCaption,
    EvalReferring,
    EvalVQA,
    read_eval_captions,
    read_eval_referring,
    read_eval_vqa,
)
from vrs_wds.sources.vrsbench.report import VRSBenchReport
from vrs_wds.sources.vrsbench.source import VRSBenchSource

__all__ = [
    "EvalCaption",
    "EvalReferring",
    "EvalVQA",
    "VRSBenchReport",
    "VRSBenchSource",
    "read_eval_captions",
    "read_eval_referring",
    "read_eval_vqa",
]
