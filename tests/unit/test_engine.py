"""The engine: orders in, durable facts, receipts out; and a start that folds what the journal has."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from helix_ray import engine as engine_module
from helix_ray.core import orders as o
from helix_ray.core import questions as q
from helix_ray.core import snapshot
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.decide import DECIDERS
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.events import Fact, FactsErased
from helix_ray.core.orders import Order, OrderBody, Receipt
from helix_ray.core.policy import Policy
from helix_ray.core.state import Erasure
from helix_ray.engine import Engine, JournalFailed
from helix_ray.journal import recent
from helix_ray.journal.memory import MemoryJournal
from helix_ray.ports import Snapshot
from tests.cast import slot

ROOT = Path(__file__).parents[2]
DEV = Principal("user-dev", "dev", ("developer",))


class HandClock:
    """Time as a test says it is; the two clocks have nothing to do with each other."""

    def __init__(self) -> None:
        self.wall_s, self.mono_s = 1_700_000_000.0, 50.0

    def wall(self) -> float:
        """Return epoch seconds."""
        return self.wall_s

    def monotonic(self) -> float:
        """Return seconds since some moment."""
        return self.mono_s


class BrokenJournal(MemoryJournal):
    """A journal on a disk that is full."""

    def append(self, facts: Sequence[Fact]) -> None:
        """Fail."""
        raise OSError("No space left on device")


def engine_over(journal: MemoryJournal) -> Engine:
    """Return an engine that has not folded anything yet."""
    engine = Engine(journal, Policy(), HandClock())
    slot(engine.state, DEV)
    return engine


def order(body: OrderBody, seed: str, by: Principal = DEV, key: str | None = None) -> Order:
    """Return an order."""
    return Order(body, by, f"req-{seed}", seed, key, "f")


def submit(seed: str, **fields: str) -> Order:
    """Return an order that submits one task."""
    return order(o.SubmitTasks(({"title": "a", "type": "building", **fields},)), seed)


def tasks_of(engine: Engine) -> list[str]:
    """Return the ids of the tasks in memory."""
    return list(engine.state.tasks)


def test_a_batch_is_one_commit_and_sees_itself() -> None:
    """Each order is decided on the state that the ones before it leave; refused ones leave no fact."""
    journal = MemoryJournal()
    engine = engine_over(journal)
    orders = [
        submit("a"),
        order(o.CancelTask("task-a"), "b"),
        order(o.CancelTask("task-x"), "c"),
        submit("d"),
    ]
    first, second, third, fourth = engine.execute(orders)
    assert isinstance(first, Receipt)
    assert isinstance(second, Receipt)
    assert isinstance(third, Rejected)
    assert isinstance(fourth, Receipt)
    assert (first.seq, second.seq, fourth.seq) == (1, 2, 3)
    assert [(f.seq, f.actor, f.request_id) for f in journal.read_after(0, 9)] == [
        (1, "user-dev", "req-a"),
        (2, "user-dev", "req-b"),
        (3, "user-dev", "req-d"),
    ]


def test_a_failed_append_is_not_survived() -> None:
    """Memory is ahead of the disk then, so nobody gets an answer."""
    engine = engine_over(BrokenJournal())
    with pytest.raises(JournalFailed, match="append of 1 facts failed: No space left"):
        engine.execute([submit("a")])
    assert engine.execute([order(o.CancelTask("task-x"), "b")])  # nothing to append, nothing to fail


def test_an_order_that_trips_over_a_bug_harms_nobody_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is answered with INTERNAL_ERROR, logged whole, and its neighbours are carried out."""
    nothing: dict[str, Any] = {}
    monkeypatch.setitem(DECIDERS, o.CancelTask, lambda body, ctx: nothing["bug"])
    engine = engine_over(MemoryJournal())
    _, bad, good = engine.execute([submit("a"), order(o.CancelTask("task-a"), "b"), submit("c")])
    assert bad == Rejected(ErrorCode.INTERNAL_ERROR, "Internal error")
    assert isinstance(good, Receipt)
    assert "KeyError: 'bug'" in caplog.text
    assert tasks_of(engine) == ["task-a", "task-c"]


