"""What people and workers may send: strategies for order bodies over the ids that a state has."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from helix_ray.core import orders as o
from helix_ray.core.lifecycle import TERMINAL, Status
from helix_ray.core.orders import AttemptReport, OrderBody
from helix_ray.core.policy import TASK_TYPES
from helix_ray.core.specs import PRIORITIES
from helix_ray.core.state import State

NODES = ("worker-node-a", "worker-node-b")
BOTS = ("worker_bot-1", "worker_bot-2")
BOOTS = ("boot-0", "boot-1", "boot-2")
TYPES = TASK_TYPES[:2]
RUNS: tuple[dict[str, Any], ...] = (
    {"kind": "command", "argv": ["true"]},
    {"kind": "function", "function": "helix_ray.samples:add", "args": [1, 2]},
    {"kind": "function", "payload": "gASVAA==", "function": "lambda"},
    {"kind": "inference", "model": "digits", "inputs": [[0.0]]},
)
STATUSES = ("pending", "running", "completed", "failed", "cancelled", "waiting", "paused")
OUTCOMES = (
    "completed",
    "failed",
    "progressed",
    "outlasted",
    "returned",
    "lost",
    "blocked",
    "blocked",
    "unblocked",
)
# A chain, work for nodes and work for external workers.
FIRST_TASKS: tuple[dict[str, Any], ...] = (
    {"title": "a", "type": TYPES[0]},
    {"title": "b", "type": TYPES[0], "run": RUNS[0], "max_retries": 1},
    {"title": "c", "type": TYPES[1], "run": RUNS[1], "depends_on": ["#0", "#1"]},
    {"title": "d", "type": TYPES[1], "depends_on": ["#2", "#1"], "deadline": 1_700_000_030.0},
    {"title": "e", "type": TYPES[1], "timeout_s": 5.0, "priority": "high"},
    {"title": "f", "type": TYPES[0], "run": RUNS[1], "shards": {"count": 2}, "max_retries": 1},
)

# What a task may wait for in its code: one task depends on the other.
CHILDREN = (
    {"title": "g", "type": TYPES[0], "run": RUNS[0], "priority": "low"},
    {"title": "h", "type": TYPES[0], "run": RUNS[1], "priority": "low", "depends_on": ["#0"]},
)


def node_order(node: str, boot: str) -> o.RegisterWorker:
    """Return how a node of the machine registers."""
    resources = {"cpu": 4.0, "gpu": 1.0, "licence": 2.0}
    labels = {"zone": "a"}
    return o.RegisterWorker(
        node, ("gpu",), resources, worker_id=node, kind="node", node_id=node, boot=boot, labels=labels
    )


def after_shards(whole: str) -> tuple[dict[str, Any], ...]:
    """Return tasks that wait for shards of a whole of two: one for both, a whole for one,
    and one for a shard's wait."""
    first, second = f"{whole}-s0", f"{whole}-s1"
    return (
        {"title": "g", "type": TYPES[0], "depends_on": [first, second]},
        {"title": "h", "type": TYPES[0], "run": RUNS[1], "shards": {"count": 2}, "depends_on": [second]},
        {"title": "i", "type": TYPES[0], "depends_on": ["#1", first]},
    )


PROJECTS = ("p-1", "p-2")
SHARDS: tuple[dict[str, Any], ...] = ({"count": 2}, {"count": 3, "gang": True}, {"count": 0}, {"count": 99})


def specs(state: State, now: float) -> st.SearchStrategy[dict[str, Any]]:
    """Return task specs, some of them refused: a wrong type, unknown or circular
    dependencies, a forbidden run."""
    shards = [
        task.id for task in state.tasks.values() if "shard" in task.spec and task.status not in TERMINAL
    ]
    names = [*list(state.tasks)[-8:], *shards[-6:], "#0", "#1", "#2", "#01", "#9", "#x", "task-unknown"]
    return st.fixed_dictionaries(
        {"title": st.just("a task"), "type": st.sampled_from((*TYPES, *TYPES, "knitting"))},
        optional={
            "priority": st.sampled_from((*PRIORITIES, "odd")),
            "run": st.sampled_from(RUNS),
            "depends_on": st.lists(st.sampled_from(names), max_size=3),
            "max_retries": st.integers(0, 2),
            "retry_backoff_s": st.sampled_from((0.0, 5.0)),
            "deadline": st.sampled_from((now + 1.0, now + 50.0)),
            "timeout_s": st.sampled_from((5.0, 60.0)),
            "resources": st.sampled_from(({"cpu": 2}, {"gpu": 0.5, "custom": {"licence": 1}}, {"cpu": 0})),
            "labels": st.sampled_from(({"zone": "a"}, {"zone": "b"}, {})),
            "required_capabilities": st.sampled_from(([], ["gpu"])),
            "shards": st.sampled_from(SHARDS),
            "strategy": st.sampled_from(("pack", "round_robin", "manual", "guess")),
            "project_id": st.sampled_from(PROJECTS),
            "preemptible": st.booleans(),
        },
    )


