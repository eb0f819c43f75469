"""Where a loader stands: small, plain values, the same on every rank."""

from collections.abc import Mapping

import msgspec

from vrs_wds.errors import ConfigError
from vrs_wds.order.epochs import MAX_EPOCH
from vrs_wds.structs import convert

STATE_VERSION = 1


class LoaderState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `state_dict()` holds. Nothing of it depends on the rank, the workers or the threads."""

    version: int = STATE_VERSION
    epoch: int
    """The epoch that is being given, counted from 0."""
    batch: int
    """Global batches of it that were given."""
    fingerprint: str
    """Of the dataset, and of the selection if it is one."""
    num_samples: int
    order: dict[str, int | str | bool]
    """The options that the order depends on."""

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        values: dict[str, object] = msgspec.to_builtins(self)
        return values


def parse_state(values: object) -> LoaderState:
    """Read a state.

    Raises:
        ConfigError: if it is malformed, or of another version.
    """
    if isinstance(values, Mapping):
        check_version(values.get("version", STATE_VERSION), STATE_VERSION)
    try:
        state = convert(values, LoaderState)
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"state: expected what state_dict() of a StreamingLoader gave: {error}."
        ) from error
    return state


def check_version(found: object, expected: int) -> None:
    """Refuse a state of another version, before anything else of it is read.

    Raises:
        ConfigError: if it is one.
    """
    if found != expected:
        raise ConfigError(
            f"state: expected version {expected}, found {found!r}. Resume with the version of "
            "vrs_wds that saved it."
        )


def place_of_state(epoch: int, batch: int, num_batches: int) -> tuple[int, int]:
    """Return the epoch and the batch that a loader goes on with; after the last one, the next.

    Raises:
        ConfigError: if there is no such place.
    """
    if not 0 <= batch <= num_batches or not 0 <= epoch <= MAX_EPOCH:
        raise ConfigError(
            f"state: expected an epoch from 0 and at most {num_batches:,} batches, got epoch "
            f"{epoch} and batch {batch:,}."
        )
    return (epoch + 1, 0) if 0 < batch == num_batches else (epoch, batch)


def check_same_run(saved: LoaderState, here: LoaderState) -> None:
    """Refuse a state that was saved over other data or with another order.

    Raises:
        ConfigError: if so; the message says what differs.
    """
    if saved.fingerprint != here.fingerprint:
        raise ConfigError(
            f"state: the dataset, or its selection, has changed since the state was saved: it had "
            f"{saved.num_samples:,} samples and fingerprint {_brief(saved.fingerprint)}, now it "
            f"has {here.num_samples:,} and {_brief(here.fingerprint)}. Resume over the same data, "
            "or start anew."
        )
    names = sorted({*saved.order, *here.order})
    differences = [
        f"{name} was {saved.order.get(name)!r}, is {here.order.get(name)!r}"
        for name in names
        if saved.order.get(name) != here.order.get(name)
    ]
    if differences:
        raise ConfigError(
            f"state: saved with another order: {'; '.join(differences)}. Make the loader with the "
            "same options. global_batch_size is batch_size times the number of ranks: on other "
            "ranks, choose batch_size so that it stays the same."
        )


def _brief(fingerprint: str) -> str:
    """Shorten each part: that of the dataset, and that of its selection."""
    return "+".join(part[:12] for part in fingerprint.split("+"))
