"""A node as the scheduler sees it: what it has, what is free, and who may run there.

A node offers *slots*. A slot has the resources of one running task of a class and is assigned up to
`prefetch(class)` tasks, which it runs one at a time. Prefetch is 1 for work of unknown or long duration.
Short work is sent in batches, so that a slot is not idle while the next task is on its way.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from zlib import crc32

from helix_ray.core.durations import Durations
from helix_ray.core.placement.units import UNIT_RESOURCES, Units, left_of
from helix_ray.core.state import TaskClass

# Ten times 0.1 GPU is not exactly 1.0 in floating point, and must still fit on one GPU.
EPSILON = 1e-9
# Slots of a node for tasks that ask for no resource at all: nothing else would bound them.
FREE_SLOTS_MAX = 32
# Work that a slot may have queued, in seconds: enough to cover the round trip to the node, and little enough
# that an urgent task does not notice the wait behind it.
PREFETCH_S = 0.05
# What an executor needs before and after each task, in seconds; measured durations do not contain it.
AROUND_TASK_S = 80e-6
COMMAND = "command"

Prefetch = Callable[[TaskClass], int]
Amounts = Mapping[str, float]


def slots_of(count: int, prefetch: int) -> int:
    """Return how many slots a number of tasks occupies."""
    return -(-count // prefetch)


def prefetch_for(expected_s: float | None) -> int:
    """Return the prefetch for work of an expected duration in seconds; None: unknown."""
    if expected_s is None:
        return 1
    return max(1, int(PREFETCH_S / (expected_s + AROUND_TASK_S)))


def prefetch_by(durations: Durations, task_class: TaskClass) -> int:
    """Return the prefetch of a class by the measured durations of its kind.

    All commands with one demand are one kind, whatever they run, so their average says little about the next.
    They are prefetched while nine in ten of the newest were short: a batch of short ones. A single long one
    ends that for a while, and what waits behind it for a second is queued again.
    """
    if task_class.blocked:
        return 1
    kind = task_class[:3]
    return prefetch_for(durations.high_s(kind) if task_class.kind == COMMAND else durations.average_s(kind))


class Node:
    """A worker's capacity, what our tasks and other users of the cluster take of it, and what is free.

    `unschedulable` is the reason why it gets no tasks (empty: it does). `version` changes with everything
    that a score or a fit depends on. `turn` orders nodes by when they were last assigned a task.
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
        "labels",
        "load",
        "order",
        "reserved",
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
        # Its labels that some task has asked for.
        self.sought: tuple[tuple[str, str], ...] = ()
        self.unschedulable = unschedulable
        self.free: dict[str, float] = {}
        # Resources that are shown as not free because they are reserved for a task (Fleet.reserve).
        self.reserved: frozenset[str] = frozenset()
        self.tasks = 0
        # Slots in use by tasks that ask for no resource.
        self.bare_slots = 0
        self.turn = 0
        self.version = 0
        # Breaks ties between equal nodes: differently on every cluster, but always in the same way.
        self.order = crc32(id.encode())
        self._utilisation: float | None = None
        # By kind of device: how often each amount of it is in use, and how many of these uses are
        # fractions of a device.
        self._devices: dict[str, dict[float, int]] = {}
        self._shares: dict[str, int] = {}
        self._left: dict[str, Units] = {}

    def __lt__(self, other: Node) -> bool:
        """Order two nodes that are otherwise equal."""
        return self.id < other.id

    def recompute(self, prefetch: Prefetch) -> None:
        """Compute what is free from the external usage and the slots that the load occupies."""
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
        if not task_class.demand and not task_class.blocked:
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
        """Return, for each kind of device, how often each amount of it is in use."""
        return {name: dict(uses) for name, uses in self._devices.items()}

    def largest(self, name: str) -> float:
        """Return the largest amount of a resource that one more task can get; negative if more
        is in use than exists."""
        free = self.free.get(name, 0.0)
        # Where more devices are in use than exist, the gap beside a fraction must not be given to anybody.
        return min(free, self.left(name).largest()) if self._shares.get(name) else free

    def lacks(self, name: str, amount: float) -> bool:
        """Say whether one more task that asks for this amount of a resource does not fit."""
        if self.free.get(name, 0.0) + EPSILON < amount:
            return True
        return bool(self._shares.get(name)) and not self.left(name).slots(amount)

    def mark_dirty(self) -> None:
        """Give the node a new version, and forget what was derived from the old one."""
        self.version += 1
        self._utilisation = None
        if self._left:
            self._left = {}

    def seek(self, labels: Collection[tuple[str, str]]) -> None:
        """Note which of its labels tasks ask for."""
        self.sought = tuple(pair for pair in self.labels.items() if pair in labels)

    def is_reserved_from(self, task_class: TaskClass) -> bool:
        """Say whether a resource that a class asks for is reserved for another task."""
        return bool(self.reserved) and any(name in self.reserved for name, _ in task_class.demand)

    def rest(self, task_class: TaskClass, prefetch: int) -> int:
        """Return how many more tasks of a class its partly filled slots can be assigned."""
        return -self.load.get(task_class, 0) % prefetch

    def free_slots(self, task_class: TaskClass) -> int:
        """Return how many more slots of a class fit now."""
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
        """Say whether one more slot of a class fits now."""
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
        """Add `count` tasks of a class (or remove them, if negative); return how
        many more slots they occupy."""
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
        """Say whether the node satisfies the labels and capabilities of a class, whatever is free."""
        if task_class.capabilities and not self.capabilities.issuperset(task_class.capabilities):
            return False
        # Without a loop: this is asked of every node when a heap is made.
        return not task_class.labels or self.labels.items() >= set(task_class.labels)

    def could_ever_run(self, task_class: TaskClass) -> bool:
        """Say whether the class would fit on the empty node."""
        return all(self.capacity.get(name, 0.0) + EPSILON >= amount for name, amount in task_class.demand)

    def utilisation(self) -> float:
        """Return the used fraction of the most used resource, 0 to 1."""
        if self._utilisation is None:
            free, least = self.free, 1.0
            for name, total in self.capacity.items():
                if total > 0:
                    share = free[name] / total
                    if share < least:
                        least = share
            self._utilisation = 1.0 - least
        return self._utilisation