def task_ids(state: State) -> st.SearchStrategy[str]:
    """Return ids of tasks, mostly real ones."""
    return st.sampled_from([*state.tasks, *state.tasks, *state.tasks, "task-unknown"])


def all_for(state: State, worker: str) -> tuple[tuple[str, str], ...]:
    """Return all tasks that wait for a node, to be started on this one."""
    waiting = [task.id for task in state.tasks.values() if task.status is Status.PENDING and task.run]
    return tuple((task_id, worker) for task_id in waiting)


def updates(state: State, now: float) -> st.SearchStrategy[OrderBody]:
    """Return updates: status, progress and edits, alone and together, with right and wrong fences."""
    anytime: dict[str, st.SearchStrategy[Any]] = {
        "title": st.just("another"),
        "priority": st.sampled_from(PRIORITIES),
        "labels": st.sampled_from(({"zone": "a"}, {"zone": "c"}, {})),
    }
    before_it_runs = {
        "type": st.sampled_from(TYPES),
        "deadline": st.sampled_from((None, now + 30.0)),
        "resources": st.sampled_from(({"cpu": 3}, None)),
    }
    wrong: tuple[dict[str, Any], ...] = (
        {"run": RUNS[2]},
        {"priority": "odd"},
        {"type": "knitting"},
        {"depends_on": []},
    )
    edits = st.one_of(
        st.fixed_dictionaries({}, optional=anytime),
        st.fixed_dictionaries({}, optional=anytime | before_it_runs),
        st.sampled_from(wrong),
    )
    return st.builds(
        o.UpdateTask,
        task_ids(state),
        status=st.one_of(st.none(), st.none(), st.sampled_from(STATUSES)),
        progress=st.one_of(st.none(), st.none(), st.none(), st.sampled_from((0.0, 30, 70.5, 100))),
        result=st.sampled_from((None, {"success": True})),
        attempt=st.sampled_from((None, None, None, None, 0, 1, 2)),
        worker_id=st.sampled_from((None, None, None, None, *BOTS)),
        edits=st.one_of(st.just({}), edits),
    )


def by_people(state: State, now: float) -> st.SearchStrategy[OrderBody]:
    """Return orders that anybody may try."""
    ids = task_ids(state)
    return st.one_of(
        updates(state, now),
        st.builds(o.CancelTask, ids),
        st.builds(o.RetryTask, ids, st.booleans()),
        st.builds(o.DeleteTask, ids),
        distributions(state),
        st.builds(
            o.SetQuota,
            st.sampled_from((*PROJECTS, "")),
            st.sampled_from(({}, {"cpu": 2.0}, {"tasks": 1.0, "queued": 3.0}, {"cpu": -1.0})),
            st.sampled_from((1.0, 3.0, 0.0)),
        ),
        on_projects(),
        st.builds(o.DrainWorker, st.sampled_from((*NODES, *BOTS, "worker-unknown")), st.booleans()),
        st.builds(o.RemoveWorker, st.sampled_from((*NODES, *BOTS, "worker-unknown"))),
    )


def on_projects() -> st.SearchStrategy[OrderBody]:
    """Return orders about projects and members, of which some do not exist."""
    ids = st.sampled_from((*PROJECTS, *PROJECTS, "p-none", "user-dev1"))
    names = st.sampled_from(("dev1", "dev2", "DEV2", "view", "nobody"))
    members = st.lists(names, max_size=3).map(tuple)
    return st.one_of(
        st.builds(o.CreateProject, ids, st.just("a project"), members),
        st.builds(o.ChangeProject, ids, st.sampled_from((None, "b")), st.one_of(st.none(), members)),
        st.builds(o.RemoveProject, ids),
        st.builds(o.AddMember, ids, names),
        st.builds(o.RemoveMember, ids, names),
    )


def distributions(state: State) -> st.SearchStrategy[OrderBody]:
    """Return distributions of tasks and of wholes, with pairs that may be nonsense."""
    workers = st.sampled_from([*NODES, *BOTS, "worker-x"])

    def pairs(task_id: str) -> st.SearchStrategy[tuple[tuple[str, str], ...]]:
        parts = [i for i in state.tasks if i.startswith(f"{task_id}-s")] or [task_id]
        return st.tuples(*(st.tuples(st.just(part), workers) for part in parts[:3]))

    return task_ids(state).flatmap(
        lambda task_id: st.builds(
            o.DistributeTask,
            st.just(task_id),
            pairs(task_id),
            st.sampled_from((None, "pack", "guess")),
            st.sampled_from(((), ("gpu",))),
        )
    )


