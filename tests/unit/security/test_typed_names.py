"""What the audit has of a typed name that is no account."""

from __future__ import annotations

from helix_ray.core.policy import Policy
from helix_ray.engine import Engine
from helix_ray.journal.memory import MemoryJournal
from helix_ray.security.tokens import KeyRing
from helix_ray.security.vault import KeyVault
from helix_ray.testing import ManualClock


def shown(ring: KeyRing | None, name: str) -> str:
    """Return what an engine that has just started records of a name."""
    vault = None if ring is None else KeyVault(ring)
    counts = Engine(MemoryJournal(), Policy(), ManualClock(), vault=vault).sign_ins
    return counts.shown(counts.stranger(name))


def test_a_name_is_recognised_after_a_restart_and_not_without_the_key() -> None:
    """Whoever has only the journal cannot try names out."""
    ring = KeyRing.fresh()
    assert shown(ring, "Tr0ub4dor&3") == shown(ring, "tr0ub4dor&3") != shown(ring, "another")
    others = {shown(KeyRing.fresh(), "Tr0ub4dor&3"), shown(None, "Tr0ub4dor&3"), shown(None, "Tr0ub4dor&3")}
    assert len(others | {shown(ring, "Tr0ub4dor&3")}) == 4
