"""Turns workers of the state into nodes of the scheduler, and says whether any node could ever run a task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from helix_ray.core.liveness import Pulse
from helix_ray.core.placement.node import EPSILON, Node
from helix_ray.core.state import Worker

LOST, DRAINING, QUARANTINED = "lost", "draining", "resting"
# A node that was lost this often within FLAP_WINDOW_S is quarantined for QUARANTINE_S, and twice as long
# after each further loss. Work that is placed on a flapping node is mostly lost with it.
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
    """Return the external usage of a node, as its last heartbeat reported it (under the name `foreign`)."""
    reported = pulse.usage.get("foreign") if pulse is not None else None
    if not isinstance(reported, Mapping):
        return {}
    return {
        str(name): float(amount)
        for name, amount in reported.items()
        if isinstance(amount, (int, float)) and amount > 0
    }


def quarantined_until(worker: Worker) -> float:
    """Return when the quarantine of a node that was lost repeatedly ends (epoch seconds);
    0 if it has none."""
    if len(worker.lost_at) < FLAPS_MIN:
        return 0.0
    newest = worker.lost_at[-1]
    flaps = sum(1 for at in worker.lost_at if newest - at <= FLAP_WINDOW_S)
    if flaps < FLAPS_MIN:
        return 0.0
    return newest + float(min(QUARANTINE_S_MAX, QUARANTINE_S * 2.0 ** (flaps - FLAPS_MIN)))


def unschedulable_why(worker: Worker, now: float) -> str:
    """Return why a worker is unschedulable; empty if it is schedulable."""
    if worker.lost:
        return LOST
    if worker.draining:
        return DRAINING
    # One that lasts for longer is of before the clock was set back.
    return QUARANTINED if now < quarantined_until(worker) <= now + QUARANTINE_S_MAX else ""


def ever_fits(demand: Capacity, types: Iterable[Capacity]) -> bool:
    """Say whether an empty node with one of these capacities could run a task with this demand."""
    return any(_covers(dict(capacity), demand) for capacity in types)


def _covers(capacity: Mapping[str, float], demand: Capacity) -> bool:
    return all(capacity.get(name, 0.0) + EPSILON >= amount for name, amount in demand)
