"""Answers the questions of the SyncDevices actors."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from itertools import islice
from typing import TypeGuard

from helix_ray.core import questions as q
from helix_ray.core.access import Principal
from helix_ray.core.answers.picture import Answerers, Picture, Steppers, whole
from helix_ray.core.devices import NO_DOCUMENTS, Document, EnrolledDevice, Follows
from helix_ray.core.follows import Scope, Selector, TaskSubject, labels_of
from helix_ray.core.state import State, Task, User, project_of
from helix_ray.core.views.sync import BoardDevice, BoardView, DocumentRow, RowsView, TaskRow, task_row
from helix_ray.core.visibility import task_scope

# A scope is filled from all tasks, this many in each step: a few milliseconds.
SCAN_TASKS_PER_STEP = 5_000


def _device_board(picture: Picture, question: q.DeviceBoard, by: Principal) -> BoardView:
    state = picture.state
    ids = state.devices if question.device_ids is None else dict.fromkeys(question.device_ids)
    for user in question.users:
        ids = {**ids, **state.devices_of.get(user, {})}
    found = [_board_device(state, state.devices[id_]) for id_ in ids if id_ in state.devices]
    return {"devices": found, "total": len(state.devices), "seq": state.seq}


def _board_device(state: State, device: EnrolledDevice) -> BoardDevice:
    return {
        "id": device.id,
        "user": device.user_id,
        "name": device.name,
        "type": device.type,
        "scope": scope_of(state.users[device.user_id], device.follows),
        "last_mutation": device.last_mutation,
        "refused": _last_refused(device),
        "enrolled_at": device.enrolled_at,
    }


def scope_of(user: User, follows: Follows) -> Scope:
    """Return what a device of a user sees: what it follows of what its user may see now."""
    seen = task_scope(Principal(user.id, user.username, user.roles))
    selectors = tuple(Selector(each["project"], each["label"], each["owner"]) for each in follows["tasks"])
    return Scope(user.id, seen, selectors, tuple(sorted(follows["documents"])))


def _last_refused(device: EnrolledDevice) -> str | None:
    """Return the number of the last mutation if it was refused, and why."""
    verdict = device.verdicts.get(device.last_mutation)
    if verdict is None or verdict[0] != "refused":
        return None
    return f"mutation {device.last_mutation} was refused: {verdict[2]}"


def _documents(state: State, keys: Iterable[tuple[str, str, str]]) -> list[DocumentRow]:
    found = []
    for user, kind, key in keys:
        document = state.documents.get(user, NO_DOCUMENTS).documents.get((kind, key))
        if document is not None and document.deleted is None:
            found.append(_document_row(user, document))
    return found


def _document_row(user: str, document: Document) -> DocumentRow:
    return {
        "user": user,
        "kind": document.kind,
        "key": document.key,
        "version": document.version,
        "fields": document.values(),
    }


def _followed_rows(picture: Picture, question: q.FollowedRows, by: Principal) -> RowsView:
    """Return what there is of it."""
    tasks = picture.state.tasks
    found = [task_row(tasks[task_id]) for task_id in question.task_ids if _is_kept(tasks.get(task_id))]
    documents = _documents(picture.state, question.documents)
    return {"tasks": found, "documents": documents, "seq": picture.state.seq, "whole": True}


def _scope_rows(picture: Picture, question: q.ScopeRows, by: Principal) -> RowsView:
    return whole(scope_rows(picture, question, by))


def scope_rows(picture: Picture, question: q.ScopeRows, by: Principal) -> Generator[None, None, RowsView]:
    """Find what is in a scope, in steps: the state may change between two steps, and each task is as of its
    step. `seq` is that of the first."""
    state = picture.state
    seq, ids = state.seq, iter(list(state.tasks))
    found: list[TaskRow] = []
    while some := list(islice(ids, SCAN_TASKS_PER_STEP)):
        found += [task_row(task) for task in _in_scope(state, some, question.scope)]
        if len(found) > question.rows_max:
            return {"tasks": [], "documents": [], "seq": seq, "whole": False}
        yield
    user, kinds = question.scope.user, question.scope.kinds
    keys = [(user, *key) for key in state.documents.get(user, NO_DOCUMENTS).documents if key[0] in kinds]
    return {"tasks": found, "documents": _documents(state, keys), "seq": seq, "whole": True}


def _in_scope(state: State, ids: Iterable[str], scope: Scope) -> Iterable[Task]:
    for task_id in ids:
        task = state.tasks.get(task_id)
        if _is_kept(task) and scope.has_task(_subject(task)):
            yield task


def _is_kept(task: Task | None) -> TypeGuard[Task]:
    """Say whether devices keep a task: a shard is a part of one."""
    return task is not None and "shard" not in task.spec


def _subject(task: Task) -> TaskSubject:
    return TaskSubject(task.owner, task.holder, project_of(task), labels_of(task.spec.get("labels")))


SYNC_ANSWERS: Answerers = {
    q.DeviceBoard: _device_board,
    q.FollowedRows: _followed_rows,
    q.ScopeRows: _scope_rows,
}
SYNC_STEPS: Steppers = {q.ScopeRows: scope_rows}
