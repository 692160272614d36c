"""What is left of a node for further executors: Ray's resources, and CPUs that blocked attempts release.

An executor is a Ray actor, and Ray gives an actor's CPUs to nobody else while it lives, whether it uses them
or not. So an executor for work that gets the CPUs of a blocked attempt asks Ray for none; it may run only
while no more CPUs are used in this way than are released. When the blocked attempt goes on, the node is over
its CPUs until something ends: nothing is started before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from helix_ray.core.blocking import RELEASED, kept
from helix_ray.core.placement.node import EPSILON
from helix_ray.core.placement.room import Room
from helix_ray.core.state import Demand
from helix_ray.execution.slots import Slot


class Space:
    """The space beside some slots, from which demands are taken on trial."""

    def __init__(self, capacity: Mapping[str, float], slots: Iterable[Slot], external: Demand = ()) -> None:
        self._room = Room(capacity)
        self._room.take(external)
        self._released: dict[str, float] = {}
        for slot in slots:
            self._room.take(slot.held)
            if slot.blocked and not slot.on_released:
                self._release(slot.demand, 1)
            elif slot.on_released and not slot.blocked and (slot.outstanding or not slot.ready):
                self._release(slot.demand, -1)

    def _release(self, demand: Demand, sign: int) -> None:
        for name, amount in demand:
            if name in RELEASED:
                self._released[name] = self._released.get(name, 0.0) + sign * amount

    def fits(self, demand: Demand) -> bool:
        """Say whether one more executor with a demand fits."""
        return self._room.fits(demand) or self._fits_released(demand)

    def needs_released(self, demand: Demand) -> bool:
        """Say whether one more executor fits, but only with released CPUs."""
        return not self._room.fits(demand) and self._fits_released(demand)

    def _fits_released(self, demand: Demand) -> bool:
        return self.has_released(demand) and self._room.fits(kept(demand))

    def has_released(self, demand: Demand) -> bool:
        """Say whether the CPUs of a demand are released, and not in use."""
        amounts = ((self._released.get(name, 0.0), amount) for name, amount in demand if name in RELEASED)
        return all(released + EPSILON >= amount for released, amount in amounts)

    def take(self, demand: Demand) -> None:
        """Start one more executor with a demand."""
        if self.needs_released(demand):
            self._release(demand, -1)
            demand = kept(demand)
        self._room.take(demand)
