"""Packs what is still missing in this process; workers may load and encode the samples."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice

from vrs_wds.errors import DuplicateKeyError, ResumeError
from vrs_wds.sample import Source, SourceSample, check_key, name_to_key
from vrs_wds.shard.names import shard_name
from vrs_wds.writer.engine import prepare_all
from vrs_wds.writer.finishing import Finishing
from vrs_wds.writer.journal import ShardEntry, Span, spans
from vrs_wds.writer.keys import KeySet, Twice
from vrs_wds.writer.pack import Packer, digest
from vrs_wds.writer.prepare import PreparedSample, prepare_sample

Samples = Source | Iterable[SourceSample]

_KEYS_AT_ONCE = 1000


def pack_locally(
    packer: Packer,
    source: Samples,
    entries: Sequence[ShardEntry],
    *,
    num_workers: int,
    check: Callable[[], None],
    count: Callable[[int], object],
) -> None:
    """Pack all that has no entry yet, in the source's order.

    Args:
        packer: Writes the shards.
        source: What is packed.
        entries: Shards that are complete.
        num_workers: Processes that load and encode; 0 does it here.
        check: Raises if this writer may not go on.
        count: Told how many samples were packed.

    Raises:
        DuplicateKeyError: if two samples have one key.
        ResumeError: if the source no longer gives the samples of a complete shard.
    """
    size = packer.config.shards.max_samples
    done = list(entries)
    if isinstance(source, Source):
        todo = list(spans(done, len(source), size))
        numbers = chain.from_iterable(range(s.start, s.stop or s.start) for s in todo)
        prepared = prepare_all(source, packer.config, num_workers=num_workers, numbers=numbers)
    else:
        # Shards were completed in order: what is missing is the rest.
        source = iter(source)
        _pass_over(packer, source, done)
        todo = spans(done, None, size)  # type: ignore[assignment]  # without end
        prepared = prepare_all(source, packer.config, num_workers=num_workers)
    keys = _Keys(source)
    stops = [entry.stop for entry in done]

    def name(number: int) -> str:
        before = sum(stop <= number for stop in stops)
        return shard_name(packer.config.shards.name, packer.split, before)

    try:
        keys.note_packed(packer, done)
        with Finishing() as finishing:
            for span in todo:
                stop = (span.block + 1) * size if span.stop is None else span.stop
                samples = keys.noted(islice(prepared, stop - span.start), span)
                before = len(stops)
                for packed in packer.pack(
                    span, samples, finishing, check=check, name=name, seal=keys.refuse_twice
                ):
                    stops.append(packed.stop)
                    count(len(packed))
                if len(stops) == before:  # the iterable is through
                    return
    finally:
        keys.close()


def check_source(packer: Packer, source: Source, entries: Sequence[ShardEntry]) -> None:
    """Compare the first and the last sample of each complete shard with the source's.

    Raises:
        ResumeError: if one differs.
    """
    for entry in entries:
        for number, expected in ((entry.start, entry.first), (entry.stop - 1, entry.last)):
            sample = source[number]
            if digest(prepare_sample(sample, packer.config)) != expected:
                raise _changed(packer, number, sample)


def _pass_over(packer: Packer, samples: Iterator[SourceSample], entries: list[ShardEntry]) -> None:
    """Take the samples of complete shards from an iterator, and see that they are the same."""
    for entry in entries:
        keys = packer.journal.rows(entry, ["key"])["key"].to_pylist()
        expected = {entry.start: entry.first, entry.stop - 1: entry.last}
        for number, key in enumerate(keys, entry.start):
            sample = next(samples, None)
            if sample is None:
                raise _changed(packer, number, None)
            found = check_key(name_to_key(sample.name))
            if found != key or (
                number in expected
                and digest(prepare_sample(sample, packer.config)) != expected[number]
            ):
                raise _changed(packer, number, sample)
    # The last block ended before its end because there was nothing more.
    if entries and entries[-1].is_end and entries[-1].stop % packer.config.shards.max_samples:
        sample = next(samples, None)
        if sample is not None:
            raise _changed(packer, entries[-1].stop, sample)


def _changed(packer: Packer, number: int, sample: SourceSample | None) -> ResumeError:
    found = "no sample" if sample is None else f"{sample.name!r} ({sample.origin or 'no origin'})"
    return ResumeError(
        f"{packer.store.url_of(packer.staging.folder)}: an unfinished write is there, and the "
        f"source has changed since: sample {number} was another one, now it gives {found}. Throw "
        "the unfinished write away: resume=False (--no-resume)."
    )


class _Keys:
    """Refuses a key that is given twice, among all samples of the split."""

    def __init__(self, source: Samples) -> None:
        self._source = source
        self._seen = KeySet()
        self._waiting: list[tuple[str, int, str]] = []

    def note_packed(self, packer: Packer, entries: Sequence[ShardEntry]) -> None:
        """Note the keys of complete shards."""
        for entry in entries:
            keys = packer.journal.rows(entry, ["key"])["key"].to_pylist()
            self._waiting += [(key, number, "") for number, key in enumerate(keys, entry.start)]
            self.refuse_twice()

    def noted(self, samples: Iterator[PreparedSample], span: Span) -> Iterator[PreparedSample]:
        """Pass samples on; their keys are looked at soon, many at once."""
        can_be_asked = isinstance(self._source, Source)
        try:
            for number, sample in enumerate(samples, span.start):
                self._waiting.append((sample.key, number, "" if can_be_asked else sample.origin))
                if len(self._waiting) >= _KEYS_AT_ONCE:
                    self.refuse_twice()
                yield sample
        except Exception:
            self.refuse_twice()  # what came first counts
            raise

    def refuse_twice(self) -> None:
        """Raise for a key that was there before, among all samples that were passed on."""
        waiting, self._waiting = self._waiting, []
        if (twice := self._seen.add(waiting)) is not None:
            raise twice_error(self._source, twice)

    def close(self) -> None:
        """Forget the keys."""
        self._seen.close()


def twice_error(source: Samples, twice: Twice) -> DuplicateKeyError:
    """Say which samples have the same key."""

    def describe(number: int, origin: str) -> str:
        if not origin and isinstance(source, Source):
            sample = source[number]
            origin = sample.origin or sample.name
        return f"{origin} (sample {number})" if origin else f"sample {number}"

    first, second = (describe(number, origin) for number, origin in twice.origins.items())
    return DuplicateKeyError(
        f"key {twice.key!r} is given twice: by {first} and by {second}. Keys are unique in a "
        "split: give one of them another name."
    )
