"""Workers: external ones register and send heartbeats; all can be listed, read, drained and removed."""

from __future__ import annotations

from typing import cast

from fastapi import APIRouter
from starlette.responses import Response

from helix_ray.core.orders import DrainWorker, Heartbeat, RegisterWorker, RemoveWorker
from helix_ray.core.questions import GetWorker, ListWorkers
from helix_ray.core.specs import Usage
from helix_ray.wire import workers as shapes
from helix_ray.wire.times import iso
from serve_app.answers import json_answer, no_content
from serve_app.bodies import read
from serve_app.deps import SignedIn
from serve_app.edge import state
from serve_app.openapi import verb
from serve_app.worker_certificates import certificates_of

router = APIRouter(prefix="/workers", tags=["workers"])


@router.post("/register", **verb("RegisterWorker", body=shapes.WorkerIn, answers=shapes.WorkerRegisteredOut))
async def register_worker(caller: SignedIn) -> Response:
    """Register a worker. With a `worker_id` it returns as the same worker; with another
    `boot` it has lost its tasks."""
    sent = await read(caller.request)
    worker = sent.validated(shapes.WORKER, "worker")
    certificates = certificates_of(caller)
    worker_id = certificates.worker(caller, worker.get("worker_id"))
    shown = certificates.shown(caller)
    body = RegisterWorker(
        worker["hostname"],
        tuple(worker["capabilities"]),
        worker.get("resources") or {},
        worker_id=worker_id,
        boot=worker.get("boot") or "",
        labels=worker.get("labels") or {},
        certificate=None if shown is None else {"subject": shown.subject, "fingerprint": shown.fingerprint},
    )
    receipt = await caller.execute(body, sent)
    answer = {
        "worker_id": receipt.data["worker_id"],
        "registered_at": iso(receipt.data["registered_at"]),
    }
    return json_answer(answer, 200, receipt)


@router.post("/heartbeat", **verb("Heartbeat", body=shapes.HeartbeatIn, answers=shapes.HeartbeatOut))
async def send_heartbeat(caller: SignedIn) -> Response:
    """Send a heartbeat; an idle worker may be assigned a task. Silence ends the lease; `next_heartbeat_s`
    says when the next heartbeat is due."""
    sent = await read(caller.request)
    beat = sent.validated(shapes.HEARTBEAT, "heartbeat")
    certificates_of(caller).worker(caller, beat["worker_id"])
    body = Heartbeat(
        beat["worker_id"],
        beat.get("status"),
        current_task=beat.get("current_task"),
        usage=cast("Usage", beat.get("resources") or {}),
        boot=beat.get("boot"),
    )
    receipt = await caller.execute(body, sent)
    allowance = caller.request.scope["state"][state.ALLOWANCE]
    lease_s = caller.services.settings.lease_s
    return json_answer(shapes.heartbeat_out(receipt.data, lease_s, allowance), 200, receipt)


@router.get("", **verb("ListWorkers", answers=shapes.WorkersOut))
async def list_workers(caller: SignedIn) -> Response:
    """List all workers: the nodes of the cluster and external ones."""
    answer = await caller.query(ListWorkers())
    return json_answer({"workers": [shapes.worker_out(worker) for worker in answer["workers"]]})


@router.get("/{worker_id}", **verb("GetWorker", answers=shapes.WorkerOut))
async def get_worker(worker_id: str, caller: SignedIn) -> Response:
    """Return one worker."""
    return json_answer(shapes.worker_out(await caller.query(GetWorker(worker_id))))


@router.delete("/{worker_id}", **verb("RemoveWorker", status=204))
async def remove_worker(worker_id: str, caller: SignedIn) -> Response:
    """Remove a worker; its tasks are queued again. A live node must first be drained and idle."""
    return no_content(await caller.execute(RemoveWorker(worker_id)))


@router.post(
    "/{worker_id}/drain",
    **verb("DrainWorker", body=shapes.DrainIn, body_required=False, answers=shapes.DrainOut),
)
async def drain_worker(worker_id: str, caller: SignedIn) -> Response:
    """Drain a worker, or undrain it with `{"draining": false}`; running tasks finish."""
    sent = await read(caller.request, optional=True)
    draining = sent.validated(shapes.DRAIN, "worker").get("draining", True)
    receipt = await caller.execute(DrainWorker(worker_id, draining), sent)
    return json_answer(receipt.data, 200, receipt)
