"""Writes a small made-up split: `python writing.py URL`. The environment says what goes wrong."""

import os
import signal
import sys
import time

import numpy as np

import vrs_wds as vw
from vrs_wds.images.encode import encode_rgb
from vrs_wds.writer import claim, ranks

claim.BEAT_SECONDS = float(os.environ.get("BEAT", "1"))
claim.PATIENCE_SECONDS = float(os.environ.get("PATIENCE", "20"))
ranks.START_SECONDS = float(os.environ.get("START", "60"))
IMAGE = encode_rgb(np.zeros((8, 8, 3), np.uint8), "png")
DIE_AT = int(os.environ.get("DIE_AT", "-1"))  # the sample at which a process dies, once
FAIL_AT = int(os.environ.get("FAIL_AT", "-1"))
FLAG = os.environ.get("FLAG", "")


class Source:
    def __len__(self):
        return int(os.environ.get("LENGTH", "400"))

    def __getitem__(self, number):
        if number == DIE_AT and not os.path.exists(FLAG):
            open(FLAG, "x").close()
            os.kill(os.getpid(), signal.SIGKILL)
        if number == FAIL_AT:
            raise ValueError("a bad place")
        time.sleep(float(os.environ.get("SLOW", "0")))
        captions = {"captions": ["word " * (number % 50 + 1)]}
        return vw.SourceSample(f"s{number}", IMAGE, "png", {"captioning": captions})


def main():
    config = vw.ShardConfig(shards=vw.ShardOptions(max_samples=20))
    print("begin", flush=True)
    engine = os.environ.get("ENGINE", "local")
    world = None if engine == "ray" else vw.detect_world()
    try:
        report = vw.write_shards(
            Source(),
            sys.argv[1],
            split="train",
            config=config,
            world=world,
            engine=engine,
            num_workers=int(os.environ.get("WORKERS", "0")),
        )
    except vw.VrsWdsError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(report.num_samples)


if __name__ == "__main__":
    main()
