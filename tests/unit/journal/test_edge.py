"""The edge that HEAD claims is the same however facts were committed and covers every one of them, and a HEAD
that has the root instead is as good."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from helix_ray.core.events import Fact, QuotaSet
from helix_ray.journal.edge import TreeEdge
from helix_ray.journal.errors import JournalDamaged
from helix_ray.journal.hashing import HASH_BYTES
from helix_ray.journal.head import Claim, HeadFile
from helix_ray.journal.merkle import Frontier
from helix_ray.journal.rows import TILE_FACTS
from helix_ray.journal.sqlite import SqliteJournal

KEY = b"k" * 32
LEAVES = [sha256(b"%d" % number).digest() for number in range(3 * TILE_FACTS + 5)]


def grown(leaves: list[bytes], step: int) -> TreeEdge:
    """Return the edge over leaves that came in commits of `step`."""
    edge = TreeEdge()
    for first in range(0, len(leaves), step):
        some = b"".join(leaves[first : first + step])
        edge.grow(edge.growth(len(some) // HASH_BYTES, lambda some=some: some))
    return edge


@pytest.mark.parametrize("count", [0, 1, TILE_FACTS - 1, TILE_FACTS, TILE_FACTS + 1, len(LEAVES)])
def test_the_edge_does_not_depend_on_the_commits(count: int) -> None:
    """Commits of any size lead to the same hash and size, and to the tree's root."""
    edges = [grown(LEAVES[:count], step) for step in (1, 7, TILE_FACTS, TILE_FACTS + 1, 10_000)]
    assert {(edge.hash(), edge.size) for edge in edges} == {(edges[0].hash(), count)}
    assert {edge.root() for edge in edges} == {Frontier().extended(b"".join(LEAVES[:count]), 64)[0].root()}


def test_every_leaf_and_their_order_are_in_the_hash() -> None:
    """A leaf that is changed, left out or exchanged leads to another hash, wherever it is."""
    hashes = {grown(LEAVES, TILE_FACTS).hash()}
    for place in range(len(LEAVES)):
        hashes.add(grown([*LEAVES[:place], bytes(32), *LEAVES[place + 1 :]], 10_000).hash())
        hashes.add(grown([*LEAVES[:place], *LEAVES[place + 1 :]], 10_000).hash())
    hashes.add(grown([LEAVES[1], LEAVES[0], *LEAVES[2:]], 10_000).hash())
    assert len(hashes) == 2 * len(LEAVES) + 2


def written(folder: Path, count: int) -> bytes:
    """Write a journal of so many facts; return its root."""
    journal = SqliteJournal(folder, KEY)
    facts = [Fact(seq, 1.0, "ada", "r", QuotaSet(f"p-{seq}", {})) for seq in range(1, count + 1)]
    journal.append(facts)
    root = journal.root()
    journal.close()
    return root


@pytest.mark.parametrize("count", [3, TILE_FACTS, TILE_FACTS + 3])
def test_a_head_with_the_root_is_accepted_and_another_hash_is_not(tmp_path: Path, count: int) -> None:
    """Backups and earlier releases write the root: it opens; a hash that differs in a digit does not."""
    root = written(tmp_path, count).hex()
    for claimed, opens in ((root, True), (root[:-1] + ("1" if root[-1] == "0" else "0"), False)):
        head = HeadFile(tmp_path / "HEAD", KEY)
        head.start(Claim(count, claimed, 9, 1.0))
        head.close()
        if not opens:
            with pytest.raises(JournalDamaged, match="another hash"):
                SqliteJournal(tmp_path, KEY)
            continue
        SqliteJournal(tmp_path, KEY).close()
        claim = HeadFile(tmp_path / "HEAD", KEY).read()
        assert claim is not None
        assert claim.hash not in (root, "")
