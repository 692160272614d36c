"""Placement in JSON: distributions and explanations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, NotRequired, Required, cast

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, with_config
from typing_extensions import TypedDict

from helix_ray.core.orders.placement import DistributedData, PlannedData
from helix_ray.core.spec_shape import CAPABILITIES_MAX
from helix_ray.core.specs import Priority
from helix_ray.core.views.placement import ExplainView, NoPlaceView, PlanFields, PlannedView, RunsView
from helix_ray.wire.runs import given
from helix_ray.wire.times import iso, iso_or_none
from helix_ray.wire.values import CLOSED, Id, Word, adapter, strict

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


@with_config(CLOSED)
class UnmetConstraintOut(TypedDict):
    """One dimension in which a task does not fit on a node: for ever (`never`) or for now (`waiting`)."""

    dimension: Annotated[str, Field(examples=["resources.gpu", "labels.zone", "capabilities.npu", "node"])]
    asked: str | float | bool
    has: str | float | bool | None
    deficit: float | None
    kind: Annotated[str, Field(examples=["never", "waiting"])]


@with_config(CLOSED)
class DeviceLoad(TypedDict):
    """How busy a device is, and was in the last five minutes, in percent; null where that is unknown."""

    kind: str
    index: int
    name: str | None
    utilization: float | None
    utilization_5m: float | None
    reason: str | None
    memory_used_mb: int | None
    memory_total_mb: int | None


@with_config(CLOSED)
class NodeVerdict(TypedDict):
    """The unmet constraints on one node; none where the task fits. `devices` of a task that asks for some."""

    node: str
    verdict: Annotated[str, Field(examples=["fits", "waiting", "never"])]
    failing: list[UnmetConstraintOut]
    devices: NotRequired[list[DeviceLoad]]


@with_config(CLOSED)
class ReasonCount(TypedDict):
    """How many nodes a constraint excludes."""

    dimension: str
    kind: str
    nodes: int


if TYPE_CHECKING:
    from helix_ray.core.placement.changes import Change
else:

    @with_config(ConfigDict(extra="allow"))
    class Change(TypedDict):
        """One part of the smallest change that would place the task now."""

        change: Annotated[
            str,
            Field(
                examples=["reduce", "drop_label", "drop_capability", "fewer_shards", "raise_quota", "undrain"]
            ),
        ]


@with_config(CLOSED)
class ExpectedFree(TypedDict):
    """The node that is expected to have room first, and what it lacks until then.

    `in_s` is null where what runs there should have ended `overrun_s` seconds ago.
    """

    node: str
    in_s: float | None
    missing: dict[str, float]
    overrun_s: float


@with_config(CLOSED)
class DistributeOut(TypedDict):
    """Where a task was placed or already runs, or why it does not fit. In a dry run
    `assigned_nodes` is where it would go."""

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
    shards_waiting: NotRequired[int]
    summary: NotRequired[str | None]
    reasons: NotRequired[list[ReasonCount] | None]
    nodes: NotRequired[list[NodeVerdict] | None]
    change: NotRequired[list[Change] | None]
    change_node: NotRequired[str | None]
    expected_free: NotRequired[ExpectedFree | None]


@with_config(CLOSED)
class Preempts(TypedDict):
    """The tasks that the task would preempt."""

    node: str
    tasks: list[str]


@with_config(CLOSED)
class WaitOut(TypedDict):
    """A reason why tasks of this class have waited, and when, since the master's last start."""

    reason: Annotated[str, Field(examples=["no_room", "quota", "held"])]
    since: str
    until: str


@with_config(CLOSED)
class Inherited(TypedDict):
    """The priority that a task inherits, and the task that waits for it."""

    priority: Priority
    task: str


