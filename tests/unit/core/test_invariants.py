"""The laws: a sound state breaks none, and each kind of damage is noticed and named."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM
from helix_ray.core.blocked_on import BlockedOn
from helix_ray.core.devices import EnrolledDevice, UserDocuments, follows_own
from helix_ray.core.invariants import LAWS, check
from helix_ray.core.lifecycle import Status
from helix_ray.core.ready_queue import ReadyQueue
from helix_ray.core.state import Project, State, Task
from helix_ray.core.webhooks import FilterRecord, Webhook
from tests.unit.core.stage import ADMIN, COMMAND, DEV, NODE, NODE_2, Stage, spec


def furnished() -> State:
    """Return a state with a task of every status, a delayed one, a session and two nodes."""
    stage = Stage()
    stage.add_node()
    stage.add_node(NODE_2)
    for status in Status:
        stage.run_to(status, deadline=stage.now + 50)
    stage.end(stage.run_to("running", max_retries=1), "failed")
    stage.submit(spec(run=COMMAND, shards={"count": 2}))
    stage.start(shard_of(stage.state, 0).id)
    user_id = stage.give(o.CreateUser("ann", "argon", ("developer",)), ADMIN)["id"]
    for number in range(2):
        stage.give(o.OpenSession(user_id, f"sess-{number}", f"hash-{number}", stage.now + 9), SYSTEM)
    stage.give(o.CloseSession("sess-0"), SYSTEM)
    stage.give(o.CreateToken("ci", "hash-t", "a1B2", 100.0), DEV)
    wanted: FilterRecord = {"events": ["*"], "projects": [], "types": [], "labels": {}, "statuses": []}
    key = "whsec_" + "QUFB" * 8
    stage.give(o.CreateWebhook(url="https://example.com", filter=wanted, secret=key, signing_secret=key), DEV)
    return stage.state


def hook(state: State) -> Webhook:
    """Return the webhook."""
    (only,) = state.webhooks.values()
    return only


def shard_of(state: State, index: int) -> Task:
    """Return a shard of the sharded task."""
    return next(t for t in state.tasks.values() if t.spec.get("shard", {}).get("index") == index)


def whole(state: State) -> Task:
    """Return the sharded task."""
    return next(t for t in state.tasks.values() if "shards" in t.spec)


def one(state: State, status: str) -> Task:
    """Return a task that stands at a status and is not delayed."""
    return next(t for t in state.tasks.values() if t.status == status and t.id not in state.delayed)


def unqueue(state: State) -> None:
    task = one(state, "pending")
    state.ready[task.task_class].discard(task.id, task.level)


def queue_a_ghost(state: State) -> None:
    next(iter(state.ready.values())).add("task-ghost", 1, 0.0, first=False)


def hold_twice(state: State) -> None:
    task = one(state, "running")
    state.workers[NODE_2].running[task.id] = task.attempt
    state.workers[NODE_2].load[task.task_class] = 1


def hold_an_old_attempt(state: State) -> None:
    state.workers[NODE].running[one(state, "running").id] = 9


def hold_a_ghost(state: State) -> None:
    state.workers[NODE].running["task-ghost"] = 1


def rotate_inbox(state: State) -> None:
    inbox = state.workers[NODE].inbox
    inbox.rotate(1)


def shuffle_finished(state: State) -> None:
    state.finished.move_to_end(next(iter(state.finished)))


DEVICE = EnrolledDevice(
    id="device-1", user_id="user-dev", name="phone", type="phone", follows=follows_own("user-dev"),
    enrolled_at=0.0,
)  # fmt: skip

DAMAGE: list[tuple[Callable[[State], object], str]] = [
    (lambda s: s.by_status.update({Status.FAILED: 7}), "by_status has 7 failed, there are 1"),
    (unqueue, "stands in 0 queues instead of 1"),
    (queue_a_ghost, "task-ghost stands in 1 queues instead of 0"),
    (queue_a_ghost, "task-ghost is in the wrong queue"),
    (lambda s: s.delayed.update({one(s, "pending").id: 0.0}), "stands in 2 queues instead of 1"),
    (lambda s: s.delayed.update(dict.fromkeys(s.delayed, 1.0)), "not until its not_before"),
    (lambda s: s.delayed.update({"task-ghost": 1.0}), "task-ghost stands in 1 queues instead of 0"),
    (
        lambda s: s.ready.update({one(s, "failed").task_class._replace(kind="x"): ReadyQueue()}),
        "has size 0 and 0 tasks",
    ),
    (lambda s: setattr(one(s, "pending"), "created_at", 1.0), "is in the wrong queue"),
    (lambda s: setattr(one(s, "failed"), "level", 3), "has a class or a level that its spec does not"),
    (lambda s: s.workers[NODE].running.clear(), "is running at [] instead of ['worker-node']"),
    (hold_twice, "is running at ['worker-node', 'worker-node-2'] instead of ['worker-node']"),
    (hold_an_old_attempt, "runs attempt 9"),
    (hold_a_ghost, "worker-node runs attempt 1 of task-ghost"),
    (lambda s: setattr(s.workers[NODE], "lost", True), "worker-node is lost and runs"),
    (lambda s: s.workers[NODE].load.clear(), "has a load of {}"),
    (rotate_inbox, "the inbox of worker-node is out of order"),
    (lambda s: one(s, "waiting").waits_for.clear(), "wait for nothing, or are freed and do not"),
    (
        lambda s: one(s, "waiting").waits_for.add("task-ghost"),
        "['task-ghost'] are over and waited for",
    ),
    (lambda s: s.dependents.clear(), "dependents is not the inverse of waits_for"),
    (
        lambda s: setattr(one(s, "failed"), "block", BlockedOn("unblocked", set(), 0.0)),
        "is failed and blocked",
    ),
    (
        lambda s: setattr(one(s, "running"), "block", BlockedOn("all", set(), 0.0)),
        "is blocked on nothing",
    ),
    (
        lambda s: setattr(one(s, "running"), "block", BlockedOn("all", {one(s, "failed").id}, 0.0)),
        "which has ended",
    ),
    (lambda s: s.blocking.update({"task-ghost": {}}), "blocking is not the inverse of blocked_on"),
    (lambda s: s.inherited.update({"task-ghost": (3, "task-x")}), "task-ghost is over, and inherits"),
    (
        lambda s: s.inherited.update({one(s, "pending").id: (3, "task-x")}),
        "inherits (3, 'task-x') instead of None",
    ),
    (lambda s: setattr(one(s, "failed"), "finished_at", None), "is failed, finished at None"),
    (lambda s: s.finished.popitem(), "finished does not list"),
    (shuffle_finished, "finished does not list"),
    (lambda s: s.deadlines.popitem(), "deadlines has"),
    (lambda s: s.unfinished.clear(), "unfinished has {}"),
    (lambda s: s.model_uses.update({"digits@1": 1}), "model_uses has"),
    (lambda s: s.node_types.clear(), "node_types has {}"),
    (lambda s: setattr(whole(s), "status", Status.FAILED), "its parent is over"),
    (lambda s: setattr(whole(s), "status", Status.PENDING), "its parent is pending"),
    (
        lambda s: (
            setattr(whole(s), "status", Status.COMPLETED),
            setattr(shard_of(s, 0), "status", Status.CANCELLED),
        ),
        "its parent is completed",
    ),
    (lambda s: setattr(one(s, "running"), "attempt", 0), "attempt 0, 0 failures, 0 losses"),
    (lambda s: setattr(one(s, "failed"), "losses", 5), "attempt 1, 0 failures, 5 losses"),
    (lambda s: setattr(one(s, "failed"), "progress", 101.0), "has progress 101.0"),
    (lambda s: s.users_by_name.clear(), "users_by_name does not match the users"),
    (lambda s: s.sessions_by_refresh.clear(), "sessions_by_refresh does not match the sessions"),
    (lambda s: s.users.clear(), "sess-1 is a session of nobody"),
    (
        lambda s: s.projects.update({"p": Project("p", "", 1.0, {"user-ghost": None})}),
        "p has the member user-ghost, who is no user",
    ),
    (lambda s: s.users_by_key.clear(), "users_by_key does not match the users"),
    (lambda s: s.admins.clear(), "admins does not match the users"),
    (lambda s: s.sessions_of.clear(), "sessions_of does not match the sessions"),
    (lambda s: s.tokens_by_hash.clear(), "tokens_by_hash does not match the tokens"),
    (lambda s: s.tokens_of.clear(), "tokens_of does not match the tokens"),
    (lambda s: s.users.clear(), "is a token of nobody"),
    (lambda s: s.devices.update({"device-1": DEVICE}), "device-1 has no credential"),
    (lambda s: s.devices.update({"device-1": DEVICE}), "devices_of does not match the devices"),
    (lambda s: setattr(next(iter(s.tokens.values())), "roles", ("device",)), "are of no device"),
    (lambda s: s.documents.update({"user-ghost": UserDocuments()}), "are not counted, or nobody's"),
    (lambda s: s.ended_by_hash.clear(), "ended_by_hash does not match what ended"),
    (lambda s: s.ended.update({"sess-1": s.ended["sess-0"]}), "something that ended is still there"),
    (lambda s: s.webhooks_of.clear(), "webhooks_of has []"),
    (lambda s: s.users.clear(), "has an owner who is gone"),
    (lambda s: setattr(hook(s), "status", "off"), "is off and held from None"),
]


def test_a_sound_state_breaks_no_law() -> None:
    """Nor does an empty one."""
    assert check(furnished()) == []
    assert check(State()) == []


@pytest.mark.parametrize(("damage", "sentence"), DAMAGE)
def test_damage_is_noticed(damage: Callable[[State], object], sentence: str) -> None:
    """Each with a sentence that says what is wrong with what."""
    state = furnished()
    damage(state)
    assert any(sentence in broken for broken in check(state)), check(state)


def test_every_law_is_broken_by_some_damage() -> None:
    """No law is there for show."""
    broken = set()
    for damage, _ in DAMAGE:
        state = furnished()
        damage(state)
        broken |= {law for law in LAWS if any(True for _ in law(state))}
    assert broken == set(LAWS)


def test_a_stage_is_judged_by_the_laws() -> None:
    """The other tests' stage would notice."""
    stage = Stage()
    stage.submit(spec())
    stage.state.by_status[Status.PENDING] = 0
    assert not stage.sound()
