"""Questions about the nodes of the cluster, their devices, and their hosts."""

from __future__ import annotations

from dataclasses import dataclass

from helix_ray.core.access import READERS, Tokens
from helix_ray.core.device_history import POINTS_MAX
from helix_ray.core.question_kind import QuestionKind
from helix_ray.core.views.acceleration import AccelerationView, NodeDevicesView
from helix_ray.core.views.monitoring import SystemView
from helix_ray.core.views.nodes import NodesView, NodeView, StatusView


@dataclass(frozen=True, slots=True)
class ClusterStatus(QuestionKind[StatusView]):
    """A summary of the master and all nodes."""

    allowed = READERS
    tokens = Tokens.ALL


@dataclass(frozen=True, slots=True)
class ListNodes(QuestionKind[NodesView]):
    """All nodes."""

    allowed = READERS
    tokens = Tokens.ALL
    travels_alone = True
    in_steps = True


@dataclass(frozen=True, slots=True)
class GetNode(QuestionKind[NodeView]):
    """One node."""

    allowed = READERS
    tokens = Tokens.ALL

    node_id: str


@dataclass(frozen=True, slots=True)
class NodeDevices(QuestionKind[NodeDevicesView]):
    """The devices of one node, with the history of each: its last `points`."""

    allowed = READERS
    tokens = Tokens.ALL

    node_id: str
    points: int = POINTS_MAX


@dataclass(frozen=True, slots=True)
class Acceleration(QuestionKind[AccelerationView]):
    """The accelerators of the cluster, or of one node, and what models run with."""

    allowed = READERS
    tokens = Tokens.ALL
    one_at_a_time = True

    node_id: str | None = None


@dataclass(frozen=True, slots=True)
class SystemFigures(QuestionKind[SystemView]):
    """How the hosts of the cluster are, or that of one node."""

    allowed = READERS
    tokens = Tokens.UNBOUND
    one_at_a_time = True

    node_id: str | None = None


@dataclass(frozen=True, slots=True)
class SystemHistory(QuestionKind[SystemView]):
    """How the hosts of the cluster are and were, or that of one node.

    `since` and `until` (default: now) in epoch seconds, `step` in seconds.
    """

    allowed = READERS
    tokens = Tokens.UNBOUND
    of_hosts = True

    node_id: str | None
    since: float
    until: float | None = None
    step: int | None = None
