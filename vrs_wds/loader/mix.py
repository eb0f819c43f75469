"""`mix`: batches from several datasets, or for several tasks, in proportion to weights."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from vrs_wds.checks import whole_number
from vrs_wds.errors import ConfigError
from vrs_wds.loader.loader import StreamingLoader
from vrs_wds.order.epochs import check_epoch
from vrs_wds.order.mixing import Schedule, Until, normalized
from vrs_wds.order.state import check_version, place_of_state
from vrs_wds.pipeline.faults import BadSample
from vrs_wds.reader.dataset import ShardedDataset
from vrs_wds.reader.read_ahead import DEFAULT_READ_AHEAD_BYTES
from vrs_wds.storage.store import Location
from vrs_wds.structs import convert

_VERSION = 1


@dataclass(frozen=True)
class Part:
    """One part of a mixture: a dataset, its weight, and options of its own."""

    dataset: Location | ShardedDataset
    weight: float = 1.0
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of `StreamingLoader` for this part, such as `task`, `split`, `stages` or `per`."""


def mix(
    parts: Mapping[str | Path, float] | Sequence[Part],
    *,
    until: Until = "first",
    seed: int = 0,
    **options: Any,  # noqa: ANN401 - those of StreamingLoader
) -> "MixedLoader":
    """Return a loader whose batches come from several parts in turn, in proportion to weights.

    Each batch is of one part, whose number is `batch["part"]`: parts may be of different tasks. The
    turns follow a fixed schedule without chance; they are the same on every rank. A dataset that is
    given twice has another order each time, if it is shuffled and the parts' options name no seed.

    Args:
        parts: Weights by address; or `Part`s, for tasks or options that differ.
        until: When an epoch ends: at the `first` part that is through, or when `all` are.
        seed: With the epoch and the part decides the orders.
        options: Options of `StreamingLoader` for all parts: `batch_size`, `task`, `shuffle`, ...
            Parts share the default of `read_ahead_bytes`.

    Raises:
        ConfigError: if options do not fit, or a part has no batch to give.
        DatasetNotFound: if there is no such dataset.

    >>> mix({}, batch_size=4)
    Traceback (most recent call last):
    ...
    vrs_wds.errors.ConfigError: weights: expected numbers above 0, got [].
    """
    if isinstance(parts, Mapping):
        parts = [Part(address, weight) for address, weight in parts.items()]
    number = whole_number("seed", seed, least=0)
    if not all(isinstance(part, Part) for part in parts):
        raise ConfigError(
            f"parts: expected weights by address, or vrs_wds.Part(...), got {parts!r}."
        )
    weights = [part.weight for part in parts]
    normalized(weights)  # checks them, before anything is opened
    options = {"read_ahead_bytes": DEFAULT_READ_AHEAD_BYTES // len(parts), **options}
    loaders = [
        StreamingLoader(part.dataset, **({"seed": _seed_of(number, i), **options, **part.options}))
        for i, part in enumerate(parts)
    ]
    return MixedLoader(loaders, weights, until)


class MixedLoader:
    """Batches of several loaders in turn; made by `mix`.

    `len`, `set_epoch`, `state_dict` and `load_state_dict` mean what they mean for a
    `StreamingLoader`. A part that has given its epoch begins its next one.
    """

    def __init__(
        self, loaders: Sequence[StreamingLoader], weights: Sequence[float], until: Until
    ) -> None:
        self.loaders = list(loaders)
        self.weights = normalized(weights)
        self.until = until
        self.epoch = 0
        """Number of the epoch that the next iteration gives."""
        self._schedule = Schedule.make(self.weights)
        lengths = [len(loader) for loader in self.loaders]
        self._turns = self._schedule.counts_in_epoch(lengths, until)
        """Turns of each part in an epoch."""
        self._start = 0  # the batch that the next iteration begins with
        self._given = (0, 0)  # epoch, and how many batches of it the consumer has
        self._run = 0  # the iteration that may say so

    @property
    def skipped(self) -> list[BadSample]:
        """Bad samples skipped so far, by all parts."""
        return [bad for loader in self.loaders for bad in loader.skipped]

    def __len__(self) -> int:
        """Return the number of batches of an epoch; the same on every rank."""
        return sum(self._turns)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration gives; see `StreamingLoader.set_epoch`."""
        epoch = check_epoch(epoch)
        if epoch != self.epoch:
            self.epoch, self._start = epoch, 0
        if self._given != (epoch, self._start):
            self._given = (epoch, self._start)
            self._run += 1

    def state_dict(self) -> dict[str, Any]:
        """Return where the loader stands: small, plain values, the same on every rank."""
        epoch, batch = place_of_state(*self._given, len(self))
        states = [loader.state_dict() for loader in self.loaders]
        return {
            "version": _VERSION,
            "epoch": epoch,
            "batch": batch,
            "until": self.until,
            "weights": self.weights,
            # Where each part stands follows from the epoch and the batch; this is to know it again.
            "parts": [state | {"epoch": 0, "batch": 0} for state in states],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next iteration go on after the last batch that was given at the time of saving.

        Raises:
            ConfigError: if the parts, their weights, data or options have changed.
        """
        saved = _parse_state(state)
        for name, was, here in (
            ("weights", saved.weights, self.weights),
            ("until", saved.until, self.until),
        ):
            if was != here:
                raise ConfigError(f"state: {name} was {was!r}, is {here!r}.")
        for number, (loader, part) in enumerate(zip(self.loaders, saved.parts, strict=True)):
            try:
                copy(loader).load_state_dict(part)  # checks it; its place follows from the batch
            except ConfigError as error:
                raise ConfigError(f"part {number}: {error}") from error
        self.epoch, self._start = place_of_state(saved.epoch, saved.batch, len(self))
        self._given = (self.epoch, self._start)
        self._run += 1

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the batches of the next epoch; after `load_state_dict`, the rest of its epoch."""
        epoch, start = self.epoch, self._start
        self.epoch, self._start = epoch + 1, 0
        self._given = (epoch, start)
        self._run += 1
        return self._batches(epoch, start, self._run)

    def _batches(self, epoch: int, start: int, run: int) -> Iterator[dict[str, Any]]:
        counts = self._schedule.counts_after(start)
        streams = [
            self._part_batches(number, epoch * turns + count)
            for number, (turns, count) in enumerate(zip(self._turns, counts, strict=True))
        ]
        try:
            for given in range(start + 1, len(self) + 1):
                part = self._schedule.next_part(counts)
                batch = next(streams[part])
                counts[part] += 1
                if run == self._run:  # else another iteration says where the loader stands
                    self._given = (epoch, given)
                yield {**batch, "part": part}
        finally:
            for stream in streams:
                stream.close()

    def _part_batches(self, part: int, start: int) -> Generator[dict[str, Any]]:
        """Yield the batches of a part without end, its epochs one after another."""
        loader = self.loaders[part]
        epoch, batch = divmod(start, len(loader))
        while True:
            loader.load_state_dict(loader.state_dict() | {"epoch": epoch, "batch": batch})
            yield from loader
            epoch, batch = epoch + 1, 0

    def __repr__(self) -> str:
        lines = [f"MixedLoader(epoch {self.epoch}, until {self.until!r})"]
        for weight, loader in zip(self.weights, self.loaders, strict=True):
            lines += [f"  {weight:.3g}", *(f"    {line}" for line in repr(loader).splitlines())]
        return "\n".join(lines)


class _MixedState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `state_dict()` holds."""

    version: int
    epoch: int
    batch: int
    until: str
    weights: list[float]
    parts: list[dict[str, Any]]


def _parse_state(values: object) -> _MixedState:
    if isinstance(values, Mapping):
        check_version(values.get("version", _VERSION), _VERSION)
    try:
        state = convert(values, _MixedState)
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"state: expected what state_dict() of a MixedLoader gave: {error}."
        ) from error
    if len(state.parts) != len(state.weights):
        raise ConfigError(
            f"state: expected as many parts as weights, got {len(state.parts)} and "
            f"{len(state.weights)}."
        )
    return state


def _seed_of(seed: int, part: int) -> int:
    """Return a seed for one part: far from those of other parts and other seeds."""
    return int(np.random.SeedSequence([seed, part]).generate_state(1, np.uint32)[0])
