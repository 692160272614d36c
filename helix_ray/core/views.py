"""Objects of the state as plain JSON values, for answers. Times are epoch seconds."""

from __future__ import annotations

from typing import Any

from helix_ray.core.lifecycle import Status
from helix_ray.core.liveness import Pulse
from helix_ray.core.secrets import MASK
from helix_ray.core.state import ApiToken, Project, Session, State, Task, User, Worker

# Fields of a spec that a task's view shows unchanged.
SPEC_FIELDS = (
    "resources", "required_capabilities", "labels", "depends_on", "max_retries", "retry_backoff_s",
    "timeout_s",
    "deadline", "strategy", "preemptible", "shard",
)  # fmt: skip


def task_view(task: Task) -> dict[str, Any]:
    """Return one task."""
    spec = task.spec
    view: dict[str, Any] = {
        "id": task.id,
        "title": spec["title"],
        "description": spec.get("description"),
        "type": spec["type"],
        "priority": spec.get("priority", "normal"),
        "project_id": spec.get("project_id"),
        "status": task.status.value,
        "assigned_worker": task.worker,
        "progress": task.progress,
        "progress_note": task.note,
        "owner": task.owner,
        "holder": task.holder,
        "attempt": task.attempt,
        "failures": task.failures,
        "losses": task.losses,
        "preemptions": task.preemptions,
        "created_at": task.created_at,
        "updated_at": task.updated_at,
        "started_at": task.started_at,
        "finished_at": task.finished_at,
        "not_before": task.not_before or None,
        "waits_for": sorted(task.waits_for),
        "error": task.error,
        "run": shown_run(task.run),
    }
    shards = spec.get("shards")
    if shards is not None:
        done = shards["count"] if task.status is Status.COMPLETED else len(task.parts)
        view["shards"] = {"count": shards["count"], "gang": bool(shards.get("gang")), "completed": done}
    for name in SPEC_FIELDS:
        if name in spec:
            view[name] = spec[name]
    return view


def shown_run(run: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a run for display: without large parts (pickled payloads, inference inputs), and with
    masked environment values."""
    if run is None or run.keys().isdisjoint(("payload", "inputs", "env")):
        return run
    shown = {name: value for name, value in run.items() if name not in ("payload", "inputs")}
    if shown.get("env"):
        shown["env"] = dict.fromkeys(shown["env"], MASK)
    return shown


def task_line(task: Task) -> dict[str, Any]:
    """Return one task as a line of a listing."""
    spec = task.spec
    return {
        "id": task.id,
        "title": spec["title"],
        "status": task.status.value,
        "priority": spec.get("priority", "normal"),
        "type": spec["type"],
        "project_id": spec.get("project_id"),
        "assigned_worker": task.worker,
        "progress": task.progress,
        "created_at": task.created_at,
        "updated_at": task.updated_at,
        "seq": task.seq,
    }


def result_view(task: Task) -> dict[str, Any]:
    """Return a finished task's outcome."""
    return {
        "id": task.id,
        "status": task.status.value,
        "attempt": task.attempt,
        "assigned_worker": task.worker,
        "finished_at": task.finished_at,
        "result": task.result,
        "error": task.error,
        "owner": task.owner,
        "holder": task.holder,
        "project_id": task.spec.get("project_id"),
    }


def worker_view(worker: Worker, pulse: Pulse | None) -> dict[str, Any]:
    """Return one worker; `status` is lost, draining, busy or idle."""
    status = "busy" if worker.running else "idle"
    if worker.lost:
        status = "lost"
    elif worker.draining:
        status = "draining"
    return {
        "id": worker.id,
        "hostname": worker.hostname,
        "kind": worker.kind,
        "status": status,
        "last_heartbeat": pulse.wall if pulse is not None and pulse.wall else worker.registered_at,
        "capabilities": sorted(worker.capabilities),
        "resources": worker.resources,
        "usage": pulse.usage if pulse is not None else {},
        "labels": worker.labels,
        "node_id": worker.node_id,
        "registered_at": worker.registered_at,
        "running": sorted(worker.running)[:100],
        "running_total": len(worker.running),
        "tasks_completed": worker.completed,
        "tasks_failed": worker.failed,
    }


def user_view(user: User, *, secret: bool) -> dict[str, Any]:
    """Return one user; the password hash only when `secret`."""
    view: dict[str, Any] = {"id": user.id, "username": user.username, "roles": list(user.roles)}
    view["created_at"] = user.created_at
    if secret:
        view["password_hash"] = user.password_hash
    return view


def project_view(state: State, project: Project) -> dict[str, Any]:
    """Return one project with the names of its members."""
    names = sorted(state.users[user_id].username for user_id in project.members)
    return {"id": project.id, "name": project.name, "members": names, "created_at": project.created_at}


def session_view(session: Session) -> dict[str, Any]:
    """Return one session without its refresh hashes."""
    return {"id": session.id, "user_id": session.user_id, "expires_at": session.expires_at}


def token_view(token: ApiToken, user: User) -> dict[str, Any]:
    """Return one API token without its hash."""
    return {
        "id": token.id,
        "name": token.name,
        "user": user.username,
        "shown": token.shown,
        "roles": list(token.roles),
        "projects": None if token.projects is None else list(token.projects),
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "last_used_at": token.last_used_at,
    }
