"""Placement in JSON: distributions and explanations."""

from __future__ import annotations

from typing import Annotated, Any, Required

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, with_config
from typing_extensions import TypedDict

from helix_ray.core.spec_shape import CAPABILITIES_MAX
from helix_ray.wire.runs import given
from helix_ray.wire.times import iso, iso_or_none
from helix_ray.wire.values import Id, Word, adapter, strict

CLOSED = ConfigDict(extra="forbid")
NODES_MAX = 100_000


@with_config(
    strict(
        task_id="task-456",
        distribution_strategy="round_robin",
        required_capabilities=["gpu", "ai_acceleration"],
    )
)
class DistributeIn(TypedDict, total=False):
    """A task to start now, on nodes chosen by a strategy; with `dry_run` the answer only says where."""

    task_id: Required[Id]
    # The error for an unknown name lists the known ones.
    distribution_strategy: Annotated[str, Field(max_length=64)] | None
    required_capabilities: Annotated[list[Word], Field(max_length=CAPABILITIES_MAX)] | None
    max_nodes: Annotated[int, Field(ge=1, le=NODES_MAX)] | None
    dry_run: bool | None


class UnmetConstraintOut(BaseModel):
    """One dimension in which a task does not fit on a node: for ever (`never`) or for now (`waiting`)."""

    model_config = CLOSED

    dimension: str = Field(examples=["resources.gpu", "labels.zone", "capabilities.npu", "node"])
    asked: JsonValue
    has: JsonValue
    deficit: float | None
    kind: str = Field(examples=["never", "waiting"])


class NodeVerdict(BaseModel):
    """The unmet constraints on one node; none where the task fits."""

    model_config = CLOSED

    node: str
    verdict: str = Field(examples=["fits", "waiting", "never"])
    failing: list[UnmetConstraintOut]


class ReasonCount(BaseModel):
    """How many nodes a constraint excludes."""

    model_config = CLOSED

    dimension: str
    kind: str
    nodes: int


class Change(BaseModel):
    """One part of the smallest change that would place the task now."""

    model_config = ConfigDict(extra="allow")

    change: str = Field(
        examples=["reduce", "drop_label", "drop_capability", "fewer_shards", "raise_quota", "undrain"]
    )


class ExpectedFree(BaseModel):
    """The node that is expected to have room first, in how many seconds, and what it lacks until then."""

    model_config = CLOSED

    node: str
    in_s: float
    missing: dict[str, float]


class DistributeOut(BaseModel):
    """Where a task was placed or already runs, or why it does not fit. In a dry run
    `assigned_nodes` is where it would go."""

    model_config = CLOSED

    distributed: bool
    already_running: bool
    assigned_nodes: list[str]
    estimated_completion: str | None
    estimated_completion_p90: str | None
    estimated_completion_reason: str | None
    strategy: str
    dry_run: bool
    fits: bool
    # Shards that do not fit yet; the scheduler places them later.
    shards_waiting: int = 0
    summary: str | None = None
    reasons: list[ReasonCount] | None = None
    nodes: list[NodeVerdict] | None = None
    change: list[Change] | None = None
    change_node: str | None = None
    expected_free: ExpectedFree | None = None


class Preempts(BaseModel):
    """The tasks that the task would preempt."""

    model_config = CLOSED

    node: str
    tasks: list[str]


class WaitOut(BaseModel):
    """A reason why tasks of this class have waited, and when, since the master's last start."""

    model_config = CLOSED

    reason: str = Field(examples=["no_room", "quota", "held"])
    since: str
    until: str


class ExplainOut(BaseModel):
    """The explanation of a task. Fields about placement are present while it is pending."""

    model_config = CLOSED

    id: str
    status: str
    assigned_worker: str | None
    verdict: str = Field(
        examples=["placeable", "waiting", "never", "quota", "no_nodes", "dependencies", "delayed", "running"]
    )
    summary: str
    nodes: list[NodeVerdict]
    nodes_total: int
    reasons: list[ReasonCount]
    change: list[Change] | None
    change_node: str | None = None
    expected_free: ExpectedFree | None = None
    preempts: Preempts | None = None
    holds: list[str] | None = None
    queued_ahead: int | None = None
    estimated_start: str | None = None
    estimated_completion: str | None = None
    estimated_completion_p90: str | None = None
    history: list[WaitOut] | None = None
    waits_for: list[str] | None = None
    not_before: str | None = None


DISTRIBUTE = adapter(Annotated[DistributeIn, AfterValidator(given)])
_EXPLAIN_TIMES = ("estimated_start", "estimated_completion", "estimated_completion_p90", "not_before")


def estimates_out(view: dict[str, Any]) -> dict[str, Any]:
    """Return the estimated end of a distributed task, for an answer."""
    return {
        "estimated_completion": iso_or_none(view.get("estimated_completion")),
        "estimated_completion_p90": iso_or_none(view.get("estimated_completion_p90")),
        "estimated_completion_reason": view.get("estimate_missing") or view.get("estimate_basis"),
    }


def plan_fields(plan: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a plan other than its nodes; a receipt stores them, so that a
    repeated answer is equal."""
    return {
        **estimates_out(plan),
        "strategy": plan["strategy"],
        "shards_waiting": plan["shards_waiting"],
    }


def distributed_out(data: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to a distribution that was carried out, from its receipt's data."""
    rest = {name: value for name, value in data.items() if name not in ("id", "assigned_nodes")}
    return _placed(data["assigned_nodes"], rest, distributed=True)


def running_out(plan: dict[str, Any], *, dry_run: bool) -> dict[str, Any]:
    """Return the answer for a task that already runs."""
    shown = _placed(plan["assigned_nodes"], plan_fields(plan), distributed=True)
    return {**shown, "already_running": True, "dry_run": dry_run}


def planned_out(plan: dict[str, Any]) -> dict[str, Any]:
    """Return the answer for a plan: where a task would go."""
    nodes = list(dict.fromkeys(node_id for _, node_id in plan["pairs"]))
    return {**_placed(nodes, plan_fields(plan), distributed=False), "dry_run": True}


def _placed(nodes: list[str], rest: dict[str, Any], *, distributed: bool) -> dict[str, Any]:
    return {
        "distributed": distributed,
        "already_running": False,
        "assigned_nodes": nodes,
        **rest,
        "dry_run": False,
        "fits": True,
    }


def refused_out(plan: dict[str, Any], *, dry_run: bool) -> dict[str, Any]:
    """Return the answer for a task that does not fit, with the reasons."""
    return {
        "distributed": False,
        "already_running": False,
        "assigned_nodes": [],
        "estimated_completion": None,
        "estimated_completion_p90": None,
        "estimated_completion_reason": "it does not fit now",
        "strategy": plan["strategy"],
        "dry_run": dry_run,
        "fits": False,
        **{
            name: plan[name]
            for name in ("summary", "reasons", "nodes", "change", "change_node", "expected_free")
        },
    }


def explain_out(view: dict[str, Any]) -> dict[str, Any]:
    """Return an explanation with ISO times."""
    shown = {**view, **{name: iso_or_none(view[name]) for name in _EXPLAIN_TIMES if name in view}}
    if "history" in view:
        shown["history"] = [
            {**wait, "since": iso(wait["since"]), "until": iso(wait["until"])} for wait in view["history"]
        ]
    return shown
