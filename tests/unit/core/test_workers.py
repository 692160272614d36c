"""Workers: registered, asked for work, drained, lost and back again."""

from __future__ import annotations

from typing import Any

import pytest

from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM
from helix_ray.core.errors import ErrorCode
from helix_ray.core.events import WorkerRegistered
from helix_ray.core.liveness import Liveness
from helix_ray.core.policy import Policy
from helix_ray.followers.base import News
from helix_ray.followers.timers import Timekeeper
from tests.unit.core.stage import ADMIN, BOT, BOT_2, COMMAND, DEV, EXTERNAL, NODE, Stage, spec


def beat(stage: Stage, worker_id: str = EXTERNAL, by: Any = BOT, **fields: Any) -> Any:
    """Send a heartbeat; return the receipt's data."""
    return stage.give(o.Heartbeat(worker_id, **fields), by)


def test_a_worker_without_an_id_gets_one(stage: Stage) -> None:
    """From the order's seed, so that a resent order registers it once."""
    body = o.RegisterWorker("host", ("testing", "building", "testing"), {"cpu": 8})
    data = stage.give(body, BOT, seed="abc")
    assert data == {"worker_id": "worker-ext_abc", "registered_at": stage.now}
    stage.give(body, BOT, seed="abc")
    worker = stage.state.workers["worker-ext_abc"]
    assert (worker.kind, worker.owner, worker.capabilities) == (
        "external",
        BOT.id,
        frozenset(("building", "testing")),
    )
    assert len(stage.state.workers) == 1


def test_an_id_belongs_to_whoever_registered_it(stage: Stage) -> None:
    """To others it does not exist; a node worker is the cluster's own; a kind never changes."""
    stage.add_external()
    taken = o.RegisterWorker("host", (), {}, worker_id=EXTERNAL)
    assert stage.refuse(taken, BOT_2).code is ErrorCode.NOT_FOUND
    assert stage.refuse(o.RegisterWorker("host", (), {}, kind="node"), ADMIN).code is ErrorCode.FORBIDDEN
    stage.add_node()
    assert (
        stage.refuse(o.RegisterWorker("host", (), {}, worker_id=NODE), SYSTEM).code
        is ErrorCode.VALIDATION_ERROR
    )
    assert stage.refuse(taken, DEV).code is ErrorCode.FORBIDDEN


def test_the_id_of_a_removed_user_is_free(stage: Stage) -> None:
    """Its next user begins without tasks: a program that gets another user keeps the id of its worker."""
    stage.add_external()
    [task_id] = stage.submit(spec())
    assert beat(stage)["assigned_task"] == task_id
    stage.give(o.RemoveUser(BOT.name), ADMIN)
    stage.give(o.RegisterWorker("host", ("building",), {}, worker_id=EXTERNAL), BOT_2)
    worker = stage.state.workers[EXTERNAL]
    assert (worker.owner, worker.running) == (BOT_2.id, {})
    assert stage.task(task_id).status == "pending"


def test_the_same_process_that_registers_again_keeps_its_work(stage: Stage) -> None:
    """Its counters, its draining and its tasks; another process loses the leases."""
    task_id = stage.run_to("running")
    first = stage.state.workers[NODE].registered_at
    stage.give(o.DrainWorker(NODE), ADMIN)
    stage.now += 5
    stage.add_node()
    worker = stage.state.workers[NODE]
    assert (worker.running, worker.draining, worker.registered_at) == ({task_id: 1}, True, first)
    stage.add_node(boot="boot-2")
    assert stage.task(task_id).error == {
        "reason": "lost",
        "message": "the worker restarted",
        "worker": NODE,
    }
    assert (stage.task(task_id).status, stage.task(task_id).losses) == ("pending", 1)


def test_heartbeats_of_strangers_and_of_replaced_processes(stage: Stage) -> None:
    """Unknown, somebody else's, or from before a reboot: not found, for administrators as for all others."""
    stage.add_external()
    stage.add_node()
    assert stage.refuse(o.Heartbeat("worker-x"), BOT).code is ErrorCode.NOT_FOUND
    assert stage.refuse(o.Heartbeat(EXTERNAL), BOT_2).code is ErrorCode.NOT_FOUND
    assert stage.refuse(o.Heartbeat(NODE, boot="boot-0"), SYSTEM).code is ErrorCode.NOT_FOUND
    nothing = {"acknowledged": True, "assigned_task": None}
    assert beat(stage, NODE, SYSTEM, boot="boot-1") == nothing
    assert beat(stage) == {**nothing, "next_heartbeat_s": 1.0, "sharers": 1}
    assert stage.refuse(o.Heartbeat(EXTERNAL), ADMIN).code is ErrorCode.NOT_FOUND
    assert stage.refuse(o.Heartbeat(NODE), ADMIN).code is ErrorCode.NOT_FOUND


