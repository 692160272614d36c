"""Which executor of a node gets which attempts: queues and slots, without I/O or a clock.

A slot is an executor with the resources of one demand. Short work is assigned in batches that keep a slot
busy for about BATCH_S; work of unknown duration goes out one at a time. When an executor dies, the attempt it
was running is lost, and the ones behind it go out again one by one: if one of them is a killer, it is found.

Work is prefetched because what runs was expected to be short. If that turns out wrong, what waits
behind it for STUCK_S goes back to the control plane, which may know a node where it runs at once.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from helix_ray.core.durations import moved
from helix_ray.core.placement.room import Room
from helix_ray.core.state import Demand
from helix_ray.execution.assignment import Assignment
from helix_ray.execution.effects import Key

BATCH_S = 0.02
BATCH_TASKS_MAX = 128
SLOTS_WITHOUT_DEMAND_MAX = 32
GROUPS_REMEMBERED_MAX = 10_000
# Many times the work that may be queued on a node (PREFETCH_S): such a wait means a wrong estimate.
STUCK_S = 1.0
# An attempt that was told to stop, or whose time is over, may take this long before its executor is killed.
STOP_GRACE_S = 5.0


@dataclass(slots=True)
class Item:
    """An attempt on this node. `group` stands for tasks of like duration.

    `stop_grace_s`: how long it may take to end, once it was told to, in seconds.
    """

    assignment: Assignment
    demand: Demand
    group: Any
    alone: bool = False
    queued_at: float = 0.0
    # It is being stopped, so its slot will soon be free.
    ending: bool = False
    stop_grace_s: float = STOP_GRACE_S

    @property
    def key(self) -> Key:
        """Return the task id and attempt."""
        return self.assignment.task_id, self.assignment.attempt


@dataclass(slots=True)
class Slot:
    """One executor. `outstanding` are its assigned attempts, in the order in which it runs them.

    `since`: when it started the first of them, or became idle, or was opened. `doomed`: it is being killed,
    and gets no more attempts.
    """

    id: str
    demand: Demand
    ready: bool = False
    since: float = 0.0
    doomed: bool = False
    outstanding: OrderedDict[Key, Item] = field(default_factory=OrderedDict)

    def takes(self, item: Item) -> bool:
        """Say whether it may run an attempt after what it has: commands and the rest run in different
        processes."""
        last = next(reversed(self.outstanding.values()), None)
        return last is None or last.assignment.is_command == item.assignment.is_command

    def running(self) -> Item | None:
        """Return the attempt that it runs now."""
        return next(iter(self.outstanding.values()), None)

    def runs(self, key: Key) -> bool:
        """Say whether it runs this attempt now."""
        return next(iter(self.outstanding), None) == key

    def slow(self, now: float) -> bool:
        """Say whether it has been running one attempt for STUCK_S without being stopped."""
        running = self.running()
        return running is not None and not running.ending and now - self.since >= STUCK_S


@dataclass(slots=True)
class Stuck:
    """Attempts that wait behind long ones: `items` are queued here, `slots` were assigned more than one;
    `outlasting` are the long attempts with their seconds so far."""

    items: list[Item] = field(default_factory=list)
    slots: list[Slot] = field(default_factory=list)
    outlasting: list[tuple[Item, float]] = field(default_factory=list)


class Dispatch:
    """The queues and slots of one node with the given capacity."""

    def __init__(self, capacity: Mapping[str, float]) -> None:
        self._capacity = dict(capacity)
        # The external usage of the node, as last measured.
        self.external_usage: Demand = ()
        self._queues: dict[Demand, deque[Item]] = {}
        self._durations: OrderedDict[Any, float] = OrderedDict()
        self.slots: dict[str, Slot] = {}
        self._where: dict[Key, Slot | None] = {}  # None: in a queue

    # ------------------------------------------------------------------------------------- attempts

    def holds(self, key: Key) -> bool:
        """Say whether an attempt is queued or assigned to a slot here."""
        return key in self._where

    def attempts(self) -> list[Key]:
        """Return every attempt that is queued or assigned to a slot here."""
        return list(self._where)

    def add(self, items: Iterable[Item], now: float) -> None:
        """Queue attempts; known ones are left as they are."""
        for item in items:
            if item.key not in self._where:
                item.queued_at = now
                self._where[item.key] = None
                self._queues.setdefault(item.demand, deque()).append(item)

    def slot_of(self, key: Key) -> Slot | None:
        """Return the slot that an attempt is assigned to; None if it is queued or unknown."""
        return self._where.get(key)

    def item_of(self, slot_id: str, key: Key) -> Item | None:
        """Return an unfinished attempt of a slot."""
        slot = self.slots.get(slot_id)
        return slot.outstanding.get(key) if slot is not None else None

    def drop(self, key: Key) -> Slot | None:
        """Remove an attempt that must stop from its queue; return its slot if it is assigned already."""
        slot = self._where.get(key)
        if slot is not None:
            slot.outstanding[key].ending = True
            return slot
        if key in self._where:
            del self._where[key]
            for demand, queue in list(self._queues.items()):
                self._queues[demand] = deque(item for item in queue if item.key != key)
        return None

    def ended(self, slot_id: str, key: Key, duration_s: float | None, now: float) -> Item | None:
        """Record that an attempt of a slot has ended; return it, or None if the slot does not have it."""
        slot = self.slots.get(slot_id)
        running = slot.running() if slot is not None else None
        item = slot.outstanding.pop(key, None) if slot is not None else None
        if slot is None or item is None:
            return None
        if item is running:
            slot.since = now
        self._where.pop(key, None)
        if duration_s is not None:
            self._learn(item.group, duration_s)
        return item

    def _learn(self, group: Any, duration_s: float) -> None:
        self._durations[group] = moved(self._durations.get(group), duration_s)
        if len(self._durations) > GROUPS_REMEMBERED_MAX:
            self._durations.popitem(last=False)

    def batches(self, now: float) -> list[tuple[Slot, list[Assignment]]]:
        """Assign queued attempts to slots that are (almost) idle."""
        out: list[tuple[Slot, list[Assignment]]] = []
        for demand, queue in self._queues.items():
            if not queue:
                continue
            slots = [slot for slot in self._slots_of(demand) if slot.ready and not slot.doomed]
            slots.sort(key=lambda slot: len(slot.outstanding))
            for position, slot in enumerate(slots):
                share = -(-len(queue) // (len(slots) - position))
                was_idle = not slot.outstanding
                batch = self._fill(slot, queue, share)
                if batch:
                    slot.since = now if was_idle else slot.since
                    out.append((slot, batch))
        return out

    def _fill(self, slot: Slot, queue: deque[Item], share: int) -> list[Assignment]:
        budget = BATCH_S - sum(self._expected(item) for item in slot.outstanding.values())
        if slot.outstanding and budget < BATCH_S / 2:
            return []
        batch: list[Assignment] = []
        while queue and len(batch) < min(share, BATCH_TASKS_MAX):
            item = queue[0]
            cost = BATCH_S if item.alone else self._expected(item)
            if slot.outstanding and (cost > budget or not slot.takes(item)):
                break
            budget -= cost
            queue.popleft()
            slot.outstanding[item.key] = item
            self._where[item.key] = slot
            batch.append(item.assignment)
        return batch

    def _expected(self, item: Item) -> float:
        return self._durations.get(item.group, BATCH_S)

    # ------------------------------------------------------------------------------------- slots

    def open_slot(self, slot_id: str, demand: Demand, now: float) -> None:
        """Record an executor that is starting."""
        self.slots[slot_id] = Slot(slot_id, demand, since=now)

    def slot_ready(self, slot_id: str, now: float) -> Slot | None:
        """Record that an executor is ready; None for one that was given up meanwhile."""
        slot = self.slots.get(slot_id)
        if slot is not None:
            slot.ready, slot.since = True, now
        return slot

    def close_slot(self, slot_id: str, *, begun: bool = True) -> Item | None:
        """Remove an executor that is gone; return the attempt that it was running, if it has `begun` one.

        Those behind it are queued again, except those to be stopped: each alone, where it may be one of them
        that ends executors.
        """
        slot = self.slots.pop(slot_id, None)
        if slot is None or not slot.outstanding:
            return None
        items = list(slot.outstanding.values())
        for item in items:
            del self._where[item.key]
        running = items.pop(0) if begun else None
        queue = self._queues.setdefault(slot.demand, deque())
        for item in reversed([item for item in items if not item.ending]):
            item.alone = item.alone or begun
            self._where[item.key] = None
            queue.appendleft(item)
        return running

    def wanted(self) -> list[Demand]:
        """Return the demands of executors to start now: there is work for them, and they fit.

        The first one for a demand may wait for external usage to end; a further one would only wait, and
        requested resources count as ours.
        """
        room: Room | None = None
        wanted: list[Demand] = []
        for demand, queue in self._queues.items():
            slots = self._slots_of(demand)
            missing = len(queue) - sum(1 for slot in slots if not slot.outstanding)
            most = SLOTS_WITHOUT_DEMAND_MAX - len(slots) if not demand else len(queue)
            for _ in range(min(missing, most)):
                room = room or self._room()
                if not room.fits(demand) or self._would_wait(demand, slots, wanted):
                    break
                room.take(demand)
                wanted.append(demand)
        return wanted

    def _would_wait(self, demand: Demand, slots: list[Slot], wanted: list[Demand]) -> bool:
        """Say whether a further executor for a demand would wait for resources in external use."""
        if not self.external_usage or not (slots or demand in wanted):
            return False
        room = self._room(self.external_usage)
        for coming in wanted:
            room.take(coming)
        return not room.fits(demand)

    def surplus(self, now: float, idle_s: float) -> list[Slot]:
        """Return idle slots to release: idle for too long, or needed by work that fits nowhere else."""
        blocked = any(
            queue and all(slot.slow(now) for slot in self._slots_of(demand)) and not self._room().fits(demand)
            for demand, queue in self._queues.items()
        )
        return [
            slot
            for slot in self.slots.values()
            if slot.ready
            and not slot.outstanding
            and not self._queues.get(slot.demand)
            and (blocked or now - slot.since > idle_s)
        ]

    def overdue(self, now: float, start_s_max: float) -> list[Slot]:
        """Return slots whose executor has not started: its resources are in external use."""
        return [slot for slot in self.slots.values() if not slot.ready and now - slot.since > start_s_max]

    def hand_back(self, demand: Demand) -> list[Item]:
        """Remove all attempts that wait for slots of a demand that has none."""
        return [] if self._slots_of(demand) else self._empty(demand)

    def _empty(self, demand: Demand) -> list[Item]:
        items = list(self._queues.pop(demand, ()))
        for item in items:
            del self._where[item.key]
        return items

    def _slots_of(self, demand: Demand) -> list[Slot]:
        return [slot for slot in self.slots.values() if slot.demand == demand]

    # ------------------------------------------------------------------------------------- wrong estimates

    def stuck(self, now: float) -> Stuck:
        """Return attempts that wait behind long ones; queued ones are removed, those assigned to
        slots must be asked back."""
        slow = [slot for slot in self.slots.values() if slot.slow(now)]
        if not slow:
            return Stuck()
        stuck = Stuck(slots=[slot for slot in slow if len(slot.outstanding) > 1])
        to_blame = {slot.id: slot for slot in stuck.slots}
        for demand in [demand for demand in self._queues if self._stands_still(demand, now)]:
            stuck.items += self._empty(demand)
            own = self._slots_of(demand)
            to_blame.update((slot.id, slot) for slot in own or slow)
        stuck.outlasting = self._outlasting(to_blame.values(), now)
        return stuck

    def _stands_still(self, demand: Demand, now: float) -> bool:
        queue, own = self._queues[demand], self._slots_of(demand)
        if not queue or now - queue[0].queued_at < STUCK_S:
            return False
        if own:
            return all(slot.slow(now) for slot in own)
        coming = any((item := slot.running()) is not None and item.ending for slot in self.slots.values())
        return not coming and not self._room().fits(demand)

    def _outlasting(self, slots: Iterable[Slot], now: float) -> list[tuple[Item, float]]:
        """Return the longest running attempt of each group, and update the estimate of the group."""
        longest: dict[Any, tuple[Item, float]] = {}
        for slot in sorted(slots, key=lambda slot: slot.since, reverse=True):
            running = slot.running()
            if running is not None:
                longest[running.group] = running, now - slot.since
        for group, (_, ran_s) in longest.items():
            self._durations[group] = max(ran_s, self._durations.get(group, 0.0))
        return list(longest.values())

    def returned(self, slot_id: str, keys: Iterable[Key]) -> list[Item]:
        """Remove attempts that a slot has not started; return those that it had."""
        slot = self.slots.get(slot_id)
        items = [item for key in keys if slot is not None and (item := slot.outstanding.pop(key, None))]
        for item in items:
            del self._where[item.key]
        return items

    def _room(self, external_usage: Demand = ()) -> Room:
        room = Room(self._capacity)
        room.take(external_usage)
        for slot in self.slots.values():
            room.take(slot.demand)
        return room
