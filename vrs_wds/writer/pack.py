"""Packs the samples of one span into shards, and enters them into the journal."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pyarrow as pa

from vrs_wds.errors import SampleError
from vrs_wds.shard.checksums import crc32c
from vrs_wds.storage.store import Store
from vrs_wds.writer.commit import describe_rows
from vrs_wds.writer.journal import Journal, ShardEntry, Span
from vrs_wds.writer.options import ShardConfig
from vrs_wds.writer.prepare import PreparedSample
from vrs_wds.writer.shard_writer import ShardWriter, packed_bytes
from vrs_wds.writer.staging import Place, Staging


@dataclass(frozen=True)
class Packer:
    """Packs spans of one split. Pickles, so that other machines may do it too."""

    store: Store
    split: str
    config: ShardConfig
    writer: str = ""
    """Token of the claim under which this one writes."""

    @property
    def staging(self) -> Staging:
        """Names of the unfinished write."""
        return Staging(self.split)

    @property
    def journal(self) -> Journal:
        """Entries of the unfinished write."""
        return Journal(self.store, self.staging)

    def pack(
        self,
        span: Span,
        samples: Iterator[PreparedSample],
        *,
        check: Callable[[], None],
        name: Callable[[int], str],
    ) -> Iterator[ShardEntry]:
        """Write the samples of a span as shards; yield each when it is complete.

        Args:
            span: What is packed.
            samples: Its samples; they may be fewer only if the span has no end.
            check: Called before a shard becomes complete; raises if this writer may not go on.
            name: For messages: what the shard that begins with this sample is called.

        Raises:
            SampleError: as `samples` raises it, with the shard's name.
        """
        part, number = span.part, span.start
        samples = _naming(samples, lambda: name(number))
        sample = next(samples, None)
        while sample is not None:
            rest = replace(span, part=part, start=number)
            entry, rows, sample = self._write_shard(rest, sample, samples, check)
            self.journal.add(entry, rows, self.writer)
            yield entry
            part, number = part + 1, entry.stop

    def _write_shard(
        self,
        span: Span,
        first: PreparedSample,
        samples: Iterator[PreparedSample],
        check: Callable[[], None],
    ) -> tuple[ShardEntry, pa.Table, PreparedSample | None]:
        """Write one shard, beginning with `first`; return the sample that did not fit."""
        options = self.config.shards
        sample: PreparedSample | None = first
        last = first
        place = Place(span.block, span.part)
        name = self.staging.shard(place, self.writer)
        with self.store.open_writer(name) as writer:
            shard = ShardWriter(writer)
            while sample is not None and shard.fits(
                packed_bytes(sample), max_samples=options.max_samples, max_bytes=options.max_bytes
            ):
                shard.add(sample)
                last, sample = sample, next(samples, None)
            info = shard.close(name)
            check()
        rows, extensions, tasks = describe_rows(shard.rows)
        entry = ShardEntry(
            block=span.block,
            part=span.part,
            start=span.start,
            stop=span.start + len(shard.rows),
            is_end=sample is None,
            info=info,
            etag=self.store.stat(name).etag,
            rows=self.staging.rows(place, self.writer),
            extensions=extensions,
            tasks=tasks,
            first=digest(first),
            last=digest(last),
        )
        return entry, rows, sample


def digest(sample: PreparedSample) -> int:
    """Return the CRC32C of a sample's members, one after another."""
    return crc32c(b"".join(data for _, data in sample.members))


def _renamed(error: SampleError, text: str) -> SampleError:
    """Return an error of the same kind with another text."""
    try:
        return type(error)(text)
    except TypeError:  # somebody's own, which takes something else
        return SampleError(text)


def _naming(samples: Iterator[PreparedSample], name: Callable[[], str]) -> Iterator[PreparedSample]:
    """Add the shard's name to what is wrong with a sample."""
    while True:
        try:
            sample = next(samples, None)
        except SampleError as error:
            raise _renamed(error, f"{name()}: {error}") from error
        if sample is None:
            return
        yield sample
