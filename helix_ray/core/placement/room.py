"""What is left of a capacity after some demands, devices counted as the things that they are."""

from __future__ import annotations

from collections.abc import Mapping

from helix_ray.core.placement.node import EPSILON, Node
from helix_ray.core.placement.units import UNIT_RESOURCES, left_of
from helix_ray.core.state import Demand


class Room:
    """Room that is taken and given back on trial, apart from any node."""

    def __init__(self, capacity: Mapping[str, float]) -> None:
        self._capacity = capacity
        self._free = dict(capacity)
        # How often which amount of a device is in use.
        self._devices: dict[str, dict[float, int]] = {}

    @classmethod
    def of(cls, node: Node) -> Room:
        """Return the room of a node as it is now."""
        made = cls(node.capacity)
        made._free = dict(node.free)
        made._devices = node.devices()
        return made

    def take(self, demand: Demand, count: int = 1) -> None:
        """Let so many tasks with a demand begin (a negative count: end)."""
        for name, amount in demand:
            self._free[name] = self._free.get(name, 0.0) - amount * count
            if name in UNIT_RESOURCES:
                uses = self._devices.setdefault(name, {})
                uses[amount] = uses.get(amount, 0) + count

    def fits(self, demand: Demand) -> bool:
        """Say whether one more task with a demand fits."""
        return all(self._times(name, amount) > 0 for name, amount in demand)

    def slots(self, demand: Demand) -> int:
        """Return how many more tasks with a demand fit together; 0 for those that ask for nothing."""
        return max(0, min((self._times(name, amount) for name, amount in demand), default=0))

    def _times(self, name: str, amount: float) -> int:
        times = int((self._free.get(name, 0.0) + EPSILON) / amount)
        uses = self._devices.get(name)
        if uses is None or times <= 0:
            return times
        return min(times, left_of(self._capacity.get(name, 0.0), uses.items()).slots(amount))
