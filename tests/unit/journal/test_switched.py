"""The anchor of benchmark `audit_cost`: a journal that is switched on and off has the tree of all facts."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.treeless.journal import Switch, Switched, SwitchedKeeper
from helix_ray.core.events import Fact, QuotaSet
from helix_ray.journal.rows import TILE_FACTS
from helix_ray.journal.sqlite import SqliteJournal

KEY = b"k" * 32
commits = st.lists(st.tuples(st.booleans(), st.integers(1, 2 * TILE_FACTS)), min_size=1, max_size=5)


@settings(max_examples=15)
@given(commits)
def test_facts_written_without_the_tree_are_added_by_the_next_commit_with_it(
    commits: list[tuple[bool, int]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        journal = Switched(Path(folder), KEY)
        keeper = SwitchedKeeper(Path(folder))
        for on, count in [*commits, (True, 1)]:
            Switch(Path(folder)).turn(on)
            journal.append(_facts(journal.head(), count))
            assert (keeper.due(journal) is not None) is on
        journal.verify()
        journal.close()

        with_its_head = SqliteJournal(Path(folder), KEY)
        assert with_its_head.verify() == sum(count for _, count in commits) + 1
        with_its_head.close()


def _facts(after: int, count: int) -> list[Fact]:
    return [
        Fact(seq, 1.0, "root", "req-1", QuotaSet(f"project-{seq}", {}))
        for seq in range(after + 1, after + count + 1)
    ]