def test_an_idle_worker_gets_the_best_task_and_gets_it_told_again(stage: Stage) -> None:
    """Until it reports, every heartbeat names the same task: the answer may have been lost."""
    stage.add_external(can=("building", "testing"))
    ids = stage.submit(spec(), spec(type="testing", priority="high"), spec(run=COMMAND, priority="critical"))
    stage.submit(spec(resources={"cpu": 2}, priority="low"))
    lease = {"attempt": 1, "lease_expires_at": stage.now + 30.0}
    pace = {"next_heartbeat_s": 10.0, "sharers": 1}
    assert beat(stage) == {"acknowledged": True, "assigned_task": ids[1], **lease, **pace}
    assert beat(stage, current_task=ids[1], status="busy")["assigned_task"] == ids[1]
    stage.give(o.UpdateTask(ids[1], "completed"), BOT)
    assert beat(stage, status="idle")["assigned_task"] == ids[0]


@pytest.mark.parametrize("fields", [{"status": "busy"}, {"current_task": "something"}])
def test_a_busy_worker_gets_nothing(stage: Stage, fields: dict[str, Any]) -> None:
    """It says so itself."""
    stage.add_external()
    stage.submit(spec())
    assert beat(stage, **fields)["assigned_task"] is None


FITS: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({}, {}, True),
    ({}, {"type": "testing"}, False),
    ({}, {"required_capabilities": ["gpu"]}, False),
    ({"can": ("building", "gpu")}, {"required_capabilities": ["gpu"]}, True),
    ({}, {"labels": {"zone": "a"}}, False),
    ({"labels": {"zone": "a"}}, {"labels": {"zone": "a"}}, True),
    ({"resources": {"cpu": 2}}, {"resources": {"cpu": 4}}, False),
    ({"resources": {"cpu": 4, "gpu": True}}, {"resources": {"cpu": 4, "gpu": 1}}, True),
    ({"resources": {"memory": 1000}}, {"resources": {"memory_mb": 2000}}, False),
    ({"resources": {"memory": 2000}}, {"resources": {"memory_mb": 2000}}, True),
    ({"resources": {"memory_mb": 1000}}, {"resources": {"memory_mb": 2000}}, False),
    ({"resources": {}}, {"resources": {"memory_mb": 2000}}, True),
]


@pytest.mark.parametrize(("worker", "task", "fits"), FITS)
def test_what_a_worker_can_do(stage: Stage, worker: dict[str, Any], task: dict[str, Any], fits: bool) -> None:
    """Its capabilities, labels and resources; what it does not state about itself is not checked."""
    stage.add_external(**worker)
    (task_id,) = stage.submit(spec(**task))
    assert beat(stage)["assigned_task"] == (task_id if fits else None)


def test_nothing_starves_at_the_workers_either(stage: Stage) -> None:
    """A task that has waited a level's ageing longer goes first."""
    stage.add_external()
    (old,) = stage.submit(spec())
    stage.now += stage.policy.priority_aging_s + 1
    stage.submit(spec(priority="high"))
    assert beat(stage)["assigned_task"] == old


def test_a_draining_worker_finishes_and_gets_no_more(stage: Stage) -> None:
    """Draining twice leaves one fact; it can be taken back."""
    stage.add_external()
    (task_id,) = stage.submit(spec())
    for _ in range(2):
        assert stage.give(o.DrainWorker(EXTERNAL), ADMIN) == {"worker_id": EXTERNAL, "draining": True}
    assert stage.kinds().count("WorkerDrained") == 1
    assert beat(stage)["assigned_task"] is None
    stage.give(o.DrainWorker(EXTERNAL, False), ADMIN)
    assert beat(stage)["assigned_task"] == task_id
    assert stage.refuse(o.DrainWorker("worker-x"), ADMIN).code is ErrorCode.NOT_FOUND


def test_a_lost_worker_leaves_its_work_to_others_and_may_come_back(stage: Stage) -> None:
    """Losing it twice changes nothing; its next heartbeat finds it registered, without tasks."""
    stage.add_external()
    (task_id,) = stage.submit(spec())
    beat(stage)
    stage.give(o.LoseWorker(EXTERNAL, "no heartbeat for 30 s"), SYSTEM)
    worker = stage.state.workers[EXTERNAL]
    assert (worker.lost, worker.running, stage.task(task_id).losses) == (True, {}, 1)
    seq = stage.state.seq
    stage.give(o.LoseWorker(EXTERNAL, "again"), SYSTEM)
    assert stage.state.seq == seq
    again = beat(stage)
    assert (again["assigned_task"], again["attempt"]) == (task_id, 2)
    assert not stage.state.workers[EXTERNAL].lost
    assert stage.refuse(o.LoseWorker("worker-x", "?"), SYSTEM).code is ErrorCode.NOT_FOUND