def preemptions(state: State) -> st.SearchStrategy[tuple[tuple[str, int], ...]]:
    """Return attempts to stop: running ones, and some that are not."""
    running = [(t.id, t.attempt) for t in state.tasks.values() if t.status == "running"]
    return st.lists(st.sampled_from([*running, ("task-unknown", 1)]), max_size=2).map(tuple)


def by_bots(state: State) -> st.SearchStrategy[OrderBody]:
    """Return what external workers send."""
    bots = st.sampled_from((*BOTS, "worker-unknown"))
    resources = st.sampled_from(({}, {"cpu": 8, "memory": 16384, "gpu": True}, {"cpu": 1}))
    register = st.builds(
        o.RegisterWorker,
        st.just("host"),
        st.sampled_from((TYPES, (*TYPES, "gpu"), ())),
        resources,
        worker_id=st.one_of(st.none(), bots),
        kind=st.sampled_from(("external", "external", "external", "node")),
        labels=st.sampled_from(({}, {"zone": "a"})),
    )
    beat = st.builds(
        o.Heartbeat,
        st.sampled_from([*BOTS, *state.workers, "worker-unknown"]),
        st.sampled_from((None, "idle", "busy")),
        current_task=st.sampled_from((None, None, "task-unknown")),
    )
    return st.one_of(beat, beat, beat, register)


def reports(state: State, worker_id: str) -> st.SearchStrategy[tuple[AttemptReport, ...]]:
    """Return a node worker's reports: on what it holds, on what it held, on what it never had."""
    running = list(state.workers[worker_id].running.items()) if worker_id in state.workers else []
    other = [(task.id, max(1, task.attempt - 1)) for task in list(state.tasks.values())[-4:]]
    report = st.builds(
        lambda pair, outcome, percent, retryable, on, until: AttemptReport(
            pair[0],
            pair[1],
            outcome,
            result={"success": True} if outcome == "completed" else None,
            error={"reason": "error"} if outcome == "failed" else None,
            progress=percent if outcome == "progressed" else None,
            duration_s=0.5,
            retryable=retryable,
            on=tuple(on) if outcome == "blocked" else (),
            until=until,
        ),
        st.sampled_from([*running, *running, *running, *other, ("task-unknown", 1)]),
        st.sampled_from(OUTCOMES),
        st.sampled_from((10.0, 60.0, 30.0, -5.0, 400.0, float("nan"))),
        st.sampled_from((True, True, False)),
        st.lists(task_ids(state), max_size=3),
        st.sampled_from(("all", "all", "any", "unblocked")),
    )
    return st.lists(report, min_size=1, max_size=5).map(tuple)


def waits(state: State, worker_id: str, *, goes_on: bool) -> st.SearchStrategy[tuple[AttemptReport, ...]]:
    """Return what some running tasks of a node say: that they wait for other tasks, or that they go on."""
    running = st.sampled_from(sorted(state.workers[worker_id].running.items()))
    if goes_on:
        report = running.map(lambda pair: AttemptReport(*pair, "unblocked"))
    else:
        report = st.builds(
            lambda pair, on, until: AttemptReport(*pair, "blocked", on=tuple(on), until=until),
            running,
            st.lists(
                st.one_of(task_ids(state), st.sampled_from([*state.tasks][-2:])), min_size=1, max_size=4
            ),
            st.sampled_from(("all", "all", "any", "unblocked")),
        )
    return st.lists(report, min_size=1, max_size=3).map(tuple)


def _noted(name: str) -> o.NoteRefusals:
    return o.NoteRefusals(
        (o.Refusal("login", "credentials", name, author="anonymous", request_id="req-noted"),)
    )


def on_accounts(state: State, serial: int, now: float) -> st.SearchStrategy[OrderBody]:
    """Return orders about users and sessions; hashes and session ids never come twice."""
    users = st.sampled_from([*state.users, "user-unknown"])
    names = st.sampled_from(("ann", "bob", "cid"))
    hashes = st.sampled_from([*state.sessions_by_refresh, "hash-unknown"])
    sessions = st.sampled_from([*state.sessions, "sess-unknown"])
    expiry = st.sampled_from((now + 20.0, now + 900.0))
    opened = st.builds(o.OpenSession, users, st.just(f"sess-{serial}"), st.just(f"hash-{serial}"), expiry)
    return st.one_of(
        st.builds(o.CreateUser, names, st.just("argon"), st.sampled_from((("developer",), ("pope",), ()))),
        st.builds(o.CreateUser, names, st.just("argon"), st.just(("admin",)), st.just(True)),
        st.builds(o.RemoveUser, names),
        st.builds(o.ChangePassword, users, st.just("argon-2")),
        opened,
        opened,
        st.builds(o.RefreshSession, hashes, st.just(f"hash-{serial}"), expiry),
        st.builds(o.CloseSession, sessions),
        st.builds(_noted, names),
    )
