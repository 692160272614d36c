"""Converts the state to JSON values and back. Indexes are rebuilt, so a snapshot has each object once.

PARTS has one entry for each kind of object: how it is written, and how it is read with its indexes.

FOLD_VERSION changes whenever evolve would fold the same journal into another state: a snapshot of another
version is ignored, and the journal is folded from its start.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, TypeVar

from helix_ray.core.blocked_on import BlockedOn
from helix_ray.core.datasets import packed_datasets, unpacked_datasets
from helix_ray.core.device_rows import (
    dump_codes,
    dump_devices,
    dump_documents,
    load_codes,
    load_devices,
    load_documents,
)
from helix_ray.core.durations import Durations
from helix_ray.core.ended import remember
from helix_ray.core.erasure_record import Erasure
from helix_ray.core.evolve.causes import index_failed
from helix_ray.core.evolve.models import index_version
from helix_ray.core.evolve.sessions import index_session
from helix_ray.core.evolve.standing import count_unfinished, doom, index_unfinished, index_waiting, line_up
from helix_ray.core.evolve.tokens import index_token
from helix_ray.core.evolve.users import index_user
from helix_ray.core.evolve.webhooks import index_webhook
from helix_ray.core.evolve.workers import hold, index_node_type
from helix_ray.core.leases import Lease
from helix_ray.core.lifecycle import TERMINAL, Status
from helix_ray.core.models import packed, unpacked
from helix_ray.core.state import (
    NO_RESULTS,
    NOTHING,
    ApiToken,
    Ended,
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
from helix_ray.core.webhooks import Webhook

FOLD_VERSION = 28
# Fields of a worker that are rebuilt.
WORKER_INDEXES = ("running", "load", "inbox")

Thing = TypeVar("Thing")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a snapshot: `dump` gives it as JSON values, `load` puts these into a state."""

    name: str
    dump: Callable[[State], Any]
    load: Callable[[State, Any], None]


def dump(state: State) -> dict[str, Any]:
    """Return the state as JSON values."""
    body = parts(state)
    return {**body, "tasks": list(body["tasks"])}


def parts(state: State) -> dict[str, Any]:
    """Return what `dump` does, the tasks row by row as they are gone through: for a state that
    does not change meanwhile."""
    return {part.name: part.dump(state) for part in PARTS}


def load(body: dict[str, Any]) -> State:
    """Build the state from the values of dump, with its indexes."""
    state = State()
    for part in PARTS:
        part.load(state, body[part.name])
    return state


# ------------------------------------------------------------------------------- kinds of parts


def _figure(name: str, attribute: str = "") -> Piece:
    """Return the part of a number; `attribute` where the state has another name for it."""
    of_state = attribute or name
    return Piece(
        name, lambda state: getattr(state, of_state), lambda state, value: setattr(state, of_state, value)
    )


def _objects(
    name: str,
    kind: Callable[..., Thing],
    index: Callable[[State, Thing], None] = lambda state, thing: None,
    leave_out: tuple[str, ...] = (),
    plain: Mapping[str, Callable[[Any], Any]] = NO_RESULTS,
    **made: Callable[[Any], Any],
) -> Piece:
    """Return the part of a table of objects by id: a row of fields for each.

    `made` turns fields that JSON has otherwise into what the class has. `plain` does the opposite where
    _plain does not: a dict that evolve changes in place must be copied.
    """
    names = fields_of(kind, leave_out)

    def dump_rows(state: State) -> list[list[Any]]:
        rows = [_row(thing, names) for thing in getattr(state, name).values()]
        for field, shown in plain.items():
            at = names.index(field)
            for row in rows:
                row[at] = shown(row[at])
        return rows

    def load_rows(state: State, rows: Iterable[list[Any]]) -> None:
        table = getattr(state, name)
        for row in rows:
            values = dict(zip(names, row, strict=True))
            for field, make in made.items():
                values[field] = make(values[field])
            thing = kind(**values)
            table[values["id"]] = thing
            index(state, thing)

    return Piece(name, dump_rows, load_rows)


def fields_of(kind: Any, leave_out: tuple[str, ...] = ()) -> list[str]:
    """Return the fields that a row of a class has, in order."""
    return [field.name for field in fields(kind) if field.name not in leave_out]


def _row(thing: Any, names: list[str]) -> list[Any]:
    return [_plain(getattr(thing, name)) for name in names]


