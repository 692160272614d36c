"""A flood of failed logins on the real journal, scaled down; benchmarks/refusals.py has it whole."""

from __future__ import annotations

import time
from pathlib import Path

from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.events import Fact, RequestsRefused, SessionOpened
from helix_ray.core.orders import Order, Receipt, Refusal
from helix_ray.core.origin import Origin
from helix_ray.core.policy import Policy
from helix_ray.core.questions import ListUsers
from helix_ray.core.refusals import WINDOW_S
from helix_ray.engine import Engine
from helix_ray.journal.memory import MemoryJournal
from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.testing import ManualClock

LOGINS, ADDRESSES, PER_NOTE = 20_000, 200, 50
# 50 MB for 1,000,000 logins, in proportion.
BYTES_MAX = 50_000_000 * LOGINS // 1_000_000


def noted(first: int, count: int) -> o.NoteRefusals:
    """Return failed logins as a replica notes them."""
    made = []
    for number in range(first, first + count):
        origin = Origin(f"192.0.2.{number % ADDRESSES}", "", "python-requests/2.32")
        made.append(
            Refusal(
                "login",
                "credentials",
                f"user{number % 1000}",
                author="anonymous",
                request_id=f"req-{number}",
                origin=origin,
            )
        )
    return o.NoteRefusals(tuple(made))


class Flooded:
    """An engine on a disk, and what it answered."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.folder = folder
        self.journal = SqliteJournal(folder, b"k" * 32)
        self.engine = Engine(self.journal, Policy(), self.clock)
        self.give(o.CreateUser("admin", "$argon2id$1", ("admin",)))
        self.user_id = self.engine.state.users_by_name["admin"]

    def give(self, body: o.OrderBody) -> Receipt:
        """Carry out an order of the system."""
        (answer,) = self.engine.execute([Order(body, SYSTEM, "req-flood", f"seed-{self.engine.state.seq}")])
        assert not isinstance(answer, Rejected), answer
        return answer

    def facts(self) -> list[Fact]:
        """Return all there are, from the disk."""
        return self.journal.read_after(0, 1 << 30)

    def size_bytes(self) -> int:
        """Return what the journal takes on the disk, with its log."""
        return sum(path.stat().st_size for path in self.folder.glob("journal.sqlite*"))


def test_a_flood_is_a_row_for_each_address_and_minute(tmp_path: Path) -> None:
    """The counts add up, the disk holds it, and a login that succeeds in the middle
    of it is a row of its own."""
    flooded = Flooded(tmp_path)
    session = "session-1"
    cpu_s = time.process_time()
    for first in range(0, LOGINS, PER_NOTE):
        flooded.give(noted(first, PER_NOTE))
        flooded.clock.advance(0.5)
        if first == LOGINS // 2:
            flooded.give(o.OpenSession(flooded.user_id, session, "hash", 1e12))
    flooded.clock.advance(WINDOW_S)
    while flooded.engine.refusals.due(flooded.clock.wall()):
        flooded.engine.execute([])
    cpu_s = time.process_time() - cpu_s
    events = [fact.event for fact in flooded.facts()]
    refused = [event for event in events if isinstance(event, RequestsRefused)]
    assert sum(event.count for event in refused) == LOGINS
    minutes = LOGINS / PER_NOTE * 0.5 / WINDOW_S
    assert len(refused) <= 2 * ADDRESSES * (minutes + 1)
    assert [event.id for event in events if isinstance(event, SessionOpened)] == [session]
    flooded.journal.close()
    assert flooded.size_bytes() < BYTES_MAX
    # What a note costs the master, which may be busy with 1,000 a second: generous, for a busy machine.
    assert cpu_s / LOGINS < 200e-6


def test_a_crash_loses_counts_and_no_source(tmp_path: Path) -> None:
    """The first refusal of every source is durable when whoever noted it has an answer."""
    flooded = Flooded(tmp_path)
    flooded.give(noted(0, 3 * ADDRESSES))
    # No close, and no chance to write: the next one opens what the disk has.
    flooded.journal.close()
    again = SqliteJournal(tmp_path, b"k" * 32)
    facts = [fact for fact in again.read_after(0, 1 << 20) if isinstance(fact.event, RequestsRefused)]
    assert {fact.event.id for fact in facts} == {f"user{number}" for number in range(ADDRESSES)}
    again.close()


def test_refusals_do_not_use_the_last_room_up() -> None:
    """They are counted on, and recorded once there is room again."""
    full: list[Rejected] = [Rejected(ErrorCode.SERVICE_UNAVAILABLE, "The disk is full")]
    journal = MemoryJournal()
    engine = Engine(journal, Policy(), ManualClock(), lambda *, vital: full[0] if full else None)
    for first in (0, 1):
        engine.execute([Order(noted(first, 1), SYSTEM, "req-1", f"seed-{first}")])
    assert journal.head() == 0
    full.clear()
    engine.execute([])
    assert journal.head() == 2


def test_an_end_in_order_loses_no_count() -> None:
    """What is only counted so far becomes facts before the journal is closed."""
    journal = MemoryJournal()
    engine = Engine(journal, Policy(), ManualClock())
    for number in range(3):
        engine.execute([Order(noted(0, 3 * ADDRESSES), SYSTEM, "req-1", f"seed-{number}")])
    engine.end()
    events = [fact.event for fact in journal.read_after(0, 10_000)]
    assert sum(event.count for event in events if isinstance(event, RequestsRefused)) == 9 * ADDRESSES


def test_a_refused_question_is_recorded_with_the_next_commit() -> None:
    """The master's loop looks several times a second."""
    journal = MemoryJournal()
    engine = Engine(journal, Policy(), ManualClock())
    engine.execute([Order(o.CreateUser("ann", "hash", ("developer",)), SYSTEM, "req-1", "1")])
    ann = Principal(engine.state.users_by_name["ann"], session=None)
    assert isinstance(engine.query(ListUsers(), ann), Rejected)
    engine.execute([])
    (fact,) = journal.read_after(1, 10)
    assert (fact.actor, fact.event) == (ann.id, RequestsRefused("ListUsers", "forbidden", "ListUsers"))