def test_a_worker_that_was_lost_long_ago_is_forgotten(stage: Stage) -> None:
    """The timekeeper asks for it, once a minute; one that came back, or is lost since lately, stays."""
    for worker_id in ("gone", "late", "back"):
        stage.add_node(worker_id, resources={"cpu": 2.0} if worker_id == "gone" else {"cpu": 4.0})
    keeper, keep_s = Timekeeper(stage.policy), stage.policy.lost_worker_keep_s

    def orders() -> list[o.OrderBody]:
        return keeper.react(News(stage.state, Liveness(), stage.now, stage.now))

    stage.give(o.LoseWorker("gone", "silent"), SYSTEM)
    stage.give(o.LoseWorker("back", "silent"), SYSTEM)
    stage.now += keep_s
    stage.add_node("back")
    stage.give(o.LoseWorker("late", "silent"), SYSTEM)
    assert orders() == []
    stage.now += 61
    (order,) = orders()
    assert order == o.RemoveLostWorkers(("gone",))
    assert orders() == []
    everybody = o.RemoveLostWorkers(("gone", "late", "back", "unknown", "gone"))
    assert stage.give(everybody, SYSTEM) == {"removed": 1}
    assert sorted(stage.state.workers) == ["back", "late"]
    assert stage.state.node_types == {(("cpu", 4.0),): 2}
    assert stage.sound()
    stage.add_node("gone")
    assert not stage.state.workers["gone"].lost


def test_losing_a_worker_fails_a_dependent_once(stage: Stage) -> None:
    """Two poison tasks die with their worker, and one task waits for both."""
    stage.policy = type(stage.policy)(losses_max=0)
    first, second = stage.run_to("running"), stage.run_to("running")
    (task_id,) = stage.submit(spec(depends_on=[first, second]))
    before = len(stage.facts)
    stage.give(o.LoseWorker(NODE, "gone"), SYSTEM)
    assert stage.kinds(before) == ["TaskFailed", "TaskFailed", "TaskFailed", "WorkerLost"]
    error = stage.task(task_id).error
    assert error is not None
    assert error["dependency"] == first


def test_a_node_takes_its_id_from_an_external_worker_of_an_older_journal(stage: Stage) -> None:
    """The external worker's tasks are queued again, its owner must register anew, and the node keeps the
    id."""
    stage.fold(WorkerRegistered("worker-local-2", "external", BOT.id, "h", ["building"], {}))
    (task_id,) = stage.submit(spec())
    assert beat(stage, "worker-local-2")["assigned_task"] == task_id
    stage.give(o.RegisterWorker("h", ("building",), {}, worker_id="worker-local-2"), BOT)
    before = len(stage.facts)
    stage.add_node("worker-local-2")
    assert stage.kinds(before) == ["TaskRequeued", "WorkerRetired", "WorkerRegistered"]
    worker = stage.state.workers["worker-local-2"]
    assert (worker.kind, worker.owner, worker.running) == ("node", SYSTEM.id, {})
    assert stage.task(task_id).status == "pending"
    refusal = stage.refuse(o.Heartbeat("worker-local-2"), BOT)
    assert "register" in refusal.message
    again = stage.refuse(o.RegisterWorker("h", (), {}, worker_id="worker-local-2"), BOT)
    assert again.code is ErrorCode.VALIDATION_ERROR
    assert stage.sound()


@pytest.mark.parametrize(
    ("hostname", "worker_id"),
    [("a\nb", None), ("a b", None), ("h" * 254, None), ("h", "a/b"), ("h", "a\n"), ("h", "w" * 129)],
)
def test_names_that_are_no_words_are_refused(stage: Stage, hostname: str, worker_id: str | None) -> None:
    """Behind every door: the edge says the same with more words."""
    refusal = stage.refuse(o.RegisterWorker(hostname, (), {}, worker_id=worker_id), BOT)
    assert refusal.code is ErrorCode.VALIDATION_ERROR


def test_a_user_has_so_many_workers_and_lost_ones_make_room() -> None:
    """One more is refused while all are there; after that the longest lost one goes. Others, and
    known ids, are not hindered."""
    stage = Stage(Policy(workers_per_user_max=2))
    for worker_id in ("w-1", "w-2"):
        stage.give(o.RegisterWorker("host", (), {}, worker_id=worker_id), BOT)
    more = o.RegisterWorker("host", (), {}, worker_id="w-3")
    refused = stage.refuse(more, BOT)
    assert refused.code is ErrorCode.RATE_LIMIT_EXCEEDED
    assert refused.details == {"workers": 2, "limit": 2, "retry_after_s": 30}
    stage.give(o.RegisterWorker("host", (), {}, worker_id="w-1", boot="b"), BOT)
    stage.give(o.RegisterWorker("host", (), {}, worker_id="other"), BOT_2)
    for worker_id in ("w-2", "w-1"):
        stage.give(o.LoseWorker(worker_id, "silent"), SYSTEM)
        stage.now += 1
    stage.give(more, BOT)
    assert set(stage.state.workers) == {"w-1", "w-3", "other"}
