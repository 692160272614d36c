"""Tasks: submit, read, list, change, delete, cancel, retry, result."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, cast

from fastapi import APIRouter, Query
from starlette.responses import Response

from helix_ray.core.decide.submit import task_ids
from helix_ray.core.errors import ErrorCode, Refused, Rejected, conflict
from helix_ray.core.orders import CancelTask, DeleteTask, RetryTask, SubmitTasks, UpdateTask
from helix_ray.core.questions import GetResult, GetTask, ListTasks, WaitTasks
from helix_ray.core.specs import TaskEdits, TaskError
from helix_ray.core.views.tasks import ResultView, is_away
from helix_ray.wire import task_answers as shapes
from helix_ray.wire.tasks import (
    EDITABLE,
    RETRY,
    TASK,
    TASK_UPDATE,
    ResultQuery,
    RetryIn,
    TaskFilters,
    TaskIn,
    TaskUpdateIn,
)
from helix_ray.wire.times import iso
from serve_app.answers import json_answer, no_content
from serve_app.bodies import Body, read
from serve_app.deps import Caller, SignedIn
from serve_app.openapi import verb
from serve_app.worker_certificates import certificates_of

router = APIRouter(prefix="/tasks", tags=["tasks"])

_AT_ONCE = ResultQuery()


@router.post("", **verb("SubmitTasks", body=TaskIn, answers=shapes.TaskCreated, status=201))
async def submit_task(caller: SignedIn) -> Response:
    """Submit a task; it is durable when the answer is sent."""
    sent = await read(caller.request)
    spec = sent.validated(TASK, "task")
    receipt = await caller.execute(SubmitTasks((spec,)), sent)
    data = receipt.data
    if data["rejected"]:
        code, message, details = data["rejected"]["0"]
        raise Refused(Rejected(ErrorCode(code), message, details))
    (task_id,) = task_ids(data["seed"], 1)
    answer = shapes.created(task_id, spec, bool(data["waiting"]), iso(data["created_at"]))
    return json_answer(answer, 201, receipt)


@router.get("/{task_id}", **verb("GetTask", answers=shapes.TaskOut))
async def get_task(task_id: str, caller: SignedIn) -> Response:
    """Return one task with all its fields."""
    return json_answer(shapes.task_out(await caller.query(GetTask(task_id))))


@router.get("", **verb("ListTasks", answers=shapes.TaskPage))
async def list_tasks(caller: SignedIn, filters: Annotated[TaskFilters, Query()]) -> Response:
    """List a page of the tasks that the caller may see, newest first."""
    question = ListTasks(
        status=filters.status,
        priority=filters.priority,
        type=filters.type,
        project_id=filters.project_id,
        assigned_worker=filters.assigned_worker,
        id_prefix=filters.id_prefix,
        since=filters.created_since,
        until=filters.created_until,
        limit=filters.limit,
        offset=filters.offset,
    )
    return json_answer(shapes.page_out(await caller.query(question)))


@router.put("/{task_id}", **verb("UpdateTask", body=TaskUpdateIn, answers=shapes.TaskUpdated))
async def update_task(task_id: str, caller: SignedIn) -> Response:
    """Report on a task, or change it; all given fields are applied, or none.

    The worker that runs a task reports progress and outcome; `attempt` and `worker_id` make
    sure that it still runs it.
    """
    sent = await read(caller.request)
    change = _update(task_id, sent.validated(TASK_UPDATE, "task"))
    if "worker" in caller.by.roles and not change.edits:
        change = replace(change, worker_id=certificates_of(caller).worker(caller, change.worker_id))
    return await _change(change, caller, sent)


async def _change(body: UpdateTask | CancelTask, caller: Caller, sent: Body) -> Response:
    receipt = await caller.execute(body, sent)
    return json_answer(shapes.updated(receipt.data), 200, receipt)


def _update(task_id: str, change: TaskUpdateIn) -> UpdateTask:
    return UpdateTask(
        task_id,
        status=change.get("status"),
        progress=change.get("progress"),
        result=change.get("result"),
        # The form has brought a bare sentence to this.
        error=cast("TaskError | None", change.get("error")),
        attempt=change.get("attempt"),
        worker_id=change.get("worker_id"),
        edits=cast("TaskEdits", {name: value for name, value in change.items() if name in EDITABLE}),
    )


@router.delete("/{task_id}", **verb("DeleteTask", status=204))
async def delete_task(task_id: str, caller: SignedIn) -> Response:
    """Delete a task. A running attempt is ended; tasks that depend on it fail."""
    return no_content(await caller.execute(DeleteTask(task_id)))


@router.post("/{task_id}/cancel", **verb("CancelTask", answers=shapes.TaskUpdated))
async def cancel_task(task_id: str, caller: SignedIn) -> Response:
    """Cancel an unfinished task; a task that is cancelled already stays as it is."""
    sent = await read(caller.request, optional=True)
    return await _change(CancelTask(task_id), caller, sent)


@router.post(
    "/{task_id}/retry", **verb("RetryTask", body=RetryIn, body_required=False, answers=shapes.TaskRetried)
)
async def retry_task(task_id: str, caller: SignedIn) -> Response:
    """Queue a failed or cancelled task again with a new count of retries, however long ago it ended.

    With `dependants` the tasks that failed because of it are queued as well, and wait for it again.
    """
    sent = await read(caller.request, optional=True)
    dependants = sent.validated(RETRY, "retry").get("dependants", False)
    receipt = await caller.execute(RetryTask(task_id, dependants), sent)
    return json_answer(shapes.retried(receipt.data), 200, receipt)


async def _ended(task_id: str, caller: Caller, wait_s: float) -> ResultView | None:
    """Return the outcome of a task that ends within the wait, unless nodes may have its result, or a
    shard's."""
    done = (await caller.query(WaitTasks((task_id,)), wait_s))["done"]
    await caller.renew()
    return None if not done or is_away(done[0]["result"]) else done[0]


@router.get("/{task_id}/result", **verb("GetResult", answers=shapes.ResultOut))
async def get_result(
    task_id: str, caller: SignedIn, query: Annotated[ResultQuery, Query()] = _AT_ONCE
) -> Response:
    """Return the result of a finished task; CONFLICT if it is still unfinished after `wait_s` seconds."""
    view = await _ended(task_id, caller, query.wait_s) if query.wait_s else None
    if view is None:
        view = await caller.query(GetResult(task_id, json_only=True))
    if shapes.is_pickled(view):
        message = "The result is a Python object and can be read only inside the cluster"
        raise Refused(conflict(message, id=task_id, status=view["status"]))
    return json_answer(shapes.result_out(view))