def test_a_start_folds_the_whole_journal() -> None:
    """Without a snapshot, from the first fact, in pieces."""
    journal = MemoryJournal()
    engine = engine_over(journal)
    engine.execute([submit(f"s{i}") for i in range(5)])
    again = engine_over(journal)
    assert again.recover() == 5
    assert snapshot.dump(again.state) == snapshot.dump(engine.state)
    assert again.recover() == 0


def test_a_start_folds_a_snapshot_and_the_tail() -> None:
    """And throws away a snapshot that another release folded."""
    journal = MemoryJournal()
    engine = engine_over(journal)
    engine.execute([submit("a"), submit("b")])
    engine.save_snapshot()
    engine.execute([submit("c")])
    again = engine_over(journal)
    assert again.recover() == 1
    assert tasks_of(again) == ["task-a", "task-b", "task-c"]
    journal.save_snapshot(Snapshot(2, snapshot.FOLD_VERSION + 1, {"unknown": "shape"}))
    assert engine_over(journal).recover() == 3


def test_a_key_survives_a_restart() -> None:
    """The plane resends an order whose answer was lost with the process: the same receipt, no second task."""
    journal = MemoryJournal()
    body = o.SubmitTasks(({"title": "a", "type": "building"},))
    (first,) = engine_over(journal).execute([order(body, "a", key="~k")])
    again = engine_over(journal)
    again.recover()
    (second,) = again.execute([order(body, "a", key="~k")])
    assert isinstance(first, Receipt)
    assert isinstance(second, Receipt)
    assert (second.data, second.replayed, journal.head()) == (first.data, True, 2)


class Published:
    """A board that keeps what it is given."""

    def __init__(self) -> None:
        self.views: list[tuple[str, str, int]] = []

    def note(self, task_ids: Iterable[str], seq: int) -> None:
        """Note nothing."""

    def publish(self, view: dict[str, Any], seq: int) -> None:
        """Keep a view."""
        self.views.append((view["id"], view["status"], seq))

    def withdraw(self, task_ids: Iterable[str]) -> None:
        """Let the views of these tasks go."""
        self.views = [view for view in self.views if view[0] not in set(task_ids)]


def test_few_changes_are_published_when_there_is_time() -> None:
    """As they are then, and once; of many at once none, and what is gone is not there to publish."""
    engine = engine_over(MemoryJournal())
    engine.board = board = Published()
    engine.execute([submit("a"), submit("b")])
    engine.execute([order(o.CancelTask("task-a"), "c"), order(o.DeleteTask("task-b"), "d")])
    assert board.views == []
    engine.publish()
    engine.publish()
    assert board.views == [("task-a", "cancelled", engine.state.seq)]
    engine.execute([submit(f"many-{n}") for n in range(engine_module.PUBLISHED_TASKS_MAX + 1)])
    engine.execute([order(o.RetryTask("task-a"), "e")])
    engine.publish()
    assert len(board.views) == 1


def test_published_views_of_erased_tasks_are_withdrawn() -> None:
    """When their facts are erased, and not when the next task takes the slot."""
    engine = engine_over(MemoryJournal())
    engine.board = board = Published()
    engine.execute([submit("a"), submit("b")])
    engine.publish()
    engine.execute([order(o.DeleteTask("task-a"), "d")])
    engine.publish()
    assert sorted(view[0] for view in board.views) == ["task-a", "task-b"]
    asked = Erasure(
        id="erase-1", tasks=["task-a"], users=[], reason="asked", seq=4, by="user-admin",
        request_id="req-1", requested_at=1.0,
    )  # fmt: skip
    engine.erase(asked, FactsErased([1, 3], "asked", asked.id, ["task-a"]), lambda _: None)
    assert [view[0] for view in board.views] == ["task-b"]


