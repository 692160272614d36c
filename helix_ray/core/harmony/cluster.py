"""The cluster as questions see it: a picture of state and pulses at one moment, and its nodes as JSON values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from helix_ray.core.liveness import Liveness, Pulse
from helix_ray.core.placement import Fleet, Node, RunningAttempt
from helix_ray.core.placement.fit import external_usage_of, node_of, quarantined_until, unschedulable_why
from helix_ray.core.placement.node import prefetch_by, slots_of
from helix_ray.core.placement.preempt import preemptible
from helix_ray.core.placement.tracked import TrackedFleet
from helix_ray.core.policy import Policy
from helix_ray.core.state import State, TaskClass, Worker

ACTIVE, LOST = "active", "lost"
SIMULATED_LABEL = "helix-simulated"
MASTER_ID = "helix-master"


@dataclass(frozen=True, slots=True)
class ClusterView:
    """What answers about nodes are computed from. `now` and `started_at` (of this epoch's master) in epoch seconds."""

    state: State
    liveness: Liveness
    policy: Policy
    now: float
    epoch: int = 0
    started_at: float = 0.0
    # The nodes, carried from one question to the next so that each costs only what has changed.
    tracked: TrackedFleet = field(default_factory=TrackedFleet)

    def nodes(self) -> list[Worker]:
        """Return the node workers, lost ones included."""
        return [worker for worker in self.state.workers.values() if worker.kind == "node"]

    def pulse(self, worker: Worker) -> Pulse | None:
        """Return a worker's last sign of life."""
        return self.liveness.pulses.get(worker.id)

    def prefetch(self, task_class: TaskClass) -> int:
        """Return the prefetch of a class."""
        return prefetch_by(self.state.durations, task_class)

    def fleet(self) -> Fleet:
        """Return the nodes that are not lost, as the scheduler sees them now; valid until the next call."""
        return self.tracked.pristine(self.state, self.liveness, self.now)

    def reserved_for(self) -> dict[str, str]:
        """Return, for each reserved node, the task it is reserved for."""
        return {
            node_id: reservation.task_id
            for reservation in self.liveness.reservations
            for node_id in reservation.nodes
        }

    def reservations_of(self, task_id: str, task_class: TaskClass) -> list[str]:
        """Return the nodes that are reserved for a task, or for its gang."""
        reservations = self.liveness.reservations
        mine = [
            reservation
            for reservation in reservations
            if reservation.task_id == task_id or (task_class.gang and reservation.task_class == task_class)
        ]
        return sorted(node_id for reservation in mine for node_id in reservation.nodes)

    def running(self, node_id: str) -> Sequence[RunningAttempt]:
        """Return what of a node may be stopped for more urgent work."""
        return tuple(preemptible(self.state, node_id, self.prefetch, self.policy.preemptions_max))


def status_view(cluster: ClusterView) -> dict[str, Any]:
    """Return the master and every node in short."""
    nodes = [node_line(cluster, worker) for worker in cluster.nodes()]
    return {
        "master_node": {
            "id": MASTER_ID,
            "status": ACTIVE,
            "uptime": max(0.0, cluster.now - cluster.started_at),
            "started_at": cluster.started_at,
            "epoch": cluster.epoch,
        },
        "worker_nodes": nodes,
        "total_nodes": 1 + len(nodes),
        "active_nodes": 1 + sum(node["status"] == ACTIVE for node in nodes),
    }


def status_of(cluster: ClusterView, worker: Worker) -> str:
    """Return active, draining, resting or lost."""
    return unschedulable_why(worker, cluster.now) or ACTIVE


def current_load(pulse: Pulse | None) -> float | None:
    """Return the share of a node's processors that was busy when it measured last, 0 to 1; None before that."""
    usage = pulse.usage.get("cpu_usage") if pulse is not None else None
    return None if usage is None else round(min(100.0, max(0.0, float(usage))) / 100.0, 4)


def node_line(cluster: ClusterView, worker: Worker) -> dict[str, Any]:
    """Return one node in short."""
    status = status_of(cluster, worker)
    return {
        "id": worker.id,
        "status": status,
        "tasks_completed": worker.completed,
        # What a lost node measured last says nothing about now.
        "current_load": None if status == LOST else current_load(cluster.pulse(worker)),
    }


def node_view(cluster: ClusterView, worker: Worker, held_for: Mapping[str, str]) -> dict[str, Any]:
    """Return one node, whole; amounts by resource name, times in epoch seconds. `held_for`: tasks by node."""
    pulse = cluster.pulse(worker)
    node = node_of(worker, pulse)
    node.recompute(cluster.prefetch)
    simulated = worker.labels.get(SIMULATED_LABEL, "")
    return {
        **node_line(cluster, worker),
        "hostname": worker.hostname,
        "node_id": worker.node_id,
        "resources": node.capacity,
        "free": {name: max(0.0, node.free[name]) for name in node.capacity},
        "allocated": _allocated(node, cluster),
        "foreign": external_usage_of(pulse),
        "simulated": [name.lower() for name in simulated.split(".") if name],
        "capabilities": sorted(worker.capabilities),
        "labels": worker.labels,
        "usage": {name: value for name, value in pulse.usage.items() if name != "foreign"} if pulse else {},
        "running": sorted(worker.running)[:100],
        "running_total": len(worker.running),
        "tasks_failed": worker.failed,
        "draining": worker.draining,
        "lost_at": list(worker.lost_at),
        "rests_until": quarantined_until(worker) or None,
        "held_for": held_for.get(worker.id),
        "last_heartbeat": pulse.wall if pulse is not None and pulse.wall else worker.registered_at,
        "registered_at": worker.registered_at,
    }


def _allocated(node: Node, cluster: ClusterView) -> dict[str, float]:
    """Return what tasks hold: short ones queue in lanes, and a lane holds the resources of one."""
    used: dict[str, float] = {}
    for task_class, count in node.load.items():
        slots = slots_of(count, cluster.prefetch(task_class))
        for name, amount in task_class.demand:
            used[name] = used.get(name, 0.0) + amount * slots
    return used
