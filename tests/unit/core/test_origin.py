"""The header of a fact says where its order came from and how it ended, in bounded space."""

from __future__ import annotations

from helix_ray.core.access import SYSTEM
from helix_ray.core.events import Fact, LoginRefused, TaskReleased
from helix_ray.core.orders import CreateUser, Order
from helix_ray.core.origin import (
    ADDRESS_CHARS_MAX,
    CREDENTIAL_CHARS_MAX,
    NOWHERE,
    USER_AGENT_CHARS_MAX,
    Origin,
)
from helix_ray.core.policy import Policy
from helix_ray.engine import Engine
from helix_ray.journal.memory import MemoryJournal
from helix_ray.testing import ManualClock


def test_each_part_is_cut_to_its_limit() -> None:
    """A client that sends long headers does not make the journal long."""
    origin = Origin("a" * 1000, "c" * 1000, "u" * 1000)
    assert len(origin.address) == ADDRESS_CHARS_MAX
    assert len(origin.credential) == CREDENTIAL_CHARS_MAX
    assert len(origin.user_agent) == USER_AGENT_CHARS_MAX
    assert Origin() == NOWHERE


def test_a_kind_that_records_a_refusal_says_so() -> None:
    """All other kinds are of orders that were carried out."""
    assert Fact(1, 0.0, "", "", LoginRefused("ada")).outcome == "refused"
    assert Fact(1, 0.0, "", "", TaskReleased("task-1")).outcome == "ok"


def test_facts_have_the_origin_of_their_order() -> None:
    """What the caller filled in is what the fact says."""
    journal = MemoryJournal()
    engine = Engine(journal, Policy(), ManualClock())
    origin = Origin("192.0.2.7", "", "curl/8")
    engine.execute([Order(CreateUser("ada", "hash", ("viewer",)), SYSTEM, "req-1", "seed-1", origin=origin)])
    (fact,) = journal.read_after(0, 10)
    assert (fact.origin, fact.outcome) == (origin, "ok")
