"""Packs images with JSON annotations into WebDataset shards and streams them into PyTorch.

::

    source -> sample -> writer -> shard + index + manifest -> reader -> stages -> loader

Importing this package loads no torch: names that need it are imported when they are first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vrs_wds.config import load_config as load_config
    from vrs_wds.errors import ChecksumMismatch as ChecksumMismatch
    from vrs_wds.errors import ConfigError as ConfigError
    from vrs_wds.errors import DatasetExistsError as DatasetExistsError
    from vrs_wds.errors import DatasetNotFound as DatasetNotFound
    from vrs_wds.errors import DecodeError as DecodeError
    from vrs_wds.errors import DuplicateKeyError as DuplicateKeyError
    from vrs_wds.errors import FileChanged as FileChanged
    from vrs_wds.errors import KeyFormatError as KeyFormatError
    from vrs_wds.errors import ManifestError as ManifestError
    from vrs_wds.errors import RankError as RankError
    from vrs_wds.errors import ResumeError as ResumeError
    from vrs_wds.errors import SampleError as SampleError
    from vrs_wds.errors import SampleNotFound as SampleNotFound
    from vrs_wds.errors import ShardError as ShardError
    from vrs_wds.errors import ShardFormatError as ShardFormatError
    from vrs_wds.errors import ShardNotFound as ShardNotFound
    from vrs_wds.errors import ShardTruncated as ShardTruncated
    from vrs_wds.errors import SidecarError as SidecarError
    from vrs_wds.errors import SourceError as SourceError
    from vrs_wds.errors import SplitBusyError as SplitBusyError
    from vrs_wds.errors import StorageError as StorageError
    from vrs_wds.errors import TooManyBadSamples as TooManyBadSamples
    from vrs_wds.errors import UnknownTaskError as UnknownTaskError
    from vrs_wds.errors import VrsWdsError as VrsWdsError
    from vrs_wds.geometry.formats import corners_to_percent_text as corners_to_percent_text
    from vrs_wds.inspect.batch import view_batch as view_batch
    from vrs_wds.inspect.gallery import view_samples as view_samples
    from vrs_wds.inspect.view import SampleView as SampleView
    from vrs_wds.inspect.view import view_sample as view_sample
    from vrs_wds.loader.detect import detect_world as detect_world
    from vrs_wds.loader.hf_iterable import to_hf_iterable as to_hf_iterable
    from vrs_wds.loader.loader import StreamingLoader as StreamingLoader
    from vrs_wds.loader.map_dataset import MapDataset as MapDataset
    from vrs_wds.loader.mix import MixedLoader as MixedLoader
    from vrs_wds.loader.mix import Part as Part
    from vrs_wds.loader.mix import mix as mix
    from vrs_wds.loader.stateful_stream import StatefulStream as StatefulStream
    from vrs_wds.loader.stream import Stream as Stream
    from vrs_wds.loader.stream import stream as stream
    from vrs_wds.order.world import World as World
    from vrs_wds.pipeline.batch import Batch as Batch
    from vrs_wds.pipeline.collate import collate as collate
    from vrs_wds.pipeline.crop_regions import CropRegions as CropRegions
    from vrs_wds.pipeline.decode import Decode as Decode
    from vrs_wds.pipeline.map import Map as Map
    from vrs_wds.pipeline.ragged import Ragged as Ragged
    from vrs_wds.pipeline.select import Select as Select
    from vrs_wds.pipeline.shuffle import Shuffle as Shuffle
    from vrs_wds.pipeline.stage import SampleStage as SampleStage
    from vrs_wds.pipeline.targets import Targets as Targets
    from vrs_wds.pipeline.tile import Tile as Tile
    from vrs_wds.reader.dataset import ShardedDataset as ShardedDataset
    from vrs_wds.reader.open import open_dataset as open_dataset
    from vrs_wds.reader.verify import VerifyReport as VerifyReport
    from vrs_wds.reader.verify import verify as verify
    from vrs_wds.sample import Sample as Sample
    from vrs_wds.sample import Source as Source
    from vrs_wds.sample import SourceSample as SourceSample
    from vrs_wds.sample import key_to_name as key_to_name
    from vrs_wds.sample import name_to_key as name_to_key
    from vrs_wds.sources.vrsbench.source import VRSBenchSource as VRSBenchSource
    from vrs_wds.storage.cache_counts import CacheCounts as CacheCounts
    from vrs_wds.storage.cached import CachedStore as CachedStore
    from vrs_wds.storage.open import open_store as open_store
    from vrs_wds.storage.store import Store as Store
    from vrs_wds.tasks.registry import register_task as register_task
    from vrs_wds.tasks.targets import get_task_targets as get_task_targets
    from vrs_wds.tasks.task import TargetOptions as TargetOptions
    from vrs_wds.tasks.task import Task as Task
    from vrs_wds.writer.index_shards import index_shards as index_shards
    from vrs_wds.writer.options import ImageOptions as ImageOptions
    from vrs_wds.writer.options import ShardConfig as ShardConfig
    from vrs_wds.writer.options import ShardOptions as ShardOptions
    from vrs_wds.writer.options import SidecarOptions as SidecarOptions
    from vrs_wds.writer.write import WriteReport as WriteReport
    from vrs_wds.writer.write import write_shards as write_shards

__version__ = "0.1.0"

_MODULES = {
    "Batch": "pipeline.batch",
    "CacheCounts": "storage.cache_counts",
    "CachedStore": "storage.cached",
    "ChecksumMismatch": "errors",
    "ConfigError": "errors",
    "CropRegions": "pipeline.crop_regions",
    "DatasetExistsError": "errors",
    "DatasetNotFound": "errors",
    "Decode": "pipeline.decode",
    "DecodeError": "errors",
    "DuplicateKeyError": "errors",
    "FileChanged": "errors",
    "ImageOptions": "writer.options",
    "KeyFormatError": "errors",
    "ManifestError": "errors",
    "Map": "pipeline.map",
    "MapDataset": "loader.map_dataset",
    "MixedLoader": "loader.mix",
    "Part": "loader.mix",
    "Ragged": "pipeline.ragged",
    "RankError": "errors",
    "ResumeError": "errors",
    "Sample": "sample",
    "SampleError": "errors",
    "SampleNotFound": "errors",
    "SampleStage": "pipeline.stage",
    "SampleView": "inspect.view",
    "Select": "pipeline.select",
    "ShardConfig": "writer.options",
    "ShardError": "errors",
    "ShardFormatError": "errors",
    "ShardNotFound": "errors",
    "ShardOptions": "writer.options",
    "ShardTruncated": "errors",
    "ShardedDataset": "reader.dataset",
    "Shuffle": "pipeline.shuffle",
    "SidecarError": "errors",
    "SidecarOptions": "writer.options",
    "Source": "sample",
    "SourceError": "errors",
    "SourceSample": "sample",
    "SplitBusyError": "errors",
    "StatefulStream": "loader.stateful_stream",
    "StorageError": "errors",
    "Store": "storage.store",
    "Stream": "loader.stream",
    "StreamingLoader": "loader.loader",
    "TargetOptions": "tasks.task",
    "Targets": "pipeline.targets",
    "Task": "tasks.task",
    "Tile": "pipeline.tile",
    "TooManyBadSamples": "errors",
    "UnknownTaskError": "errors",
    "VRSBenchSource": "sources.vrsbench.source",
    "VerifyReport": "reader.verify",
    "VrsWdsError": "errors",
    "World": "order.world",
    "WriteReport": "writer.write",
    "collate": "pipeline.collate",
    "corners_to_percent_text": "geometry.formats",
    "detect_world": "loader.detect",
    "get_task_targets": "tasks.targets",
    "index_shards": "writer.index_shards",
    "key_to_name": "sample",
    "load_config": "config",
    "mix": "loader.mix",
    "name_to_key": "sample",
    "open_dataset": "reader.open",
    "open_store": "storage.open",
    "register_task": "tasks.registry",
    "stream": "loader.stream",
    "to_hf_iterable": "loader.hf_iterable",
    "verify": "reader.verify",
    "view_batch": "inspect.batch",
    "view_sample": "inspect.view",
    "view_samples": "inspect.gallery",
    "write_shards": "writer.write",
}

__all__ = sorted([*_MODULES, "__version__"])


def __getattr__(name: str) -> Any:  # noqa: ANN401 - PEP 562
    if name not in _MODULES:
        raise AttributeError(f"module 'vrs_wds' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"vrs_wds.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
