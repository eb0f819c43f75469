"""Every error of this package.

::

    VrsWdsError
    ├── ConfigError (ValueError)             an option or a key of shard_config.yaml is wrong
    ├── KeyFormatError (ValueError)          a sample key or member name breaks the grammar
    ├── DuplicateKeyError (ValueError)       two samples of a split have the same key
    ├── SourceError (ValueError)             a dataset to be packed is not laid out as it should be
    ├── DatasetExistsError (FileExistsError) the split is already there
    ├── SplitBusyError (FileExistsError)     another writer is at work on the split
    ├── ResumeError (ValueError)             an unfinished write is of another source or config
    ├── RankError (RuntimeError)             another rank of the same write stopped, or is silent
    ├── StorageError (OSError)               a store fails, and goes on failing when tried again
    │   └── FileChanged                      a file was replaced while it was being read
    ├── DatasetNotFound (FileNotFoundError)  there is no such dataset or split
    ├── ManifestError (ValueError)           a manifest or an index is unreadable, or they disagree
    ├── UnknownTaskError (KeyError)          no task of that name is registered, or in the dataset
    ├── SampleNotFound (KeyError)            the dataset has no sample of that key
    ├── TooManyBadSamples                    more samples were skipped than the budget allows
    └── SampleError                          bad data; a fault policy may skip the sample
        ├── ShardError
        │   ├── ShardNotFound (FileNotFoundError)
        │   ├── ShardFormatError (ValueError)    not a tar that can be read
        │   ├── ShardTruncated                   the shard ends before it should
        │   └── ChecksumMismatch                 the bytes are there and wrong
        ├── SidecarError (ValueError)        a sidecar does not fit its task's schema
        └── DecodeError (ValueError)         an image cannot be decoded to RGB

A bad *sample* raises a `SampleError`, and a pipeline may be told to skip it. Anything else is a
mistake in code or configuration and is never skipped.

Each error takes one string, so that it survives the way from a worker process.
"""


class VrsWdsError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigError(VrsWdsError, ValueError):
    """An option, or a key of shard_config.yaml, is wrong; the message carries its path."""


class KeyFormatError(VrsWdsError, ValueError):
    """A sample key or member name breaks the grammar."""


class DuplicateKeyError(VrsWdsError, ValueError):
    """Two samples of a split have the same key; the message names both places."""


class SourceError(VrsWdsError, ValueError):
    """A dataset to be packed is not laid out as its source expects."""


class DatasetExistsError(VrsWdsError, FileExistsError):
    """The split to be written is already there."""


class SplitBusyError(VrsWdsError, FileExistsError):
    """Another writer is at work on the split."""


class ResumeError(VrsWdsError, ValueError):
    """What an unfinished write left is not of this source, or not of these options."""


class RankError(VrsWdsError, RuntimeError):
    """Another rank of the same write stopped, or gives no sign of life."""


class StorageError(VrsWdsError, OSError):
    """A store cannot be reached or refuses; the message names the file and what was tried."""


class FileChanged(StorageError):
    """A file was replaced while it was being read."""


class DatasetNotFound(VrsWdsError, FileNotFoundError):
    """There is no dataset, or no such split, at the address."""


class ManifestError(VrsWdsError, ValueError):
    """A manifest or an index cannot be read, or does not fit the shards."""


class UnknownTaskError(VrsWdsError, KeyError):
    """No task of that name is registered, or the dataset does not hold it."""

    def __str__(self) -> str:
        # KeyError would show the message in quotation marks.
        return str(self.args[0]) if self.args else ""


class SampleNotFound(VrsWdsError, KeyError):
    """The dataset has no sample of that key."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class TooManyBadSamples(VrsWdsError):
    """More bad samples were skipped than the budget allows."""


class SampleError(VrsWdsError):
    """Bad data. The only kind of error that a fault policy may skip."""


class ShardError(SampleError):
    """A shard cannot be read as it should."""


class ShardNotFound(ShardError, FileNotFoundError):
    """A shard that a manifest names is not there."""


class ShardFormatError(ShardError, ValueError):
    """The bytes are not a tar that can be read."""


class ShardTruncated(ShardError):
    """The shard ends before its index, or its own headers, say that it should."""


class ChecksumMismatch(ShardError):
    """The bytes are there and differ from what was written."""


class SidecarError(SampleError, ValueError):
    """A sidecar does not fit its task's schema; the message names shard, key, task and field."""


class DecodeError(SampleError, ValueError):
    """An image cannot be decoded to RGB uint8; the message names shard and key."""
