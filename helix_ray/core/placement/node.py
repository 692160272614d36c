"""A node as the scheduler sees it: what it has, what is free, and who may run there.

A node offers *lanes*: a lane holds the resources of one running task of a class, and takes up to `depth(class)`
tasks, of which it runs one at a time. Depth is 1 for work of unknown or long duration; short work goes out in
batches, so that a lane does not stand still while the next task travels.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from zlib import crc32

from helix_ray.core.durations import Durations
from helix_ray.core.placement.units import UNIT_RESOURCES, Units, left_of
from helix_ray.core.state import TaskClass

# Float sums of fractions (0.1 GPU ten times) must still fit into a whole.
EPSILON = 1e-9
# Lanes a node opens for tasks that ask for no resource at all.
FREE_SLOTS_MAX = 32
# Work that a lane may have before it: enough to bridge the way to the node and back, little enough that an
# urgent task does not wait behind it.
PREFETCH_S = 0.05
SLOT_TASKS_MAX = 256
COMMAND = "command"

Prefetch = Callable[[TaskClass], int]
Amounts = Mapping[str, float]


def slots_of(count: int, prefetch: int) -> int:
    """Return how many lanes a number of tasks takes up."""
    return -(-count // prefetch)


def prefetch_for(kind: str, average_s: float | None) -> int:
    """Return how many tasks of this kind of run and duration (seconds; None: unknown) one lane may hold.

    One command tells nothing of how long the next takes.
    """
    if average_s is None or kind == COMMAND:
        return 1
    return max(1, min(SLOT_TASKS_MAX, int(PREFETCH_S / max(average_s, 1e-6))))


def prefetch_by(durations: Durations, task_class: TaskClass) -> int:
    """Return how many tasks of a class one lane may hold, by what its kind was measured to take."""
    return prefetch_for(task_class.kind, durations.average_s(task_class[:3]))


class Node:
    """What a worker offers, what others and ours take of it, and what is left.

    `closed` says why it takes no new work (empty: it does). `version` changes with everything that a score or a
    fit depends on. `turn` orders nodes by when they were given something last.
    """

    __slots__ = (
        "_devices",
        "_left",
        "_shares",
        "_utilisation",
        "bare_slots",
        "capabilities",
        "capacity",
        "external_usage",
        "free",
        "id",
        "kept",
        "labels",
        "load",
        "order",
        "sought",
        "tasks",
        "turn",
        "unschedulable",
        "version",
    )  # fmt: skip

    def __init__(
        self,
        id: str,
        capacity: Amounts,
        capabilities: frozenset[str] = frozenset(),
        labels: Mapping[str, str] | None = None,
        load: Mapping[TaskClass, int] | None = None,
        external_usage: Amounts | None = None,
        unschedulable: str = "",
    ) -> None:
        self.id = id
        self.capacity = dict(capacity)
        self.capabilities = capabilities
        self.labels = dict(labels or {})
        self.load = dict(load or {})
        self.external_usage = dict(external_usage or {})
        # Those of its labels that some task has asked for.
        self.sought: tuple[tuple[str, str], ...] = ()
        self.unschedulable = unschedulable
        self.free: dict[str, float] = {}
        # Resources of which nothing is free for a while, because they are kept for somebody (Fleet.keep).
        self.kept: frozenset[str] = frozenset()
        self.tasks = 0
        # Lanes of tasks that ask for no resource.
        self.bare_slots = 0
        self.turn = 0
        self.version = 0
        # Ties between equal nodes fall differently on every cluster, and the same way every time.
        self.order = crc32(id.encode())
        self._utilisation: float | None = None
        # How often which amount of a device is in use, and how many of these uses are shares of one.
        self._devices: dict[str, dict[float, int]] = {}
        self._shares: dict[str, int] = {}
        self._left: dict[str, Units] = {}

    def __lt__(self, other: Node) -> bool:
        """Order two nodes that are equal in all else."""
        return self.id < other.id

    def recompute(self, prefetch: Prefetch) -> None:
        """Work out what is free, from what others use and the lanes that the load takes up."""
        self.free = dict(self.capacity)
        self.bare_slots = 0
        self._devices, self._shares = {}, {}
        for name, amount in self.external_usage.items():
            self.free[name] = self.free.get(name, 0.0) - amount
            if name in UNIT_RESOURCES:
                self._use_devices(name, amount, 1)
        for task_class, count in self.load.items():
            self._use(task_class, slots_of(count, prefetch(task_class)))
        self.tasks = sum(self.load.values())
        self.mark_dirty()

    def _use(self, task_class: TaskClass, slots: int) -> None:
        if not task_class.demand:
            self.bare_slots += slots
        for name, amount in task_class.demand:
            self.free[name] = self.free.get(name, 0.0) - amount * slots
            if name in UNIT_RESOURCES:
                self._use_devices(name, amount, slots)

    def _use_devices(self, name: str, amount: float, slots: int) -> None:
        uses = self._devices.setdefault(name, {})
        uses[amount] = uses.get(amount, 0) + slots
        if amount != int(amount):
            self._shares[name] = self._shares.get(name, 0) + slots

    def left(self, name: str) -> Units:
        """Return what is left of a kind of device."""
        left = self._left.get(name)
        if left is None:
            uses = self._devices.get(name, {}).items()
            left = self._left[name] = left_of(self.capacity.get(name, 0.0), uses)
        return left

    def devices(self) -> dict[str, dict[float, int]]:
        """Return how often which amount of each kind of device is in use."""
        return {name: dict(uses) for name, uses in self._devices.items()}

    def largest(self, name: str) -> float:
        """Return the most of a resource that one more task can have; below zero where more is in use than there is."""
        free = self.free.get(name, 0.0)
        # Where devices are in use that are not there, a gap beside a share is nobody's to have.
        return min(free, self.left(name).largest()) if self._shares.get(name) else free

    def lacks(self, name: str, amount: float) -> bool:
        """Say whether a resource has no room for one more task that asks for so much of it."""
        if self.free.get(name, 0.0) + EPSILON < amount:
            return True
        return bool(self._shares.get(name)) and not self.left(name).slots(amount)

    def mark_dirty(self) -> None:
        """Note that something has changed."""
        self.version += 1
        self._utilisation = None
        if self._left:
            self._left = {}

    def seek(self, labels: Collection[tuple[str, str]]) -> None:
        """Note which of its labels tasks ask for."""
        self.sought = tuple(pair for pair in self.labels.items() if pair in labels)

    def keeps_from(self, task_class: TaskClass) -> bool:
        """Say whether something that a class asks for is kept for somebody else."""
        return bool(self.kept) and any(name in self.kept for name, _ in task_class.demand)

    def rest(self, task_class: TaskClass, prefetch: int) -> int:
        """Return how many more tasks of a class its begun lanes take."""
        return -self.load.get(task_class, 0) % prefetch

    def free_slots(self, task_class: TaskClass) -> int:
        """Return how many further lanes of a class fit now."""
        if not task_class.demand:
            return max(0, FREE_SLOTS_MAX - self.bare_slots)
        free, slots = self.free, sys.maxsize
        for name, amount in task_class.demand:
            fits = int((free.get(name, 0.0) + EPSILON) / amount)
            if self._shares.get(name) and fits > 0:
                fits = self.left(name).slots(amount)
            if fits <= 0:
                return 0
            if fits < slots:
                slots = fits
        return slots

    def fits(self, task_class: TaskClass) -> bool:
        """Say whether a further lane of a class fits now."""
        if not task_class.demand:
            return self.bare_slots < FREE_SLOTS_MAX
        free = self.free
        # A loop: `all` over a generator takes twice as long, and this is asked for every entry of every heap.
        for name, amount in task_class.demand:
            if free.get(name, 0.0) + EPSILON < amount:
                return False
            if self._shares.get(name) and not self.left(name).slots(amount):
                return False
        return True

    def room(self, task_class: TaskClass, prefetch: int) -> int:
        """Return how many more tasks of a class fit now."""
        return self.rest(task_class, prefetch) + prefetch * self.free_slots(task_class)

    def take(self, task_class: TaskClass, count: int, prefetch: int) -> int:
        """Account for `count` more tasks of a class (fewer, when negative); return by how many lanes it grew."""
        before = self.load.get(task_class, 0)
        slots = slots_of(before + count, prefetch) - slots_of(before, prefetch)
        if before + count:
            self.load[task_class] = before + count
        else:
            del self.load[task_class]
        if slots:
            self._use(task_class, slots)
        self.tasks += count
        self.mark_dirty()
        return slots

    def suits(self, task_class: TaskClass) -> bool:
        """Say whether labels and capabilities allow the class here, whatever is free."""
        if task_class.capabilities and not self.capabilities.issuperset(task_class.capabilities):
            return False
        # Without a loop: this is asked of every node when a heap is made.
        return not task_class.labels or self.labels.items() >= set(task_class.labels)

    def could_ever_run(self, task_class: TaskClass) -> bool:
        """Say whether the class would fit if nothing else ran here."""
        return all(self.capacity.get(name, 0.0) + EPSILON >= amount for name, amount in task_class.demand)

    def utilisation(self) -> float:
        """Return the fullest dimension's share in use, 0 to 1."""
        if self._utilisation is None:
            free, least = self.free, 1.0
            for name, total in self.capacity.items():
                if total > 0:
                    share = free[name] / total
                    if share < least:
                        least = share
            self._utilisation = 1.0 - least
        return self._utilisation
