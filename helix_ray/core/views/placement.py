"""Where tasks go, and why, as questions are answered with it."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from helix_ray.core.placement.changes import Change
from helix_ray.core.placement.unmet_constraints import UnmetView
from helix_ray.core.specs import Priority


class DeviceLoadView(TypedDict):
    """How busy a device is and was in the last five minutes, in percent."""

    kind: str
    index: int
    name: str | None
    utilization: float | None
    utilization_5m: float | None
    reason: str | None
    memory_used_mb: int | None
    memory_total_mb: int | None


class NodeVerdictView(TypedDict):
    """What is in the way on one node; nothing where it fits. `devices` of a task that asks for some."""

    node: str
    verdict: str
    failing: list[UnmetView]
    devices: NotRequired[list[DeviceLoadView]]


class ReasonView(TypedDict):
    """How many nodes fail in a dimension."""

    dimension: str
    kind: str
    nodes: int


class FreeingView(TypedDict):
    """Which node is expected to have room first, and what it lacks until then.

    `in_s` is null where what runs there should have ended `overrun_s` seconds ago.
    """

    node: str
    in_s: float | None
    missing: dict[str, float]
    overrun_s: float


class PreemptsView(TypedDict):
    """Whose place a task would take."""

    node: str
    tasks: list[str]


class WaitView(TypedDict):
    """A reason why tasks of a class waited, and when."""

    reason: str
    since: float
    until: float


class StartView(TypedDict):
    """When a task is expected to start and to end: the median, and the 90th percentile."""

    estimated_start: float | None
    estimated_completion: float | None
    estimated_completion_p90: float | None


class InheritedView(TypedDict):
    """A priority that a task inherits, and the task that waits for it."""

    priority: Priority
    task: str


class ExplainView(TypedDict):
    """Why a task is where it is; what only pending, waiting or delayed tasks have may be missing."""

    id: str
    status: str
    assigned_worker: str | None
    verdict: str
    summary: str
    nodes: list[NodeVerdictView]
    nodes_total: int
    reasons: list[ReasonView]
    change: list[Change] | None
    change_node: NotRequired[str | None]
    expected_free: NotRequired[FreeingView | None]
    preempts: NotRequired[PreemptsView | None]
    holds: NotRequired[list[str]]
    queued_ahead: NotRequired[int]
    estimated_start: NotRequired[float | None]
    estimated_completion: NotRequired[float | None]
    estimated_completion_p90: NotRequired[float | None]
    history: NotRequired[list[WaitView]]
    waits_for: NotRequired[list[str]]
    blocked_on: NotRequired[list[str]]
    inherits: NotRequired[InheritedView]
    not_before: NotRequired[float]


class EstimateBasis(TypedDict):
    """From what an estimate is known, or why there is none."""

    estimate_basis: str | None
    estimate_missing: str | None


class EstimateView(EstimateBasis):
    """When a distributed task will be done."""

    estimated_completion: float | None
    estimated_completion_p90: float | None


class PlanFields(TypedDict):
    """What the answer to a distribution says beside the nodes; its receipt keeps it. Times are ISO 8601."""

    estimated_completion: str | None
    estimated_completion_p90: str | None
    estimated_completion_reason: str | None
    strategy: str
    shards_waiting: int


class PlannedView(EstimateView):
    """Where a task would go: (task, node) of each that has room."""

    kind: Literal["planned"]
    id: str
    strategy: str
    pairs: list[tuple[str, str]]
    shards_waiting: int


class RunsView(EstimateView):
    """Where a task runs already."""

    kind: Literal["runs"]
    id: str
    strategy: str
    assigned_nodes: list[str]
    shards_waiting: int


class WhyNotView(TypedDict):
    """Why a task cannot go anywhere now, and what would help."""

    summary: str
    reasons: list[ReasonView]
    nodes: list[NodeVerdictView]
    change: list[Change] | None
    change_node: str | None
    expected_free: FreeingView | None


class NoPlaceView(WhyNotView):
    """The same, and which task; `pairs` has none."""

    kind: Literal["no_place"]
    id: str
    strategy: str
    pairs: list[tuple[str, str]]


PlanView = PlannedView | RunsView | NoPlaceView
