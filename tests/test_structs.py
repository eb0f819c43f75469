"""Types that several threads ask for at once, for the first time."""

import subprocess
import sys

import msgspec
import pytest

from vrs_wds.structs import convert, decoder_of

RACE = """
import sys, threading
from vrs_wds.structs import convert, decoder_of
from msgspec import defstruct, json

sys.setswitchinterval(1e-6)
text = json.encode({f"f{i}": {f"g{k}": k for k in range(20)} for i in range(20)})
plain = json.decode(text)
for number in range(40):
    inner = [defstruct(f"Inner{i}", [(f"g{k}", int) for k in range(20)]) for i in range(20)]
    outer = defstruct("Outer", [(f"f{i}", inner[i]) for i in range(20)])
    barrier = threading.Barrier(4)

    def use(kind):
        barrier.wait()
        (decoder_of(outer).decode(text) if kind % 2 else convert(plain, outer))

    threads = [threading.Thread(target=use, args=[kind]) for kind in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print("done")
"""
"""Each round a type of its own, that four threads use at once for the first time."""


def test_several_threads_use_a_type_for_the_first_time() -> None:
    """Without a lock msgspec ends the process by a segmentation fault, in most runs."""
    ended = subprocess.run([sys.executable, "-c", RACE], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "done\n"


def test_same_decoder_for_all() -> None:
    """Making one takes longer than a small text."""
    assert decoder_of(list[int]) is decoder_of(list[int])


def test_convert_as_msgspec_does() -> None:
    """Values and errors are msgspec's."""

    class Point(msgspec.Struct):
        x: float

    assert convert({"x": 1}, Point) == Point(1.0)
    with pytest.raises(msgspec.ValidationError, match="Expected `float`, got `str`"):
        convert({"x": "1"}, Point)
