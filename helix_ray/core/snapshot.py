"""Converts the state to JSON values and back. Indexes are rebuilt, so a snapshot has each object once.

FOLD_VERSION changes whenever evolve would fold the same journal into another state: a snapshot of another
version is ignored, and the journal is folded from its start.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import fields, replace
from itertools import pairwise
from typing import Any

from helix_ray.core.durations import Durations
from helix_ray.core.ended import remember
from helix_ray.core.evolve.causes import index_failed
from helix_ray.core.evolve.sessions import index_session
from helix_ray.core.evolve.standing import count_unfinished, doom, enqueue, index_unfinished, index_waiting
from helix_ray.core.evolve.tokens import index_token
from helix_ray.core.evolve.users import index_user
from helix_ray.core.evolve.workers import hold, index_node_type
from helix_ray.core.leases import Lease
from helix_ray.core.lifecycle import TERMINAL, Status
from helix_ray.core.state import (
    NO_PARTS,
    NOTHING,
    ApiToken,
    Ended,
    Erasure,
    KeptReceipt,
    Project,
    Quota,
    Session,
    State,
    Task,
    User,
    Worker,
    task_again,
)

FOLD_VERSION = 13

_TASK_FIELDS = [f.name for f in fields(Task) if f.name not in ("level", "task_class")]
_WORKER_FIELDS = [f.name for f in fields(Worker) if f.name not in ("running", "load", "inbox")]
_USER_FIELDS = [f.name for f in fields(User)]
_SESSION_FIELDS = [f.name for f in fields(Session)]
_TOKEN_FIELDS = [f.name for f in fields(ApiToken)]
_ERASURE_FIELDS = [f.name for f in fields(Erasure)]
_ENDED_FIELDS = [f.name for f in fields(Ended)]


def dump(state: State) -> dict[str, Any]:
    """Return the state as JSON values."""
    body = parts(state)
    return {**body, "tasks": list(body["tasks"])}


def parts(state: State) -> dict[str, Any]:
    """Return what `dump` does, the tasks row by row as they are gone through: for a state that
    does not change meanwhile."""
    return {
        "seq": state.seq,
        "at": state.at,
        "tasks": (_row(task, _TASK_FIELDS) for task in _in_order(state)),
        # The order within a level is that of the queues: requeued tasks are at the front.
        "ready": [[list(line) for line in queue.levels] for queue in state.ready.values()],
        "finished": list(state.finished),
        "orphans": dict(state.orphans),
        "dependents": {
            name: list(ids) for name, ids in state.dependents.items() if _out_of_order(state, ids)
        },
        "workers": [_row(worker, _WORKER_FIELDS) for worker in state.workers.values()],
        "users": [_row(user, _USER_FIELDS) for user in state.users.values()],
        "sessions": [_row(replace(s, spent=dict(s.spent)), _SESSION_FIELDS) for s in state.sessions.values()],
        "tokens": [_row(token, _TOKEN_FIELDS) for token in state.tokens.values()],
        "ended": [[name, *_row(ended, _ENDED_FIELDS)] for name, ended in state.ended.items()],
        "receipts": [_receipts(state.client_receipts), _receipts(state.internal_receipts)],
        "retired_through": state.archived_through,
        "retired": {str(status): count for status, count in state.archived.items()},
        "rewritten": [[task_id, *seqs] for task_id, seqs in state.rewritten.items()],
        "rewritten_dropped": state.rewritten_dropped,
        "durations": state.durations.dump(),
        "endings": [list(slice_) for slice_ in state.endings],
        "projects": [[p.id, p.name, p.created_at, list(p.members)] for p in state.projects.values()],
        "erasures": [_row(erasure, _ERASURE_FIELDS) for erasure in state.erasures.values()],
        "erased_tasks": [[task_id, seq] for task_id, seq in state.erased_tasks.items()],
        "quotas": {name: [dict(quota.limits), quota.weight] for name, quota in state.quotas.items()},
    }


def _in_order(state: State) -> Iterable[Task]:
    """Return the tasks in the order of their submits; tasks restored from the history are
    at the end of the table."""
    tasks = state.tasks.values()
    return sorted(tasks, key=lambda task: task.seq) if state.restored else tasks


def _out_of_order(state: State, waiting: Iterable[str]) -> bool:
    """Say whether tasks wait in another order than that of their submits: a retried task
    waits behind later ones."""
    seqs = [state.tasks[task_id].seq for task_id in waiting]
    return any(later < earlier for earlier, later in pairwise(seqs))


def _row(thing: Any, names: list[str]) -> list[Any]:
    return [_plain(getattr(thing, name)) for name in names]


def _plain(value: Any) -> Any:
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, tuple) and value and type(value[0]) is Lease:
        return [list(lease) for lease in value]
    # Copy what evolve changes in place: it must not change in the snapshot.
    return list(value) if isinstance(value, list) else value


def _receipts(shelf: OrderedDict[str, KeptReceipt]) -> list[list[Any]]:
    return [[key, kept.fingerprint, kept.data, kept.until] for key, kept in shelf.items()]


def load(body: dict[str, Any]) -> State:
    """Build the state from the values of dump, with its indexes."""
    state = State(seq=body["seq"], at=body["at"])
    state.archived_through = body["retired_through"]
    state.archived = dict(body["retired"])
    state.rewritten = OrderedDict((task_id, (first, last)) for task_id, first, last in body["rewritten"])
    state.rewritten_dropped = body["rewritten_dropped"]
    state.durations = Durations.load(body["durations"])
    state.endings = [list(slice_) for slice_ in body["endings"]]
    state.quotas = {name: Quota(dict(limits), weight) for name, (limits, weight) in body["quotas"].items()}
    for row in body["erasures"]:
        erasure = Erasure(**dict(zip(_ERASURE_FIELDS, row, strict=True)))
        state.erasures[erasure.id] = erasure
    state.erased_tasks = OrderedDict((task_id, seq) for task_id, seq in body["erased_tasks"])
    for project_id, name, created_at, members in body["projects"]:
        state.projects[project_id] = Project(project_id, name, created_at, dict.fromkeys(members))
    for row in body["workers"]:
        _load_worker(state, dict(zip(_WORKER_FIELDS, row, strict=True)))
    for row in body["tasks"]:
        _load_task(state, dict(zip(_TASK_FIELDS, row, strict=True)))
    for name, waiting in body["dependents"].items():
        state.dependents[name] = dict.fromkeys(waiting)
    for name in state.dependents:
        if name not in state.tasks or state.tasks[name].status in TERMINAL:
            doom(state, name)
    state.orphans = dict(body["orphans"])
    _load_held(state)
    _load_queues(state, body["ready"])
    ended = (state.tasks[task_id] for task_id in body["finished"])
    # The task's own string, not an equal one.
    state.finished = OrderedDict((task.id, task.finished_seq) for task in ended)
    _load_accounts(state, body)
    return state


def _load_worker(state: State, row: dict[str, Any]) -> None:
    row["capabilities"] = frozenset(row["capabilities"])
    worker = Worker(**row)
    state.workers[worker.id] = worker
    index_node_type(state, worker, 1)
    state.dirty.note(worker.id)


def _load_task(state: State, row: dict[str, Any]) -> None:
    row["waits_for"] = set(row["waits_for"]) or NOTHING
    row["parts"] = row["parts"] or NO_PARTS
    task = task_again(row)
    state.tasks[task.id] = task
    state.by_status[task.status] += 1
    if task.status not in TERMINAL:
        count_unfinished(state, task, 1)
        index_unfinished(state, task)
        index_waiting(state, task)
        if task.status is Status.WAITING and not task.waits_for:
            state.freed[task.id] = None
    else:
        index_failed(state, task)


def _load_held(state: State) -> None:
    """Fill the workers' inboxes in the order of assignment: reading one stops at the first older entry."""
    running = [
        task
        for task in state.tasks.values()
        if task.status is Status.RUNNING and task.worker is not None and task.id not in state.orphans
    ]
    for task in sorted(running, key=lambda task: task.assigned_seq):
        hold(state, state.workers[task.worker or ""], task)


