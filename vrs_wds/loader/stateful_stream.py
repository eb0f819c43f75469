"""`StatefulStream`: a stream that remembers where it was, for torchdata's `StatefulDataLoader`."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch.utils.data import IterableDataset

from vrs_wds.errors import ConfigError
from vrs_wds.loader.stream import IndexedSource, Stream
from vrs_wds.order.state import LoaderState, check_same_run, parse_state
from vrs_wds.pipeline.stage import SampleDict, SampleStage


class StatefulStream(IterableDataset[SampleDict]):
    """A stream whose readers, one in each worker, say where they are and go on from there.

    Works in `torchdata.stateful_dataloader.StatefulDataLoader`, which asks every worker for its
    state and gives it back to it: resume with as many ranks and workers as before. (A
    `StreamingLoader` resumes on any number of them.) Each epoch begins with `set_epoch`, as with
    PyTorch's samplers.
    """

    def __init__(self, stream: Stream) -> None:
        """Take a stream with an index, composed with stages that give one sample for one.

        Raises:
            ConfigError: if it has no index, or a stage may give more or fewer samples.
        """
        source, *stages = stream.pipeline
        if not isinstance(source, IndexedSource):
            raise ConfigError(
                f"{source!r}: its samples cannot be counted beforehand. Make an index with "
                "`vrs-wds index`."
            )
        for stage in stages:
            if not (isinstance(stage, SampleStage) and stage.one_to_one):
                raise ConfigError(
                    f"expected stages that give one sample for one, such as Decode, got {stage!r}: "
                    "a place after it says nothing about what was read."
                )
        self.stream = stream
        self._source = source
        self._start = 0  # samples that the next iteration leaves out
        self._given = (int(source.epoch), 0)  # epoch, and samples of it that this reader gave
        self._chosen: int | None = None  # what set_epoch said last

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration gives; workers that live on see it too."""
        self.stream.set_epoch(epoch)
        self._chosen = int(self._source.epoch)
        if self._chosen != self._given[0]:
            self._start = 0

    def __iter__(self) -> Iterator[SampleDict]:
        """Yield this reader's samples of the epoch; after `load_state_dict`, the rest of them."""
        epoch, start = int(self._source.epoch), self._start
        self._start, self._chosen = 0, None
        self._given = (epoch, start)
        return self._samples(epoch, start)

    def _samples(self, epoch: int, start: int) -> Iterator[SampleDict]:
        samples: Iterator[SampleDict] = self._source.samples(epoch, start)
        for stage in self.stream.pipeline[1:]:
            samples = stage(samples)
        for number, sample in enumerate(samples, start=start + 1):
            self._given = (epoch, number)
            yield sample

    def state_dict(self) -> dict[str, Any]:
        """Return where this reader stands: plain values for JSON."""
        epoch, samples = self._given
        return {"samples": samples, "stream": self._state(epoch).to_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next iteration go on after the last sample that this reader gave.

        A reader that had given all of its epoch gives nothing for the rest of it: others may have
        something left. After `set_epoch` to another epoch, the next iteration begins that one.

        Raises:
            ConfigError: if the data, the order, or the number of readers have changed.
        """
        if not isinstance(state, Mapping) or not isinstance(state.get("samples"), int):
            raise ConfigError(
                f"state: expected what state_dict() of a StatefulStream gave, got {state!r}."
            )
        saved = parse_state(state.get("stream"))
        here = self._state(saved.epoch)
        readers = [run.order.get("num_readers") for run in (saved, here)]
        if readers[0] != readers[1]:
            raise ConfigError(
                f"state: saved by {readers[0]} readers (ranks times workers), here are "
                f"{readers[1]}. Resume with as many, or use a StreamingLoader, which may change "
                "them."
            )
        check_same_run(saved, here)
        # torchdata loads a state when it begins to iterate, after set_epoch.
        if self._chosen not in (None, saved.epoch):
            return
        self._source.epoch.fill_(saved.epoch)
        self._start = state["samples"]
        self._given = (saved.epoch, self._start)

    def _state(self, epoch: int) -> LoaderState:
        world, order = self._source.place()
        described = order.describe()
        del described["global_batch_size"]  # no batches yet; the readers stand for it
        return LoaderState(
            epoch=epoch,
            batch=0,
            fingerprint=order.fingerprint,
            num_samples=len(self._source.dataset),
            order=described | {"num_readers": world.num_readers},
        )

    def __repr__(self) -> str:
        return f"Stateful{self.stream!r}"
