"""Readers of changes each see what came since their own last look."""

from __future__ import annotations

from helix_ray.core.changes import DirtyLog


def test_each_reader_sees_what_changed_since_it_looked() -> None:
    """The newest first, each name once."""
    changes = DirtyLog()
    for name in ("a", "b", "c", "a"):
        changes.note(name)
    assert changes.since(0) == ["a", "c", "b"]
    early, now = 2, changes.count
    assert changes.since(early) == ["a", "c"]
    assert changes.since(now) == []
    changes.note("b")
    assert changes.since(now) == ["b"]