@with_config(CLOSED)
class ExplainOut(TypedDict):
    """The explanation of a task. Fields about placement are present while it is pending."""

    id: str
    status: str
    assigned_worker: str | None
    verdict: Annotated[
        str,
        Field(
            examples=[
                "placeable",
                "waiting",
                "never",
                "quota",
                "no_nodes",
                "dependencies",
                "delayed",
                "blocked",
                "running",
            ]
        ),
    ]
    summary: str
    nodes: list[NodeVerdict]
    nodes_total: int
    reasons: list[ReasonCount]
    change: list[Change] | None
    change_node: NotRequired[str | None]
    expected_free: NotRequired[ExpectedFree | None]
    preempts: NotRequired[Preempts | None]
    holds: NotRequired[list[str] | None]
    queued_ahead: NotRequired[int | None]
    estimated_start: NotRequired[str | None]
    estimated_completion: NotRequired[str | None]
    estimated_completion_p90: NotRequired[str | None]
    history: NotRequired[list[WaitOut] | None]
    waits_for: NotRequired[list[str] | None]
    blocked_on: NotRequired[list[str] | None]
    inherits: NotRequired[Inherited | None]
    not_before: NotRequired[str | None]


DISTRIBUTE: TypeAdapter[DistributeIn] = adapter(Annotated[DistributeIn, AfterValidator(given)])
_EXPLAIN_TIMES: tuple[
    Literal["estimated_start", "estimated_completion", "estimated_completion_p90", "not_before"], ...
] = ("estimated_start", "estimated_completion", "estimated_completion_p90", "not_before")


def plan_fields(plan: PlannedView | RunsView) -> PlanFields:
    """Return the fields of a plan other than its nodes; a receipt stores them, so that a
    repeated answer is equal."""
    return {
        "estimated_completion": iso_or_none(plan["estimated_completion"]),
        "estimated_completion_p90": iso_or_none(plan["estimated_completion_p90"]),
        "estimated_completion_reason": plan["estimate_missing"] or plan["estimate_basis"],
        "strategy": plan["strategy"],
        "shards_waiting": plan["shards_waiting"],
    }


def distributed_out(data: DistributedData) -> DistributeOut:
    """Return the answer to a distribution that was carried out with a plan, from its receipt's data."""
    return _placed(data["assigned_nodes"], cast("PlannedData", data))


def running_out(plan: RunsView, *, dry_run: bool) -> DistributeOut:
    """Return the answer for a task that already runs."""
    answer = _placed(plan["assigned_nodes"], plan_fields(plan))
    answer["already_running"], answer["dry_run"] = True, dry_run
    return answer


def planned_out(plan: PlannedView) -> DistributeOut:
    """Return the answer for a plan: where a task would go."""
    nodes = list(dict.fromkeys(node_id for _, node_id in plan["pairs"]))
    answer = _placed(nodes, plan_fields(plan))
    answer["distributed"], answer["dry_run"] = False, True
    return answer


def _placed(nodes: list[str], rest: PlanFields) -> DistributeOut:
    return {
        "distributed": True,
        "already_running": False,
        "assigned_nodes": nodes,
        "estimated_completion": rest["estimated_completion"],
        "estimated_completion_p90": rest["estimated_completion_p90"],
        "estimated_completion_reason": rest["estimated_completion_reason"],
        "strategy": rest["strategy"],
        "shards_waiting": rest["shards_waiting"],
        "dry_run": False,
        "fits": True,
    }


def refused_out(plan: NoPlaceView, *, dry_run: bool) -> DistributeOut:
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
        "summary": plan["summary"],
        "reasons": plan["reasons"],
        "nodes": plan["nodes"],
        "change": plan["change"],
        "change_node": plan["change_node"],
        "expected_free": plan["expected_free"],
    }


def explain_out(view: ExplainView) -> ExplainOut:
    """Return an explanation with ISO times."""
    shown: dict[str, object] = {**view}
    for name in _EXPLAIN_TIMES:
        if name in view:
            shown[name] = iso_or_none(view[name])
    if "history" in view:
        shown["history"] = [
            {**wait, "since": iso(wait["since"]), "until": iso(wait["until"])} for wait in view["history"]
        ]
    return cast("ExplainOut", shown)
