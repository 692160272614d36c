"""The tasks that are made for models: the examination of a version, its tuning on a class of nodes, and what
is concluded from each when it has ended.

Both are tasks like any other, with the owner and the project of the version: they have a log, can be
explained and cancelled, are done again after a lost node, and yield to what is more urgent. Only this module
makes them. A task that was retried by hand is concluded again, as long as nothing is known.
"""

from __future__ import annotations

from typing import Any

from helix_ray.core.decide.outcome import Context, Decider, Decision
from helix_ray.core.decide.quotas import refuse_full_queue, refuse_over_quota
from helix_ray.core.device_usage import logical_resources
from helix_ray.core.errors import Rejected, conflict, not_found
from helix_ray.core.events import (
    Event,
    ModelActivated,
    ModelTuned,
    ModelTuningBegun,
    ModelVersionExamined,
    TaskSubmitted,
)
from helix_ray.core.lifecycle import TERMINAL, Status
from helix_ray.core.model_records import FileRef
from helix_ray.core.model_reports import choices_of, file_of, report_of
from helix_ray.core.models import (
    NODE_CLASS_LABEL,
    ModelRecord,
    ModelTask,
    ModelVersion,
    reference,
    tuning_again_after_s,
)
from helix_ray.core.orders import ConcludeModelTask, SubmitTuning
from helix_ray.core.orders.kind import NoData
from helix_ray.core.specs import ExaminationRun, Run, TaskSpec, TuningRun
from helix_ray.core.state import Task, class_of

TASK_TYPE = "building"
# Fetching the files comes before the examination's own time.
FETCH_S_MAX = 300.0
REASON_CHARS_MAX = 1_000


def examination(body: Any, number: int, ctx: Context) -> TaskSpec:
    """Return the task that examines a version (`body`: its PushModel)."""
    policy = ctx.policy
    files = [each for each in (body.file, body.calibration, body.heldout) if each is not None]
    run: ExaminationRun = {
        "kind": "examination",
        "model": body.name,
        "version": number,
        "file": body.file["digest"],
        "calibration": _digest(body.calibration),
        "heldout": _digest(body.heldout),
        "files": files,
        "bounds": body.metadata.get("bounds", {}),
        "memory_mb": policy.examination_memory_mb,
        "time_limit_s": policy.examination_s_max,
    }
    title = f"examine {reference(body.name, number)}"
    spec = _spec(title, run, policy.examination_s_max, body.project_id)
    spec["resources"] = {"cpu": 1.0, "memory_mb": float(policy.examination_memory_mb)}
    return spec


def _tuning(model: ModelRecord, version: ModelVersion, node_class: str, ctx: Context) -> TaskSpec:
    files: list[FileRef] = [
        {"digest": each["digest"], "bytes": each["bytes"]} for each in version.variants() if each["digest"]
    ]
    # Rows that calibrated are no judges of accuracy; to compare one machine with another they are as good.
    rows = version.heldout or version.calibration
    if rows is not None:
        files.append(rows)
    run: TuningRun = {
        "kind": "tuning",
        "model": model.id,
        "version": version.number,
        "node_class": node_class,
        "variants": version.variants(),
        "inputs": list(version.report["inputs"]) if version.report is not None else [],
        "heldout": _digest(rows),
        "files": files,
        "bounds": version.metadata.get("bounds", {}),
        "time_limit_s": ctx.policy.tuning_s_max,
    }
    if version.report is not None:
        run["batch"] = version.report["batch"]
    title = f"tune {reference(model.id, version.number)} on {node_class}"
    spec = _spec(title, run, ctx.policy.tuning_s_max, model.project)
    spec["labels"] = {NODE_CLASS_LABEL: node_class}
    if _has_gpus(node_class, ctx):
        # A task that asks for no GPU sees none.
        spec["resources"] = {"cpu": 1.0, "gpu": 1.0}
    return spec


def _has_gpus(node_class: str, ctx: Context) -> bool:
    """Say whether the nodes of a class that live have GPUs; logical ones are none."""
    found = [
        worker
        for worker in ctx.state.workers.values()
        if worker.labels.get(NODE_CLASS_LABEL) == node_class and not worker.lost
    ]
    return bool(found) and all(
        (worker.resources.get("gpu") or 0.0) >= 1.0 and "gpu" not in logical_resources(worker.labels)
        for worker in found
    )


def _spec(title: str, run: Run, limit_s: float, project: str | None) -> TaskSpec:
    spec: TaskSpec = {
        "title": title,
        "type": TASK_TYPE,
        "priority": "low",
        "preemptible": True,
        "timeout_s": limit_s + FETCH_S_MAX,
        "run": run,
    }
    if project is not None:
        spec["project_id"] = project
    return spec