def test_events_come_from_memory_or_from_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A follower that is far behind reads the same facts, only slower; the cursor is the last fact's seq."""
    monkeypatch.setattr(recent, "RECENT_FACTS_MAX", 3)
    engine = engine_over(MemoryJournal())
    engine.execute([submit(f"s{i}") for i in range(6)])

    def seqs(after: int, limit: int = 100) -> tuple[list[int], int]:
        batch = engine.facts(after, limit)
        assert batch.head == 6
        return [fact.seq for fact in batch.facts], batch.cursor

    assert seqs(0) == ([1, 2, 3, 4, 5, 6], 6)
    assert seqs(0, 2) == ([1, 2], 2)
    assert seqs(3) == ([4, 5, 6], 6)
    assert seqs(4, 1) == ([5], 5)
    assert seqs(6) == ([], 6)
    assert seqs(9) == ([], 9)


def test_events_after_a_start_from_a_snapshot() -> None:
    """Nothing is in memory then; the journal has it, unless it was cut off there."""
    journal = MemoryJournal()
    engine = engine_over(journal)
    engine.execute([submit("a"), submit("b")])
    engine.save_snapshot()
    again = engine_over(journal)
    again.recover()
    assert [fact.seq for fact in again.facts(0, 9).facts] == [1, 2]
    again.journal = MemoryJournal()
    assert again.facts(0, 9).cursor == 0


def test_a_snapshot_is_due_when_the_tail_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than a minimum, and than twice the tasks that a snapshot would hold."""
    monkeypatch.setattr(engine_module, "SNAPSHOT_TAIL_FACTS_MIN", 8)
    engine = engine_over(MemoryJournal())
    engine.execute([submit("a"), submit("b")])
    engine.execute([order(o.UpdateTask("task-a", edits={"title": str(i)}), f"e{i}") for i in range(5)])
    assert not engine.snapshot_due()
    engine.execute([order(o.UpdateTask("task-a", edits={"title": "z"}), "z")])
    assert engine.snapshot_due()
    engine.save_snapshot()
    assert not engine.snapshot_due()


def test_heartbeats_are_heard_and_are_no_facts() -> None:
    """By monotonic time; a registration is a sign of life too, a refused heartbeat is none."""
    engine = engine_over(MemoryJournal())
    register = o.RegisterWorker("host", (), {}, worker_id="worker-n", kind="node", node_id="n", boot="boot-1")
    engine.execute([order(register, "a", SYSTEM), order(o.Heartbeat("worker-x"), "b", SYSTEM)])
    pulses = engine.liveness.pulses
    assert {name: pulse.mono for name, pulse in pulses.items()} == {"worker-n": 50.0}
    engine.clock.mono_s = 60.0  # type: ignore[attr-defined]
    head = engine.journal.head()
    engine.execute([order(o.Heartbeat("worker-n", "busy", usage={"cpu_usage": 3.0}), "c", SYSTEM)])
    assert (pulses["worker-n"].mono, pulses["worker-n"].status, engine.journal.head()) == (60.0, "busy", head)
    reply = engine.query(q.GetWorker("worker-n"), SYSTEM)
    assert isinstance(reply, dict)
    assert reply["usage"] == {"cpu_usage": 3.0}


def test_a_node_of_another_epoch_hears_all_that_it_holds() -> None:
    """Revocations are not kept over a restart."""
    engine = engine_over(MemoryJournal())
    register = o.RegisterWorker(
        "host", (), {"cpu": 1}, worker_id="worker-n", kind="node", node_id="n", boot="boot-1"
    )
    engine.execute([order(register, "a", SYSTEM)])
    for epoch, full in ((engine.journal.epoch, False), (engine.journal.epoch + 1, True)):
        reply = engine.query(q.WorkFor("worker-n", "boot-1", epoch, 1), SYSTEM)
        assert isinstance(reply, dict)
        assert (reply["full"], reply["epoch"]) == (full, engine.journal.epoch)
    assert isinstance(engine.query(q.WorkFor("worker-x", "", 1, 1), SYSTEM), Rejected)


def test_the_same_orders_lead_to_the_same_state_in_every_process() -> None:
    """Nothing depends on the order of sets or on hashes: the digests of two processes are equal."""
    script = Path(__file__).parent / "digest_of_fixed_orders.py"
    digests = [
        subprocess.run(
            [sys.executable, str(script)],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "4242")
    ]
    assert digests[0] == digests[1]
    assert len(digests[0].split()) == 2
