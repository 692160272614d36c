"""Free capacity on trial: what would fit if some tasks ended or started, with devices counted one by one."""

from __future__ import annotations

from collections.abc import Mapping

from helix_ray.core.placement.node import EPSILON, Node
from helix_ray.core.placement.units import UNIT_RESOURCES, left_of
from helix_ray.core.state import Demand


class Room:
    """A copy of a node's free capacity, from which demands are taken and to which
    they are returned on trial."""

    def __init__(self, capacity: Mapping[str, float]) -> None:
        self._capacity = capacity
        self._free = dict(capacity)
        # By kind of device: how often each amount of it is in use.
        self._devices: dict[str, dict[float, int]] = {}

    @classmethod
    def of(cls, node: Node) -> Room:
        """Return the free capacity of a node as it is now."""
        made = cls(node.capacity)
        made._free = dict(node.free)
        made._devices = node.devices()
        return made

    def take(self, demand: Demand, count: int = 1) -> None:
        """Start `count` tasks with a demand (end them, if negative)."""
        for name, amount in demand:
            self._free[name] = self._free.get(name, 0.0) - amount * count
            if name in UNIT_RESOURCES:
                uses = self._devices.setdefault(name, {})
                uses[amount] = uses.get(amount, 0) + count

    def fits(self, demand: Demand) -> bool:
        """Say whether one more task with a demand fits."""
        return all(self._times(name, amount) > 0 for name, amount in demand)

    def slots(self, demand: Demand) -> int:
        """Return how many more tasks with a demand fit; 0 for an empty demand."""
        return max(0, min((self._times(name, amount) for name, amount in demand), default=0))

    def _times(self, name: str, amount: float) -> int:
        times = int((self._free.get(name, 0.0) + EPSILON) / amount)
        uses = self._devices.get(name)
        if uses is None or times <= 0:
            return times
        return min(times, left_of(self._capacity.get(name, 0.0), uses.items()).slots(amount))
