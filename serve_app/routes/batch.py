"""Many tasks in one request: each is accepted or refused separately, and the answers keep the order.

A batch goes to the control plane as orders of at most ORDER_TASKS_MAX tasks (shards and dependencies count,
see helix_ray/core/weight.py), each of which is durable separately. Only a batch whose tasks refer to each
other (`"#3"`) is a single order, limited by batch_linked_tasks_max including shards; every batch is limited
by batch_dependencies_max.

Work on each task is done SLICE_TASKS at a time, so that other requests run in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from pydantic import ValidationError
from starlette.responses import Response

from helix_ray.config import Settings
from helix_ray.core.decide.submit import task_ids
from helix_ray.core.errors import ErrorCode, Refused, Rejected, invalid
from helix_ray.core.orders import Order, Receipt, SubmitTasks
from helix_ray.core.orders.tasks import SubmittedData
from helix_ray.core.specs import TaskSpec
from helix_ray.core.weight import BYTES_PER_TASK, links_of, tasks_and_bytes_of, weight_of_spec
from helix_ray.wire import task_answers as shapes
from helix_ray.wire.tasks import TASK, BatchIn
from helix_ray.wire.times import iso
from serve_app.answers import json_answer
from serve_app.bodies import read, refusal
from serve_app.deps import Caller, SignedIn
from serve_app.openapi import verb

ORDER_TASKS_MAX = 500
SLICE_TASKS = 200
# Placeholder for a task that failed validation, so that the others keep their numbers; the core refuses it.
REFUSED_SPEC: TaskSpec = {}

router = APIRouter(prefix="/tasks", tags=["tasks"])

Specs = list[TaskSpec]
Entry = shapes.TaskCreated | shapes.TaskRefused
Answer = Receipt[SubmittedData] | Rejected


_DESCRIBED = verb("SubmitTasks", body=BatchIn, answers=shapes.BatchOut, status=201)
_DESCRIBED["responses"][200] = {"model": shapes.BatchOut, "description": "No task was accepted"}


@router.post("/batch", **_DESCRIBED)
async def submit_batch(caller: SignedIn) -> Response:
    """Submit tasks. Each entry of the answer is the task, or `{"error": ...}`; 200 when none was accepted."""
    sent = await read(caller.request)
    settings = caller.services.settings
    specs, refused = await _validated(_tasks_of(sent.value, settings.batch_tasks_max))
    chunks = _chunks(specs, settings)
    orders = [
        caller.order(SubmitTasks(tuple(chunk)), sent, part=str(i) if i else "")
        for i, chunk in enumerate(chunks)
    ]
    answers = await _carry_out(caller, orders)
    entries: list[Entry] = []
    for chunk, answer in zip(chunks, answers, strict=True):
        entries.extend(_entries(chunk, answer))
        await asyncio.sleep(0)
    for i, rejected in refused.items():
        entries[i] = _error(rejected)
    accepted = sum("id" in entry for entry in entries)
    body: shapes.BatchOut = {"tasks": entries, "accepted": accepted, "rejected": len(entries) - accepted}
    receipts = [answer for answer in answers if isinstance(answer, Receipt)]
    last = max(receipts, key=lambda receipt: receipt.seq, default=None)
    return json_answer(body, 201 if accepted else 200, last)


def _tasks_of(value: Any, tasks_max: int) -> list[Any]:
    """Return the tasks of a batch as they were sent; raise Refused for anything but {"tasks": [...]}."""
    if not isinstance(value, dict):
        raise Refused(invalid("Invalid request body", field="body"))
    for name in value:
        if name != "tasks":
            raise Refused(invalid("Unknown batch field", field=name[:128]))
    tasks = value.get("tasks")
    if tasks is None:
        raise Refused(invalid("The field tasks is missing", field="tasks"))
    if not isinstance(tasks, list) or not 1 <= len(tasks) <= tasks_max:
        raise Refused(invalid("Invalid batch tasks", field="tasks", tasks_min=1, tasks_max=tasks_max))
    return tasks


async def _validated(tasks: Sequence[Any]) -> tuple[Specs, dict[int, Rejected]]:
    """Return a spec for every task, and the refusals by number."""
    specs: Specs = []
    refused: dict[int, Rejected] = {}
    validate = TASK.validate_python
    for i, task in enumerate(tasks):
        if i % SLICE_TASKS == SLICE_TASKS - 1:
            await asyncio.sleep(0)
        try:
            specs.append(validate(task))
        except ValidationError as error:
            refused[i] = refusal(error, "task", task)
            specs.append(REFUSED_SPEC)
    return specs, refused


def _chunks(specs: Specs, settings: Settings) -> list[Specs]:
    """Return the specs of each order; raise Refused where the whole batch is too large."""
    linked = sum(map(links_of, specs))
    if linked > settings.batch_dependencies_max:
        details = {"dependencies": linked, "dependencies_max": settings.batch_dependencies_max}
        raise Refused(invalid("The batch has too many dependencies", field="tasks", **details))
    if any(name.startswith("#") for spec in specs for name in spec.get("depends_on") or ()):
        count = sum(map(tasks_and_bytes_of, specs))
        if count > settings.batch_linked_tasks_max:
            most = settings.batch_linked_tasks_max
            details = {"tasks": count, "tasks_max": most, "bytes_per_task": BYTES_PER_TASK}
            message = "The batch is too large: tasks that depend on each other must fit in one order"
            raise Refused(invalid(message, field="tasks", **details))
        return [specs]
    chunks: list[Specs] = []
    room = 0
    for spec in specs:
        weight = weight_of_spec(spec)
        if weight > room:
            chunks.append([])
            room = ORDER_TASKS_MAX
        chunks[-1].append(spec)
        room -= weight
    return chunks


async def _carry_out(caller: Caller, orders: Sequence[Order[SubmittedData]]) -> list[Answer]:
    """Carry out the orders of a batch; raise Refused when its idempotency key belongs to another request, or
    when none of them can be carried out now.

    With a key the first order is sent alone: if the key belongs to another request, nothing else must happen.
    """
    execute = caller.services.control.execute
    ahead = 1 if caller.is_keyed else 0
    answers = [await execute(order) for order in orders[:ahead]]
    for answer in answers:
        if isinstance(answer, Rejected) and answer.code is ErrorCode.CONFLICT:
            raise Refused(answer)
    answers += await asyncio.gather(*(execute(order) for order in orders[ahead:]))
    refused = [answer for answer in answers if isinstance(answer, Rejected)]
    away = [rejected for rejected in refused if rejected.code is ErrorCode.SERVICE_UNAVAILABLE]
    if len(answers) == 1 and refused:
        raise Refused(refused[0])
    if len(away) == len(answers):
        raise Refused(away[0])
    return answers


def _entries(specs: Specs, answer: Answer) -> list[Entry]:
    """Return the entries of the answer for the tasks of one order."""
    if isinstance(answer, Rejected):
        return [_error(answer)] * len(specs)
    data = answer.data
    rejected, waiting = data["rejected"], frozenset(data["waiting"])
    created_at = iso(data["created_at"])
    return [
        _error(Rejected(ErrorCode(reason[0]), reason[1], reason[2]))
        if (reason := rejected.get(str(i))) is not None
        else shapes.created(task_id, spec, i in waiting, created_at)
        for i, (task_id, spec) in enumerate(zip(task_ids(data["seed"], len(specs)), specs, strict=True))
    ]


def _error(rejected: Rejected) -> shapes.TaskRefused:
    return {"error": {"code": rejected.code, "message": rejected.message, "details": rejected.details}}