def _plain(value: Any) -> Any:
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, tuple) and value and type(value[0]) is Lease:
        return [list(lease) for lease in value]
    if type(value) is BlockedOn:
        return [value.until, sorted(value.on), value.place]
    # Copy what evolve changes in place: it must not change in the snapshot.
    return list(value) if isinstance(value, list) else value


# --------------------------------------------------------------------------------------- tasks

_TASK_FIELDS = fields_of(Task, ("level", "task_class"))


def _dump_tasks(state: State) -> Iterable[list[Any]]:
    """Yield the tasks in the order of their submits; tasks restored from the history are
    at the end of the table."""
    tasks: Iterable[Task] = state.tasks.values()
    if state.restored:
        tasks = sorted(tasks, key=lambda task: task.seq)
    return (_row(task, _TASK_FIELDS) for task in tasks)


def _load_tasks(state: State, rows: Iterable[list[Any]]) -> None:
    for row in rows:
        _load_task(state, dict(zip(_TASK_FIELDS, row, strict=True)))


def _load_task(state: State, row: dict[str, Any]) -> None:
    row["waits_for"] = set(row["waits_for"]) or NOTHING
    if row["block"] is not None:
        until, on, place = row["block"]
        row["block"] = BlockedOn(until, set(on), place)
    row["shard_results"] = row["shard_results"] or NO_RESULTS
    task = task_again(row)
    state.tasks[task.id] = task
    state.by_status[task.status] += 1
    if task.status not in TERMINAL:
        count_unfinished(state, task, 1)
        index_unfinished(state, task)
        index_waiting(state, task)
        for name in task.blocked_on:
            state.blocking.setdefault(name, {})[task.id] = None
        if task.status is Status.WAITING and not task.waits_for:
            state.freed[task.id] = None
    else:
        index_failed(state, task)


def _out_of_order(state: State, waiting: Iterable[str]) -> bool:
    """Say whether tasks wait in another order than that of their submits: a retried task
    waits behind later ones."""
    seqs = [state.tasks[task_id].seq for task_id in waiting]
    return any(later < earlier for earlier, later in pairwise(seqs))


def _dump_dependents(state: State) -> dict[str, list[str]]:
    waiting = state.dependents.items()
    return {name: list(ids) for name, ids in waiting if _out_of_order(state, ids)}


def _load_dependents(state: State, dependents: Mapping[str, list[str]]) -> None:
    for name, waiting in dependents.items():
        state.dependents[name] = dict.fromkeys(waiting)
    for name in state.dependents:
        if name not in state.tasks or state.tasks[name].status in TERMINAL:
            doom(state, name)


def _load_inherited(state: State, rows: Iterable[list[Any]]) -> None:
    state.inherited = {task_id: (level, by) for task_id, level, by in rows}


def _load_unsettled(state: State, task_ids: Iterable[str]) -> None:
    state.dirty_levels = dict.fromkeys(task_ids)


def _load_orphans(state: State, orphans: Mapping[str, str]) -> None:
    """Put the orphans in, and then, since those have no worker, what the others run."""
    state.orphans = dict(orphans)
    _load_held(state)


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
                line_up(state, state.tasks[task_id], first=False)
    queued = {i for levels in ready for line in levels for i in line}
    for task in state.tasks.values():
        if task.status is Status.PENDING and task.id not in queued:
            state.delayed[task.id] = task.not_before


def _load_finished(state: State, finished: Iterable[str]) -> None:
    ended = (state.tasks[task_id] for task_id in finished)
    # The task's own string, not an equal one.
    state.finished = OrderedDict((task.id, task.finished_seq) for task in ended)


# ------------------------------------------------------------------------------------ others


def _index_worker(state: State, worker: Worker) -> None:
    index_node_type(state, worker, 1)
    state.dirty.note(worker.id)


def _load_rewritten(state: State, rows: Iterable[list[Any]]) -> None:
    state.rewritten = OrderedDict((task_id, (first, last)) for task_id, first, last in rows)


def _load_erased(state: State, rows: Iterable[list[Any]]) -> None:
    state.erased_tasks = OrderedDict((task_id, seq) for task_id, seq in rows)


def _load_addresses(state: State, rows: Iterable[list[Any]]) -> None:
    state.sign_in_addresses = OrderedDict((address, at) for address, at in rows)


def _load_durations(state: State, body: Any) -> None:
    state.durations = Durations.load(body)


def _load_endings(state: State, slices: Iterable[list[int]]) -> None:
    state.endings = [list(slice_) for slice_ in slices]


def _load_archived(state: State, counts: Mapping[str, int]) -> None:
    state.archived = dict(counts)


