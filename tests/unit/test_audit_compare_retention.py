"""The comparison of the audit lets those records be gone that retention could remove by the journal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from helix_ray import audit_compare
from helix_ray.core import events as ev
from helix_ray.core.audit.retention import Retention
from tests.unit.audit_world import BEGAN, AuditWorld

KEEP_S = 180.0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[AuditWorld]:
    """A journal whose first fact says that records are kept for KEEP_S, and acts."""
    world = AuditWorld(tmp_path / "data", 9)
    world.keep(KEEP_S, built_anew=True)
    world.acts(20)
    world.follow()
    yield world
    world.close()


def first_record(world: AuditWorld, where: str, *values: object) -> tuple[int, int]:
    """Return the first and last seq of the first record of some."""
    [(first, last)] = world.history._con.execute(
        f"SELECT min(seq), min_by(last_seq, seq) FROM audit WHERE {where}", values
    ).fetchall()
    return first, last


def remove(world: AuditWorld, through: int) -> None:
    """Remove records from the file, and say that retention did."""
    world.history._con.execute("DELETE FROM audit WHERE last_seq <= ?", [through])
    world.history._con.execute("UPDATE position SET audit_removed = ?", [through])


def missing(world: AuditWorld) -> int | None:
    """Return the seq of the first missing record, or None if nothing differs."""
    found = world.compared().difference
    assert found is None or found.kind == "missing"
    return None if found is None else found.seq


def test_only_what_is_too_old_may_be_gone(world: AuditWorld) -> None:
    """By the retention in the journal, whatever the file says that it has removed, and whatever somebody
    says who compares."""
    world.prune(KEEP_S)
    assert missing(world) is None
    first, last = first_record(world, "true")
    assert first > 1
    remove(world, last)
    world.retention = Retention(0.0)
    assert missing(world) == first


def test_what_was_removed_before_more_was_kept_may_be_gone(world: AuditWorld) -> None:
    """The journal says until when the retention held. What it did not allow is found."""
    world.prune(KEEP_S)
    world.keep(1e9)
    world.acts(5)
    world.follow()
    assert missing(world) is None
    first, last = first_record(world, "true")
    remove(world, last)
    assert missing(world) == first


def test_what_was_built_anew_may_not_be_gone(world: AuditWorld) -> None:
    """The history got all records again: those that were removed once are to be found."""
    world.prune(KEEP_S)
    world.keep(1e9, built_anew=True)
    world.follow()
    assert missing(world) == 1


def test_what_was_removed_before_exports_counted_may_be_gone(world: AuditWorld) -> None:
    """Once they count, only what was exported may go, however old it is; also by an export of after the
    comparison began."""
    world.prune(KEEP_S)
    world.keep(KEEP_S, until_exported=True)
    world.acts(20)
    world.follow()
    assert missing(world) is None
    old, _ = first_record(world, "true")
    _, exported = first_record(world, "seq > ?", old + 5)
    world.at += KEEP_S
    world.act(ev.AuditExported("vault", exported))
    world.prune(KEEP_S, exported)
    assert missing(world) is None
    first, last = first_record(world, "true")
    remove(world, last)
    assert missing(world) == first


def test_retention_goes_on_while_it_is_compared(world: AuditWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records may go before their page is read, and after it was."""
    monkeypatch.setattr(audit_compare, "FACTS_PER_PAGE", 5)
    at, went = [world.seq // 4, world.seq * 7 // 8], []

    def later(compared: int) -> None:
        if at and compared >= at[0]:
            del at[0]
            world.at += KEEP_S / 4
            world.prune(KEEP_S)
            went.append(first_record(world, "true")[0])

    assert world.compared(later).difference is None
    assert world.seq // 4 < went[0] < went[1] < world.seq * 7 // 8


def test_a_journal_that_does_not_say_its_retention(tmp_path: Path) -> None:
    """Whoever compares says it."""
    world = AuditWorld(tmp_path / "data", 9)
    world.acts(10)
    world.act(ev.AuditExported("vault", 5))
    world.follow()
    first, _ = first_record(world, "last_seq > 5")
    keep_s = 3 / 4 * (world.at - BEGAN)
    world.prune(keep_s)
    world.close()
    for retention, seq in (
        (Retention(keep_s), None),
        (Retention(keep_s, until_exported=True), first),
        (None, 1),
    ):
        world.retention = retention
        found = world.compared_stopped().difference
        assert (None if found is None else found.seq) == seq
