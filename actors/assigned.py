"""What the control plane assigns to a node, in the form in which its state keeps it."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path

from helix_ray.config import Settings
from helix_ray.core.traceparent import attempt_span_id, parse
from helix_ray.core.views.attempts import AssignmentView
from helix_ray.execution.assignment import Assignment
from helix_ray.execution.runtime_env import runtime_env_of
from helix_ray.execution.slots import STOP_GRACE_S, Item
from helix_ray.execution.tenant import tenant_of, whom


def item_of(work: AssignmentView, log_dir: Path, settings: Settings, blobs_dir: Path) -> Item:
    """Return an assigned attempt; its log goes below `log_dir`, its blobs are in `blobs_dir`."""
    run, payload, environment = work["run"], None, None
    if run["kind"] == "function":
        run = run.copy()
        payload = run.pop("payload", None)
        environment = runtime_env_of(run.pop("runtime_env", None))
    blobs = tuple(work.get("blobs", ()))
    limits = [limit for limit in (work["timeout_s"], run.get("timeout_s")) if limit is not None]
    assignment = Assignment(
        work["task_id"],
        work["attempt"],
        run,
        min(limits, default=None),
        str(log_dir),
        b64decode(payload) if payload else None,
        work["shard"],
        settings.input_folders() if run["kind"] == "inference" else (),
        work["owner"],
        work["project"],
        work["mac"],
        blobs,
        # An inference may leave its result there.
        str(blobs_dir) if blobs or run["kind"] == "inference" else "",
        work.get("model_files"),
        _trace_of(work, settings),
    )
    group = work["group"]
    return Item(
        assignment=assignment,
        demand=group.demand,
        group=group,
        stop_grace_s=_stop_grace_s(assignment, settings),
        tenant=tenant_of(assignment, whom(work["owner"], work["project"]), environment),
    )


def _trace_of(work: AssignmentView, settings: Settings) -> str | None:
    """Return what the code of an attempt hands on: its own span, where that is exported."""
    given = work.get("traceparent")
    if given is None or not settings.otlp_endpoint:
        return given
    parent = parse(given)
    if parent is None or not parent.is_sampled:
        return given
    return parent.below(attempt_span_id(work["task_id"], work["attempt"])).text


def _stop_grace_s(assignment: Assignment, settings: Settings) -> float:
    """Return how long an attempt may take to end: for a command, what it has between its two signals
    comes first."""
    if not assignment.is_command:
        return STOP_GRACE_S
    own = assignment.run.get("kill_grace_s")
    grace_s = float(own) if isinstance(own, int | float) else settings.kill_grace_s
    return min(grace_s, settings.kill_grace_s_max) + STOP_GRACE_S
