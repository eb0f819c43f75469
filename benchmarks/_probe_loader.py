"""What share of the decoder's own speed does the loader reach? `python -m benchmarks._probe_loader`."""

import argparse
import gc
import itertools
import os
import resource
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

ROWS = {  # case, samples, size, task
    "jpeg": ("jpeg", 1024, None),
    "png": ("png", 192, None),
    "half": ("jpeg", 1024, (256, 256)),
    "raw": ("jpeg", 2048, None),
    "meta": ("jpeg", 2048, None),
}


def make(folder, case, count):
    import vrs_wds as vw
    from benchmarks.write import MemorySource, make_pictures

    root = folder / f"{case}-{count}"
    if not (root / "train.json").exists():
        pictures = folder / "pictures"
        pictures.mkdir(exist_ok=True)
        if not (pictures / case).exists():
            print(case, "mean bytes", make_pictures(case, pictures))
        vw.write_shards(MemorySource(case, pictures, count), root, split="train", progress=False)
    return root


def limit(blobs, case, size, batch=64, ring=4):
    import imagecodecs
    import simplejpeg

    h = w = 512 if size is None else size[0]
    memory = np.zeros((ring, batch, h, w, 3), np.uint8)

    def one(i):
        out = memory[i // batch % ring, i % batch]
        data = blobs[i]
        if case == "png":
            imagecodecs.png_decode(data, out=out)
        elif size:
            simplejpeg.decode_jpeg(data, "RGB", min_height=h, min_width=w, buffer=out)
        else:
            simplejpeg.decode_jpeg(data, "RGB", buffer=out)

    def run():
        with ThreadPoolExecutor(2) as pool:
            chunks = [range(s, min(s + 16, len(blobs))) for s in range(0, len(blobs), 16)]
            list(pool.map(lambda c: [one(i) for i in c], chunks))
        return len(blobs)

    return run


def ours(root, size, **options):
    import vrs_wds as vw

    if options.get("num_workers"):
        options["persistent_workers"] = True
    loader = vw.StreamingLoader(
        root,
        task=options.get("task"),
        batch_size=64,
        size=size,
        **{k: v for k, v in options.items() if k != "task"},
    )

    def run():
        count = 0
        for batch in loader:
            count += len(batch["__key__"])
        return count

    return run


def raw_limit(root):
    def run():
        buffer = bytearray(8 << 20)
        total = 0
        for path in sorted(Path(root).glob("*.tar")):
            with open(path, "rb", buffering=0) as f:
                while n := f.readinto(buffer):
                    total += n
        return 2048

    return run


def raw_ours(root, **how):
    import vrs_wds as vw

    def run():
        dataset = vw.open_dataset(root, "train")
        count = 0
        if how.get("random"):
            order = np.random.default_rng(0).permutation(len(dataset)).tolist()
            for start in range(0, len(order), 64):
                count += len(dataset.get_many(order[start : start + 64]))
        elif how.get("single"):
            for i in range(len(dataset)):
                dataset[i]
                count += 1
        else:
            for sample in dataset:
                count += 1
        return count

    return run


def raw_stream(root):
    import vrs_wds as vw

    def run():
        return sum(1 for _ in vw.stream(root, "train"))

    return run


def raw_wds(root, sidecars=False):
    import webdataset as wds

    def run():
        shards = [str(p) for p in sorted(Path(root).glob("*.tar"))]
        ds = wds.WebDataset(shards, shardshuffle=False, empty_check=False)
        return sum(1 for _ in ds)

    return run


def meta_ours(root):
    import vrs_wds as vw

    def run():
        dataset = vw.open_dataset(root, "train")
        return sum(
            len(dataset.metadata_many(range(s, min(s + 64, len(dataset)))))
            for s in range(0, len(dataset), 64)
        )

    return run


def measure(run):
    gc.collect()
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    count = run()
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return count / wall, cpu / count * 1e3


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", nargs="*", default=list(ROWS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", default="/dev/shm/probe_wF")
    parser.add_argument("--samples", type=int, default=320)
    parser.add_argument("--num-workers", type=int, default=0)
    args = parser.parse_args()
    folder = Path(args.folder)
    folder.mkdir(exist_ok=True)
    import vrs_wds as vw

    for row in args.rows:
        case, count, size = ROWS[row]
        root = make(folder, case, count)
        if row == "raw":
            methods = {
                "limit": raw_limit(root),
                "iter": raw_ours(root),
                "random": raw_ours(root, random=True),
                "single": raw_ours(root, single=True),
                "stream": raw_stream(root),
                "wds": raw_wds(root),
            }
        elif row == "meta":
            methods = {"limit": raw_wds(root), "metadata": meta_ours(root)}
        else:
            ext = "png" if case == "png" else "jpg"
            data = vw.open_dataset(root, "train")[: args.samples]
            blobs = [s[ext] for s in data]
            root = data
            methods = {
                "limit": limit(blobs, case, size),
                "all": ours(root, size, task="all"),
            }
            if args.num_workers:
                methods["workers"] = ours(root, size, task="all", num_workers=args.num_workers)
        results = {name: [] for name in methods}
        for run in methods.values():
            run()
        for r in range(args.rounds):
            names = list(methods) if r % 2 else list(methods)[::-1]
            for name in names:
                results[name].append(measure(methods[name]))
        for name, values in results.items():
            shares = [v[0] / l[0] for v, l in zip(values, results["limit"])]
            cpus = [l[1] / v[1] for v, l in zip(values, results["limit"])]
            best = max(v[0] for v in values) / max(l[0] for l in results["limit"])
            print(
                f"{row:5} {name:8} {max(v[0] for v in values):9.1f}/s  cpu {min(v[1] for v in values):7.3f} ms"
                f"  share median {statistics.median(shares):.3f} best/best {best:.3f}"
                f"  cpu-share median {statistics.median(cpus):.3f} best {min(l[1] for l in results['limit']) / min(v[1] for v in values):.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
