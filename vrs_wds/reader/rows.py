"""What the index says of samples, in the form in which they are read."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from vrs_wds.errors import ManifestError
from vrs_wds.reader.index import Index
from vrs_wds.reader.members import MemberRequest
from vrs_wds.reader.runs import Run
from vrs_wds.shard.manifest import Manifest
from vrs_wds.storage.reading import Reading
from vrs_wds.storage.store import Store

Row = tuple[str, tuple[Run, ...], list[list[int]], str]
"""A sample's key; the members to read, as runs; shard, offset, size and CRC32C of every member, by
number; and its shard's URL."""


class IndexRows:
    """Rows of an index, checked to lie within the shards."""

    def __init__(self, store: Store, manifest: Manifest, index: Index) -> None:
        self._store = store
        self._index = index
        self._index_name = manifest.vrs_wds.index.url
        self._shards = [shard.url for shard in manifest.shardlist]
        self._sizes = [shard.filesize for shard in manifest.shardlist]
        self._urls: dict[int, str] = {}

    def iterate(
        self, numbers: Iterable[int], wanted: frozenset[str] | None, reading: Reading
    ) -> Iterator[Row]:
        """Yield the rows of samples.

        Args:
            numbers: Their numbers in the whole split.
            wanted: Extensions of the members to read; None for all.
            reading: How the members' store likes to be read.

        Raises:
            ManifestError: if a wanted member lies outside of the shards.
        """
        first = stop = 0
        for number in numbers:
            if not first <= number < stop:
                group, first, stop = self._index.locate(number)
                url = self.url_of(number)
                table = group.runs(wanted, reading)
            row = number - first
            places, runs = group.places[row].tolist(), table.runs_of(row)
            if row in group.outside:
                self._refuse_outside(group.keys[row], runs, places)
            yield group.keys[row], runs, places, url

    def requests(
        self,
        numbers: Sequence[int],
        wanted: frozenset[str] | None,
        reading: Reading,
        item: int | None = None,
    ) -> tuple[list[str], list[MemberRequest], list[dict[str, bytes]]]:
        """Return the samples' keys, what to read, and where to put it: in member order.

        Args:
            numbers: See `iterate`.
            wanted: See `iterate`.
            reading: See `iterate`.
            item: `sample` of the requests; None numbers the samples.
        """
        keys, requests, parts = [], [], []
        for i, (key, runs, places, _) in enumerate(self.iterate(numbers, wanted, reading)):
            members: dict[str, bytes] = {}
            sample = i if item is None else item
            for extension, column in chain.from_iterable(runs):
                shard, offset, size, crc = places[column]
                members[extension] = b""
                requests.append(MemberRequest(shard, offset, size, crc, sample, extension))
            keys.append(key)
            parts.append(members)
        return keys, requests, parts

    def url_of(self, number: int) -> str:
        """Return the URL of the shard of a sample of the whole split."""
        shard = bisect_right(self._index.starts, number) - 1
        url = self._urls.get(shard)
        if url is None:
            url = self._urls[shard] = self._store.url_of(self._shards[shard])
        return url

    def _refuse_outside(
        self, key: str, runs: Iterable[Run], places: Sequence[Sequence[int]]
    ) -> None:
        """Raise for a wanted member that lies outside of the shards."""
        sizes = self._sizes
        for extension, column in chain.from_iterable(runs):
            shard, offset, size, _ = places[column]
            is_inside = (
                0 <= shard < len(sizes) and offset >= 0 and 0 <= size <= sizes[shard] - offset
            )
            if not is_inside:
                raise ManifestError(
                    f"{self._store.url_of(self._index_name)}: sample {key!r}: member "
                    f"{extension!r} lies outside of its shard (shard {shard}, offset {offset:,}, "
                    f"size {size:,}). Make the index anew with `vrs-wds index --overwrite`."
                )
