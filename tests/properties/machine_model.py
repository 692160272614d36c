"""The pieces of the core's state machine test: a clock moved by hand, the cast, and the
reference it is judged by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import orjson

from helix_ray.core import snapshot
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.events import (
    Fact,
    MemberAdded,
    MemberRemoved,
    ProjectRemoved,
    ProjectSet,
    TaskAssigned,
    TaskCompleted,
    TaskDeleted,
    TaskEdited,
    TaskRequeued,
    TaskSubmitted,
    UserRemoved,
)
from helix_ray.core.evolve import evolve
from helix_ray.core.policy import Policy
from helix_ray.core.state import State
from helix_ray.core.views.tasks import task_view

ADMIN = Principal("user-admin", "admin", ("admin",))
DEV_1 = Principal("user-dev1", "dev1", ("developer",))
DEV_2 = Principal("user-dev2", "dev2", ("developer",))
VIEWER = Principal("user-view", "view", ("viewer",))
BOT_1 = Principal("user-bot1", "bot1", ("worker",))
BOT_2 = Principal("user-bot2", "bot2", ("worker",))
CAST = (ADMIN, DEV_1, DEV_2, VIEWER, BOT_1, BOT_2, SYSTEM)

POLICY = Policy(
    queue_tasks_max=60,
    losses_max=2,
    sessions_per_user_max=2,
    client_receipt_ttl_s=400.0,
    shards_max=5,
    # So small that many orders leave something to tell.
    spread_tasks_max=2,
    lost_worker_keep_s=300.0,
    blocked_attempts_max=3,
)


class HandClock:
    """Time as a test says it is."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def wall(self) -> float:
        """Return epoch seconds."""
        return self.now

    def monotonic(self) -> float:
        """Return the same as wall time: nobody sets this clock."""
        return self.now


class Announced:
    """Stands for the board (plane/read_board.py) that replicas look at: which tasks a commit has changed."""

    def __init__(self) -> None:
        self.ids: set[str] = set()

    def note(self, task_ids: Iterable[str], seq: int) -> None:
        """Note what a commit says of itself."""
        self.ids |= set(task_ids)

    def publish(self, view: dict[str, Any], seq: int) -> None:
        """Keep nothing: who reads it stands in tests/contract."""

    def withdraw(self, task_ids: Iterable[str]) -> None:
        """Have nothing to let go of."""


def views(state: State) -> dict[str, bytes]:
    """Return what anybody may read of each task."""
    return {i: orjson.dumps([task_view(task), task.result]) for i, task in state.tasks.items()}


def whole(state: State) -> dict[str, Any]:
    """Return everything a state holds, indexes and their order included; the inboxes
    are memory of a process."""
    return {
        "snapshot": snapshot.dump(state),
        "by_status": dict(state.by_status),
        "ready": [
            (task_class, queue.size, [list(line.items()) for line in queue.levels])
            for task_class, queue in state.ready.items()
        ],
        "delayed": dict(state.delayed),
        "deadlines": dict(state.deadlines),
        "dependents": {name: list(ids) for name, ids in state.dependents.items()},
        "freed": set(state.freed),
        "doomed": dict(state.doomed),
        "orphans": dict(state.orphans),
        "blocking": {name: sorted(ids) for name, ids in state.blocking.items()},
        "finished": list(state.finished.items()),
        "held": {w.id: list(w.running.items()) for w in state.workers.values()},
        "load": {w.id: dict(w.load) for w in state.workers.values()},
        "users_by_name": dict(state.users_by_name),
        "sessions_by_refresh": dict(state.sessions_by_refresh),
    }


def most_blocked(state: State) -> int:
    """Return how many attempts are blocked on the worker where most are."""
    return max(
        (sum(n for held, n in w.load.items() if held.blocked) for w in state.workers.values()), default=0
    )


def folded(facts: list[Fact], start: State | None = None) -> State:
    """Return what facts fold into."""
    state = State() if start is None else start
    for fact in facts:
        evolve(state, fact)
    return state


def through_json(state: State) -> State:
    """Return the state as it comes back from a snapshot on a disk."""
    return snapshot.load(orjson.loads(orjson.dumps(snapshot.dump(state))))


class Fence:
    """A second, much simpler reading of the facts: which attempt is current, and what was completed."""

    def __init__(self) -> None:
        self.current: dict[str, int] = {}
        self.completed: Counter[str] = Counter()

    def read(self, fact: Fact) -> None:
        """Take one fact in; raises AssertionError for a completion that the fence should have kept out."""
        event = fact.event
        if isinstance(event, TaskAssigned):
            assert event.attempt == self.current.get(event.id, 0) + 1, "attempts count up by one"
            self.current[event.id] = event.attempt
        elif isinstance(event, TaskCompleted):
            self.completed[event.id] += 1
            assert self.completed[event.id] == 1, f"{event.id} was completed twice"
            assert event.attempt == self.current.get(event.id, 0), (
                f"{event.id} was completed by an old attempt"
            )
        elif isinstance(event, TaskRequeued) and event.cause == "manual":
            assert not self.completed[event.id], "a completed task is not retried"
        elif isinstance(event, TaskDeleted):
            self.current.pop(event.id, None)


class Doors:
    """Who may be in which project, as the facts alone say; judges each fact that puts a task into one."""

    def __init__(self) -> None:
        self.members: dict[str, set[str]] = {}
        self.projects: dict[str, str | None] = {}

    def read(self, fact: Fact, state: State) -> None:
        """Follow one fact; `state` says who is an administrator."""
        event = fact.event
        if isinstance(event, TaskSubmitted):
            self.enter(event.id, event.spec.get("project_id"), fact.actor, state)
        elif isinstance(event, TaskEdited) and "project_id" in event.changes:
            self.enter(event.id, event.changes["project_id"], fact.actor, state)
        elif isinstance(event, TaskRequeued) and event.cause == "manual":
            self.enter(event.id, self.projects[event.id], fact.actor, state)
        elif isinstance(event, ProjectSet):
            self.members[event.id] = set(event.members)
        elif isinstance(event, ProjectRemoved):
            del self.members[event.id]
        elif isinstance(event, MemberAdded):
            self.members[event.id].add(event.user_id)
        elif isinstance(event, MemberRemoved):
            self.members[event.id].remove(event.user_id)
        elif isinstance(event, UserRemoved):
            for members in self.members.values():
                members.discard(event.id)

    def enter(self, task_id: str, project: str | None, actor: str, state: State) -> None:
        """A task is put into a project: by a member, by an administrator, or where nothing is guarded."""
        self.projects[task_id] = project
        user = state.users.get(actor)
        trusted = actor == SYSTEM.id or (user is not None and "admin" in user.roles)
        if project is None or project == actor or trusted:
            return
        assert not self.members or actor in self.members.get(project, ()), f"{actor} is not in {project}"
        assert project not in state.users, f"{project} is another user's own"
