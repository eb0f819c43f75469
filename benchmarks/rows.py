"""What is compared: each row with its limit, our method, its peers, and our targets."""

from dataclasses import dataclass, field

LIMIT = "limit"
"""Key of a target that is a share of the row's limit; others are names of methods."""


@dataclass(frozen=True, slots=True)
class Method:
    """One way to read a row's samples."""

    name: str
    module: str
    """Below `benchmarks.methods`."""
    peer: str
    """What `--peers` calls it; `ours` and `limit` always run."""
    environment: str | None = None
    """Of `benchmarks.environments`; None is this interpreter's."""
    has_copy: bool = False
    """Whether it writes a copy of the samples in its own format."""
    option: str = ""
    """What the method needs to know besides the row."""


@dataclass(frozen=True, slots=True)
class Row:
    """One question."""

    name: str
    title: str
    kind: str
    """Of `benchmarks.corpus`."""
    samples: int
    methods: tuple[Method, ...]
    """The limit first, if the row has one."""
    targets: dict[str, float] = field(default_factory=dict)
    """What our speed should be: a share of the limit's, and so many times that of each method."""
    once: bool = False
    """Whether one round is enough."""
    times: int = 1
    """So many rounds for each one of the others: what takes microseconds a sample varies more."""
    limit_uses_cpu: bool = True
    """Whether the limit is of the processor's work, so that processor seconds may be compared."""
    first_batch_target: float | None = None
    """Our first batch should take so many times the limit's first one at most."""


OURS = Method("ours", "ours", "ours")
THE_LIMIT = Method(LIMIT, "limits", LIMIT)
WEBDATASET = Method("webdataset", "webdataset_stream", "webdataset")
WEBDATASET_PIL = Method("webdataset + PIL", "webdataset_stream", "webdataset")
DALI = Method("DALI, CPU", "dali", "dali", "dali", has_copy=True)

ROWS = (
    Row(
        "jpeg",
        "JPEG 512 and five parsed sidecars, batches of 64",
        "jpeg",
        3200,
        (
            THE_LIMIT,
            OURS,
            DALI,
            WEBDATASET_PIL,
            Method("webdataset + simplejpeg", "webdataset_simplejpeg", "webdataset"),
            Method("SPDL", "spdl", "spdl", "spdl"),
            Method("litdata", "litdata", "litdata", "litdata", has_copy=True),
            Method("mosaicml-streaming", "mosaicml", "mosaicml", "mosaicml", has_copy=True),
            Method("HF datasets", "huggingface", "huggingface"),
            Method("grain", "grain", "grain", "grain", has_copy=True),
            Method("ImageFolder, DataLoader", "torchvision_folder", "torchvision", has_copy=True),
        ),
        {LIMIT: 0.90, "DALI, CPU": 1.15, "webdataset + PIL": 3.2},
    ),
    Row(
        "png",
        "PNG 512 and five parsed sidecars, batches of 64",
        "png",
        1280,
        (THE_LIMIT, OURS, DALI, WEBDATASET_PIL),
        {LIMIT: 0.97, "DALI, CPU": 1.1, "webdataset + PIL": 1.8},
    ),
    Row(
        "resize",
        "JPEG 512 to 256 x 256, batches of 64",
        "jpeg",
        3200,
        (
            THE_LIMIT,
            OURS,
            Method("webdataset + PIL + torchvision", "webdataset_stream", "webdataset"),
        ),
        {LIMIT: 0.90, "webdataset + PIL + torchvision": 4.0},
    ),
    Row(
        "crop",
        "128 x 128 out of a JPEG of 1024, one a picture",
        "jpeg1024",
        320,
        (THE_LIMIT, OURS),
        {LIMIT: 2.0},
    ),
    Row(
        "raw",
        "members as bytes, in order",
        "jpeg",
        1280,
        (THE_LIMIT, OURS, WEBDATASET),
        {LIMIT: 0.80, "webdataset": 10.0},
        times=3,
    ),
    Row(
        "sidecars",
        "five parsed sidecars alone, in order",
        "jpeg",
        1280,
        (THE_LIMIT, OURS, WEBDATASET),
        {"webdataset": 15.0},
        times=3,
    ),
    Row(
        "random",
        "whole samples as bytes, shuffled",
        "jpeg",
        1280,
        (
            THE_LIMIT,
            OURS,
            Method("wids", "wids_random", "wids", "wids"),
            Method("barecat", "barecat_random", "barecat", "barecat", has_copy=True),
        ),
        {"wids": 5.0, "barecat": 1.0},
        times=3,
    ),
    Row(
        "remote",
        "as `jpeg`, over a link of 100 MB/s to a server 50 ms away",
        "jpeg",
        3200,
        (THE_LIMIT, OURS, WEBDATASET_PIL),
        {LIMIT: 0.85, "webdataset + PIL": 3.0},
        limit_uses_cpu=False,
        first_batch_target=3.0,
    ),
    Row(
        "remote_png",
        "as `png`, over the same link",
        "png",
        1280,
        (THE_LIMIT, OURS, WEBDATASET_PIL),
        {LIMIT: 0.85, "webdataset + PIL": 3.0},
        limit_uses_cpu=False,
    ),
    Row(
        "gil",
        "a consumer that holds the GIL for half of the time",
        "jpeg",
        1280,
        (
            Method("ours, num_threads=1", "gil", "ours", option="num_threads=1"),
            Method("ours, switch_interval=None", "gil", "ours", option="switch_interval=None"),
            Method("ours, num_workers=1", "gil", "ours", option="num_workers=1"),
        ),
        {
            "ours, num_threads=1": 0.8,
            "ours, num_workers=1": 0.9,
        },
    ),
    Row(
        "memory",
        "10,000 batches of 8",
        "jpeg",
        1280,
        (Method("ours", "memory", "ours", option="10000"),),
        once=True,
    ),
)


def peers() -> list[str]:
    """Return what `--peers` may name."""
    found = {method.peer for row in ROWS for method in row.methods}
    return sorted(found - {"ours", LIMIT})
