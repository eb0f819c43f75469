"""Where an unfinished write keeps its things: names in a hidden folder beside the dataset.

::

    .train.writing/
      job.json                    which source and options, and whose shards count
      shard-000000-0000.T.tar       a complete shard: block 0, part 0, by the writer T
      shard-000000-0000.T.parquet   its rows of the index
      shard-000000-0000.T.json      its entry in the journal, written after the other two
      shard-000000-0001.T.end.json  `end`: no shard of this block follows
      index.T.parquet               the index of all shards, by the writer T
      commit.json                   all shards are there; they are being given their names
    .train.claims/
      claim-000001.json           who writes the split, and that it is alive
    .train.ranks/
      rank-000001.T.json          that a rank other than 0 is alive, or why it stopped

A *block* is a run of `shards.max_samples` samples of the source. A shard never reaches into the
next block, so that blocks can be packed in any order, by anybody; shards get their numbers when all
are there. What a writer that was thought dead still writes has names of its own, and counts only if
`job.json` names that writer.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """One shard among all: the part of a block."""

    block: int
    part: int


@dataclass(frozen=True, slots=True, order=True)
class EntryName:
    """What the name of a shard's entry says."""

    place: Place
    writer: str
    """Token of the claim under which it was written."""
    is_end: bool
    """No shard of this block follows."""


class Staging:
    """Names of the files of an unfinished write of a split."""

    def __init__(self, split: str) -> None:
        self.folder = f".{split}.writing/"
        self.claims_folder = f".{split}.claims/"
        self.ranks_folder = f".{split}.ranks/"

    @property
    def job(self) -> str:
        """Which source and options."""
        return f"{self.folder}job.json"

    @property
    def commit(self) -> str:
        """That all shards are there, and what they replace."""
        return f"{self.folder}commit.json"

    def index(self, writer: str) -> str:
        """The index, before it gets its name; another writer never gives it that."""
        return f"{self.folder}index.{writer}.parquet"

    def card(self, writer: str) -> str:
        """The hub card, before it gets its name."""
        return f"{self.folder}README.{writer}.md"

    def is_of_commit(self, name: str) -> bool:
        """Tell whether a name is that of some writer's `index` or `card`."""
        pattern = r"(index\.[0-9a-f]+\.parquet|README\.[0-9a-f]+\.md)"
        return re.fullmatch(pattern, name.removeprefix(self.folder)) is not None

    def claim(self, number: int) -> str:
        """The claim of the writer that is the `number`-th, from 1."""
        return f"{self.claims_folder}claim-{number:06d}.json"

    def claim_number(self, name: str) -> int | None:
        """Undo `claim`; None for another name."""
        match = re.fullmatch(r"claim-([0-9]+)\.json", name.removeprefix(self.claims_folder))
        return int(match[1]) if match else None

    def rank(self, rank: int, token: str) -> str:
        """What a rank says of itself; those of two launches may have the same number."""
        return f"{self.ranks_folder}rank-{rank:06d}.{token}.json"

    def read_rank(self, name: str) -> tuple[int, str] | None:
        """Undo `rank`; None for another name."""
        pattern = r"rank-([0-9]+)\.([0-9a-f]+)\.json"
        match = re.fullmatch(pattern, name.removeprefix(self.ranks_folder))
        return (int(match[1]), match[2]) if match else None

    def shard(self, place: Place, writer: str) -> str:
        """A shard, before it gets its name."""
        return f"{self._stem(place, writer)}.tar"

    def rows(self, place: Place, writer: str) -> str:
        """A shard's rows of the index."""
        return f"{self._stem(place, writer)}.parquet"

    def entry(self, name: EntryName) -> str:
        """A shard's entry in the journal."""
        return f"{self._stem(name.place, name.writer)}{'.end' if name.is_end else ''}.json"

    def read_entry(self, name: str) -> EntryName | None:
        """Undo `entry`; None for another name."""
        pattern = r"shard-([0-9]+)-([0-9]+)\.([0-9a-f]+)(\.end)?\.json"
        match = re.fullmatch(pattern, name.removeprefix(self.folder))
        if match is None:
            return None
        return EntryName(Place(int(match[1]), int(match[2])), match[3], bool(match[4]))

    def _stem(self, place: Place, writer: str) -> str:
        return f"{self.folder}shard-{place.block:06d}-{place.part:04d}.{writer}"
