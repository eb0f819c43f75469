"""Packs the samples of one span into shards, and enters them into the journal."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

from vrs_wds.errors import SampleError
from vrs_wds.shard.checksums import crc32c
from vrs_wds.storage.store import Store
from vrs_wds.writer.commit import describe_rows
from vrs_wds.writer.finishing import Finishing
from vrs_wds.writer.journal import Journal, ShardEntry, Span
from vrs_wds.writer.options import ShardConfig
from vrs_wds.writer.prepare import PreparedSample
from vrs_wds.writer.shard_writer import ShardWriter
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
        finishing: Finishing,
        *,
        check: Callable[[], None],
        name: Callable[[int], str],
        seal: Callable[[], None] = lambda: None,
    ) -> Iterator[range]:
        """Write the samples of a span as shards; yield the numbers of each shard's samples.

        Args:
            span: What is packed.
            samples: Its samples; they may be fewer only if the span has no end.
            finishing: Completes the shards; some time after they are yielded.
            check: Called, in any thread, before a shard becomes complete; raises if this writer
                may not go on.
            name: For messages: what the shard that begins with this sample is called.
            seal: Called when a shard has all its samples; raises if they may not be there.

        Raises:
            SampleError: as `samples` raises it, with the shard's name.
        """
        part, number = span.part, span.start
        samples = _naming(samples, lambda: name(number))
        sample = next(samples, None)
        while sample is not None:
            rest = replace(span, part=part, start=number)
            with ExitStack() as stack:
                packed, sample = self._pack_shard(rest, sample, samples, stack)
                seal()
                finishing.wait()
                finishing.start(partial(self._complete, packed, check), stack)
            number, part = packed.stop, part + 1
            yield range(packed.start, packed.stop)

    def _pack_shard(
        self,
        span: Span,
        first: PreparedSample,
        samples: Iterator[PreparedSample],
        stack: ExitStack,
    ) -> tuple["_Packed", PreparedSample | None]:
        """Pack one shard, beginning with `first`; return the sample that did not fit, too.

        The stack closes what the shard is written to.
        """
        options = self.config.shards
        sample: PreparedSample | None = first
        last = first
        name = self.staging.shard(Place(span.block, span.part), self.writer)
        shard = ShardWriter(
            stack.enter_context(self.store.open_writer(name)),
            max_samples=options.max_samples,
            max_bytes=options.max_bytes,
        )
        stack.callback(shard.stop)
        while sample is not None and shard.add(sample):
            last, sample = sample, next(samples, None)
        shard.end()
        return _Packed(
            shard=shard,
            name=name,
            place=Place(span.block, span.part),
            start=span.start,
            stop=span.start + len(shard.rows),
            is_end=sample is None,
            first=digest(first),
            last=digest(last),
        ), sample

    def _complete(self, packed: "_Packed", check: Callable[[], None], stack: ExitStack) -> None:
        """Let a shard appear, and enter it into the journal."""
        with stack:
            rows, extensions, tasks = describe_rows(packed.shard.rows)
            info = packed.shard.close(packed.name)
            check()
        entry = ShardEntry(
            block=packed.place.block,
            part=packed.place.part,
            start=packed.start,
            stop=packed.stop,
            is_end=packed.is_end,
            info=info,
            etag=self.store.stat(packed.name).etag,
            rows=self.staging.rows(packed.place, self.writer),
            extensions=extensions,
            tasks=tasks,
            first=packed.first,
            last=packed.last,
        )
        self.journal.add(entry, rows, self.writer)


@dataclass(frozen=True)
class _Packed:
    """A shard that has all its samples, and is not yet complete; see `ShardEntry`."""

    shard: ShardWriter
    name: str
    place: Place
    start: int
    stop: int
    is_end: bool
    first: int
    last: int


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
