"""Which records retention may have removed follows from the facts."""

from __future__ import annotations

from helix_ray.core import events as ev
from helix_ray.core.audit.retention import Removals, Retention

SETTINGS = (
    (100.0, ev.AuditRetentionSet("audit", 1.0)),
    (200.0, ev.AuditRetentionSet("audit", 50.0, until_exported=True)),
    (210.0, ev.AuditExported("vault", 7)),
    # The clock was set back.
    (205.0, ev.AuditRetentionSet("audit", 90.0)),
    (300.0, ev.AuditExported("vault", 9)),
)
FACTS = [ev.Fact(seq, at, "system", "r", event) for seq, (at, event) in enumerate(SETTINGS, 1)]


def test_each_setting_holds_until_the_next_one() -> None:
    """By the latest time so far, and for what was exported by then."""
    removals = Removals()
    assert not removals.include(0.0, 1, 1e9)
    removals.take(FACTS[:3])
    assert removals.through == 3
    assert [removals.include(198.9, seq, 0.0) for seq in (7, 8)] == [True, True]
    assert [removals.include(199.0, seq, 250.0) for seq in (7, 8)] == [True, False]
    removals.take(FACTS[3:])
    assert [removals.include(at, 8, 0.0) for at in (209.9, 210.0)] == [True, False]
    assert [removals.include(211.0, seq, 301.0) for seq in (7, 8)] == [False, False]
    assert [removals.include(211.0, seq, 301.1) for seq in (7, 8)] == [True, True]


def test_a_clock_that_was_ahead_may_have_removed_more() -> None:
    """A fact of that time says that it was."""
    removals = Removals()
    ahead = ev.Fact(2, 9000.0, "user-ada", "r", ev.ProjectRemoved("p"))
    removals.take([FACTS[0], ahead, ev.Fact(3, 120.0, "user-ada", "r", ev.ProjectRemoved("p"))])
    assert [removals.include(at, 3, 130.0) for at in (8998.9, 8999.0)] == [True, False]


def test_a_history_that_is_built_anew_has_all_that_its_setting_keeps() -> None:
    removals = Removals()
    anew = ev.AuditRetentionSet("audit", 90.0, built_anew=True)
    removals.take([*FACTS, ev.Fact(6, 400.0, "system", "r", anew)])
    assert [removals.include(at, 1, 289.0) for at in (0.0, 310.0)] == [True, False]


def test_a_setting_that_is_recorded_counts() -> None:
    """Another one is only of use where there is none."""
    removals = Removals(Retention(10.0))
    assert [removals.include(at, 1, 100.0) for at in (89.9, 90.0)] == [True, False]
    removals.take(FACTS[:1])
    assert [removals.include(at, 1, 100.0) for at in (98.9, 99.0)] == [True, False]
