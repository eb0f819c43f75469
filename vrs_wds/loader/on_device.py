"""Decodes a rank's pictures on a device, in the consumer's thread, batch by batch."""

from collections.abc import Generator

from vrs_wds.errors import DecodeError
from vrs_wds.loader.batches import MadeBatch, Results
from vrs_wds.pipeline.device_decode import decode_on_device
from vrs_wds.pipeline.device_picture import DevicePicture
from vrs_wds.pipeline.faults import BadSample, bad_sample


def decode_batches(batches: Generator[MadeBatch]) -> Generator[MadeBatch]:
    """Yield batches with every `DevicePicture` decoded: `image` is (3, H, W) on its device."""
    try:
        for made in batches:
            made.results = decode_results(made.results)
            given = [made]
            del made
            yield given.pop()  # nothing of it is kept here: its memory is the consumer's
    finally:
        batches.close()


def decode_results(results: Results) -> Results:
    """Return results with their pictures decoded; those that cannot be are bad samples."""
    waiting = {
        number: result["image"]
        for number, result in enumerate(results)
        if isinstance(result, dict) and isinstance(result.get("image"), DevicePicture)
    }
    if not waiting:
        return results
    made: Results = [*results]
    for number, pixels in zip(waiting, decode_on_device([*waiting.values()]), strict=True):
        made[number] = (
            _bad(pixels, results[number])
            if isinstance(pixels, DecodeError)
            else {**results[number], "image": pixels}
        )
    return made


def _bad(error: DecodeError, sample: dict[str, str]) -> BadSample:
    return bad_sample(error, sample["__key__"], sample["__url__"])
