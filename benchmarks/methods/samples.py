"""The samples of a job's shards, for writing copies in peers' formats; standard library only."""

import tarfile
from collections.abc import Iterator

from benchmarks.methods.measuring import Job

Members = dict[str, bytes]
"""Bytes by extension."""


def read_samples(job: Job) -> Iterator[tuple[str, Members]]:
    """Yield key and members of each sample, in the shards' order."""
    for path in job.shards:
        with tarfile.open(path) as tar:
            key, members = "", Members()
            for member in tar:
                name, _, extension = member.name.partition(".")
                if name != key and members:
                    yield key, members
                    members = Members()
                file = tar.extractfile(member)
                if file is not None:
                    key, members[extension] = name, file.read()
            if members:
                yield key, members


def image_extension(members: Members) -> str:
    """Return the extension of the one member that is not a sidecar."""
    return next(extension for extension in members if not extension.endswith("json"))