def _digest(file: FileRef | None) -> str | None:
    return None if file is None else file["digest"]


def no_room(spec: TaskSpec, owner: str, ctx: Context) -> Rejected | None:
    """Return why a task that is made cannot be queued at the moment; None when it can."""
    return refuse_full_queue(ctx, 1) or refuse_over_quota(ctx, class_of(spec, owner), 1)


def submit_tuning(body: SubmitTuning, ctx: Context) -> Decision[NoData] | Rejected:
    """Begin the tuning of a ready version: once for each class of nodes, and again where it has failed."""
    model = ctx.state.models.get(body.name)
    version = model.ready(body.version) if model is not None else None
    if model is None or version is None:
        return not_found("Model version", reference(body.name, body.version))
    if not version.wants_tuning(body.node_class, ctx.now) or _is_under_way(version, body.node_class, ctx):
        return Decision([], {})
    spec = _tuning(model, version, body.node_class, ctx)
    task_id = f"task-{ctx.order.seed}"
    if (refusal := no_room(spec, version.owner, ctx)) is not None:
        return refusal
    if task_id in ctx.state.tasks:
        return conflict("This task exists already", id=task_id)
    begun = ModelTuningBegun(model.id, version.number, body.node_class, task_id)
    return Decision([begun, TaskSubmitted(task_id, version.owner, spec, [])], {})


def _is_under_way(version: ModelVersion, node_class: str, ctx: Context) -> bool:
    """Say whether the task of a tuning that had failed was retried by hand."""
    known = version.tunings.get(node_class)
    task = None if known is None else ctx.state.tasks.get(known["task"])
    return task is not None and task.status not in TERMINAL


def conclude(body: ConcludeModelTask, ctx: Context) -> Decision[NoData]:
    """Record what an examination or a tuning found out, or that it found out nothing."""
    made = ctx.state.model_tasks.get(body.task_id)
    task = ctx.state.tasks.get(body.task_id)
    if made is None or (task is not None and task.status not in TERMINAL):
        return Decision([], {})
    model = ctx.state.models[made.model]
    events = _tuned(made, model, task) if made.node_class is not None else _examined(made, model, task)
    return Decision(events, {})


def _examined(made: ModelTask, model: ModelRecord, task: Task | None) -> list[Event]:
    version = model.versions[made.version]
    report = report_of(_result(task))
    if report is None:
        reason = _why_not(task, "examination")
        if (version.state, version.reason) == ("rejected", reason):
            return []
        return [ModelVersionExamined(model.id, version.number, "rejected", reason)]
    events: list[Event] = [
        ModelVersionExamined(model.id, version.number, report["state"], report["reason"], report)
    ]
    wanted = version.activate and (model.active or 0) < version.number
    if report["state"] == "ready" and (wanted or model.active is None):
        events.append(ModelActivated(model.id, version.number))
    return events


def _tuned(made: ModelTask, model: ModelRecord, task: Task | None) -> list[Event]:
    node_class = made.node_class or ""
    known = model.versions[made.version].tunings[node_class]
    result = _result(task)
    choices = choices_of(result)
    if choices is None:
        reason = _why_not(task, "tuning")
        if (known["state"], known["reason"]) == ("failed", reason):
            return []
        # What a user has cancelled or deleted is left alone, and a report that cannot be read stays so.
        has_failed = task is not None and task.status is Status.FAILED
        after_s = tuning_again_after_s(known["tries"]) if has_failed else None
        return [ModelTuned(model.id, made.version, node_class, "failed", reason, again_after_s=after_s)]
    machine = result["machine"] if isinstance(result.get("machine"), dict) else {}
    evidence = file_of(result.get("evidence"))
    return [ModelTuned(model.id, made.version, node_class, "tuned", None, choices, machine, evidence)]


def _result(task: Task | None) -> Any:
    return task.result if task is not None and task.status is Status.COMPLETED else None


def _why_not(task: Task | None, what: str) -> str:
    """Say why an examination or a tuning found out nothing."""
    if task is None:
        return f"its {what} was deleted"
    if task.status is Status.CANCELLED:
        return f"its {what} was cancelled"
    if task.status is Status.COMPLETED:
        return f"the report of its {what} cannot be read"
    error = task.error or {}
    said = f"{error.get('reason') or 'failed'}: {error.get('message') or ''}"
    return f"its {what} failed: {said}"[:REASON_CHARS_MAX].rstrip(": ")


MODEL_TASK_ORDERS: dict[type, Decider] = {SubmitTuning: submit_tuning, ConcludeModelTask: conclude}