def _load_quotas(state: State, quotas: Mapping[str, list[Any]]) -> None:
    state.quotas = {name: Quota(dict(limits), weight) for name, (limits, weight) in quotas.items()}


def _load_closed(state: State, names: Iterable[str]) -> None:
    state.closed_projects = dict.fromkeys(names)


def _load_datasets(state: State, rows: Iterable[list[Any]]) -> None:
    state.datasets = unpacked_datasets(rows)


def _load_models(state: State, models: Iterable[Mapping[str, Any]]) -> None:
    for values in models:
        model = unpacked(values)
        state.models[model.id] = model
        for version in model.versions.values():
            index_version(state, model, version)


_ENDED_FIELDS = fields_of(Ended)


def _load_ended(state: State, rows: Iterable[list[Any]]) -> None:
    for name, *row in rows:
        remember(state, name, Ended(**dict(zip(_ENDED_FIELDS, row, strict=True))))


def _dump_receipts(state: State) -> list[list[list[Any]]]:
    shelves = (state.client_receipts, state.internal_receipts)
    return [
        [[key, kept.fingerprint, kept.data, kept.until] for key, kept in shelf.items()] for shelf in shelves
    ]


def _load_receipts(state: State, shelves: Iterable[Iterable[list[Any]]]) -> None:
    for shelf, rows in zip((state.client_receipts, state.internal_receipts), shelves, strict=True):
        for key, fingerprint, data, until in rows:
            shelf[key] = KeptReceipt(fingerprint, data, until)


# In the order in which they are read: tasks need workers, and what stands on tasks needs them.
PARTS: tuple[Piece, ...] = (
    _figure("seq"),
    _figure("at"),
    _figure("retired_through", "archived_through"),
    _figure("rewritten_dropped"),
    _figure("exported_through"),
    _figure("audit_keep_s"),
    _figure("audit_until_exported"),
    _figure("journal_damage"),
    _figure("audit_difference"),
    _figure("user_removed_seq"),
    Piece("retired", lambda s: {str(status): count for status, count in s.archived.items()}, _load_archived),
    Piece("rewritten", lambda s: [[name, *seqs] for name, seqs in s.rewritten.items()], _load_rewritten),
    Piece("erased_tasks", lambda s: [[name, seq] for name, seq in s.erased_tasks.items()], _load_erased),
    Piece("durations", lambda s: s.durations.dump(), _load_durations),
    Piece("endings", lambda s: [list(slice_) for slice_ in s.endings], _load_endings),
    Piece("quotas", lambda s: {n: [dict(q.limits), q.weight] for n, q in s.quotas.items()}, _load_quotas),
    _objects("erasures", Erasure),
    _objects("projects", Project, plain={"members": list}, members=dict.fromkeys),
    Piece("closed_projects", lambda s: list(s.closed_projects), _load_closed),
    Piece("models", lambda s: [packed(model) for model in s.models.values()], _load_models),
    Piece("datasets", lambda s: packed_datasets(s.datasets), _load_datasets),
    _objects("workers", Worker, _index_worker, WORKER_INDEXES, capabilities=frozenset),
    Piece("tasks", _dump_tasks, _load_tasks),
    Piece("dependents", _dump_dependents, _load_dependents),
    Piece("inherited", lambda s: [[name, *each] for name, each in s.inherited.items()], _load_inherited),
    Piece("dirty_levels", lambda s: list(s.dirty_levels), _load_unsettled),
    Piece("orphans", lambda s: dict(s.orphans), _load_orphans),
    # The order within a level is that of the queues: requeued tasks are at the front.
    Piece("ready", lambda s: [[list(line) for line in q.levels] for q in s.ready.values()], _load_queues),
    Piece("finished", lambda s: list(s.finished), _load_finished),
    _objects("users", User, index_user, roles=tuple),
    _objects("sessions", Session, index_session, plain={"spent": dict}, spent=dict),
    Piece("sign_in_addresses", lambda s: [[*row] for row in s.sign_in_addresses.items()], _load_addresses),
    _objects(
        "tokens", ApiToken, index_token, roles=tuple,
        projects=lambda names: None if names is None else tuple(names),
    ),
    _objects("webhooks", Webhook, index_webhook),
    Piece("devices", dump_devices, load_devices),
    Piece("device_codes", dump_codes, load_codes),
    Piece("documents", dump_documents, load_documents),
    Piece("ended", lambda s: [[n, *_row(each, _ENDED_FIELDS)] for n, each in s.ended.items()], _load_ended),
    Piece("receipts", _dump_receipts, _load_receipts),
)  # fmt: skip
