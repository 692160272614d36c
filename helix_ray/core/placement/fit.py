"""Workers of the state as nodes of the scheduler, and whether anything could ever hold a task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from helix_ray.core.liveness import Pulse
from helix_ray.core.placement.node import EPSILON, Node
from helix_ray.core.state import Worker

LOST, DRAINING, QUARANTINED = "lost", "draining", "resting"
# A node that was lost this often within FLAP_WINDOW_S rests REST_S before it is used again, twice as long each time.
FLAPS_MIN = 3
FLAP_WINDOW_S = 600.0
QUARANTINE_S = 30.0
QUARANTINE_S_MAX = 480.0

Capacity = Iterable[tuple[str, float]]


def node_of(worker: Worker, pulse: Pulse | None = None, unschedulable: str = "") -> Node:
    """Return a worker as the scheduler sees it."""
    capacity = {name: float(amount) for name, amount in worker.resources.items() if amount is not None}
    node = Node(
        worker.id,
        capacity,
        worker.capabilities,
        worker.labels,
        worker.load,
        external_usage_of(pulse),
        unschedulable,
    )
    node.turn = worker.turn
    return node


def external_usage_of(pulse: Pulse | None) -> dict[str, float]:
    """Return what others on the cluster use of a node, as it measured."""
    said = pulse.usage.get("foreign") if pulse is not None else None
    if not isinstance(said, Mapping):
        return {}
    return {
        str(name): float(amount)
        for name, amount in said.items()
        if isinstance(amount, (int, float)) and amount > 0
    }


def rests_until(worker: Worker) -> float:
    """Return until when (epoch seconds) a node that keeps going away is left alone; 0 for one that does not."""
    if len(worker.lost_at) < FLAPS_MIN:
        return 0.0
    newest = worker.lost_at[-1]
    flaps = sum(1 for at in worker.lost_at if newest - at <= FLAP_WINDOW_S)
    if flaps < FLAPS_MIN:
        return 0.0
    return newest + float(min(QUARANTINE_S_MAX, QUARANTINE_S * 2.0 ** (flaps - FLAPS_MIN)))


def unschedulable_why(worker: Worker, now: float) -> str:
    """Return why a worker gets no new work; empty when it does."""
    if worker.lost:
        return LOST
    if worker.draining:
        return DRAINING
    return QUARANTINED if now < rests_until(worker) else ""


def ever_fits(demand: Capacity, types: Iterable[Capacity]) -> bool:
    """Say whether a node of any of these capacities could hold a task of such demands."""
    return any(_reservations(dict(capacity), demand) for capacity in types)


def _reservations(capacity: Mapping[str, float], demand: Capacity) -> bool:
    return all(capacity.get(name, 0.0) + EPSILON >= amount for name, amount in demand)