def _load_queues(state: State, ready: list[list[list[str]]]) -> None:
    for levels in ready:
        for line in levels:
            for task_id in line:
                enqueue(state, state.tasks[task_id])
    queued = {i for levels in ready for line in levels for i in line}
    for task in state.tasks.values():
        if task.status is Status.PENDING and task.id not in queued:
            state.delayed[task.id] = task.not_before


def _load_accounts(state: State, body: dict[str, Any]) -> None:
    for row in body["users"]:
        user = User(**dict(zip(_USER_FIELDS, row, strict=True)))
        user.roles = tuple(user.roles)
        state.users[user.id] = user
        index_user(state, user)
    for row in body["sessions"]:
        session = Session(**dict(zip(_SESSION_FIELDS, row, strict=True)))
        session.spent = dict(session.spent)  # a copy: evolve changes it, and the snapshot must not change
        state.sessions[session.id] = session
        index_session(state, session)
    for row in body["tokens"]:
        token = ApiToken(**dict(zip(_TOKEN_FIELDS, row, strict=True)))
        token.roles = tuple(token.roles)
        token.projects = None if token.projects is None else tuple(token.projects)
        state.tokens[token.id] = token
        index_token(state, token)
    for name, *row in body["ended"]:
        remember(state, name, Ended(**dict(zip(_ENDED_FIELDS, row, strict=True))))
    for shelf, rows in zip((state.client_receipts, state.internal_receipts), body["receipts"], strict=True):
        for key, fingerprint, data, until in rows:
            shelf[key] = KeptReceipt(fingerprint, data, until)
