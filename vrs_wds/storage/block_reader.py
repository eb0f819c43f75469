"""Reads ranges of a file through a cache of its blocks; fetches each missing block once a node."""

from collections.abc import Callable, Sequence

from vrs_wds.storage.blocks import Block, CutFile, Piece, plan_pieces
from vrs_wds.storage.cache_folder import CacheFolder, Claim, Waiting

Fetch = Callable[[list[tuple[int, int]]], list[bytes]]
"""Returns ranges, each an offset and a size, of one version of a file; all bytes of each."""

_MAX_CLAIMS = 8
"""Blocks that one call fetches at once; they are held in memory."""


def read_ranges(
    cache: CacheFolder, file: CutFile, ranges: Sequence[tuple[int, int]], fetch: Fetch
) -> list[bytes]:
    """Return ranges of a file, each an offset and a size; fewer bytes where the file ends."""
    wanted = plan_pieces(ranges, file_bytes=file.stat.size, block_bytes=file.block_bytes)
    found: dict[int, list[list[bytes]]] = {}
    while len(found) < len(wanted):
        missing: dict[Block, list[Piece]] = {}
        for number, pieces in wanted.items():
            if number not in found:
                block = file.block(number)
                data = cache.read(block, [(piece.start, piece.stop) for piece in pieces])
                if data is None:
                    missing[block] = pieces
                else:
                    found[number] = data
        if missing:
            found.update(_fetch_missing(cache, missing, fetch))
    parts: list[list[bytes]] = [[] for _ in ranges]
    for number in sorted(wanted):
        for piece, cuts in zip(wanted[number], found[number], strict=True):
            parts[piece.place] += cuts
    return [part[0] if len(part) == 1 else b"".join(part) for part in parts]


def _fetch_missing(
    cache: CacheFolder, wanted: dict[Block, list[Piece]], fetch: Fetch
) -> dict[int, list[list[bytes]]]:
    """Fetch blocks that nobody else is fetching, then wait for the others.

    In this order: nobody waits while others wait for him.

    Returns:
        Pieces by the number of their block, of some of the blocks: the others are to be looked for
        again.
    """
    claims: list[Claim] = []
    passed: list[Block] = []
    waiting: list[Waiting] = []
    found = {}
    try:
        for block in wanted:
            match cache.claim(block):
                case Claim() as claim:
                    claims.append(claim)
                case Waiting() as other:
                    waiting.append(other)
                case None:
                    passed.append(block)
            if len(claims) == _MAX_CLAIMS:
                break
        requests = [(claim.block.start, claim.block.size) for claim in claims]
        for block in passed:
            requests += [(block.start + p.start, p.stop - p.start) for p in wanted[block]]
        answers = iter(fetch(requests) if requests else [])
        cache.counter.add(misses=len(claims), passed=len(requests) - len(claims))
        while claims:
            claim, data = claims.pop(0), next(answers)
            claim.keep(data)
            found[claim.block.number] = [[data[p.start : p.stop]] for p in wanted[claim.block]]
        for block in passed:
            found[block.number] = [[next(answers)] for _ in wanted[block]]
        while waiting:
            waiting.pop().wait()
    finally:  # after an exception: others need not wait
        for claim in claims:
            claim.give_up()
        for other in waiting:
            other.close()
    return found
