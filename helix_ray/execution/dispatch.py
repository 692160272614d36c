"""Which executor of a node gets which attempts: queues and slots, without I/O or a clock.

A slot is an executor with the resources of one demand, and with one tenant (slots.py, tenant.py). Short work
is assigned in batches that keep a slot busy for about BATCH_S; work of unknown duration goes out singly.
A slot whose attempt is blocked on other tasks releases its CPUs to further slots (released_cpus.py), and what
was behind the attempt goes to these.

When an executor dies, the attempt it was running is lost, and the ones behind it go out again one by one: if
one of them is a killer, it is found.

Work is prefetched because what runs was expected to be short. If that turns out wrong, what waits
behind it for STUCK_S goes back to the control plane, which may know a node where it runs at once.
"""

from __future__ import annotations

import sys
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from typing import Any

from helix_ray.core.durations import moved
from helix_ray.core.state import Demand
from helix_ray.execution.assignment import Assignment
from helix_ray.execution.effects import Key
from helix_ray.execution.released_cpus import Space
from helix_ray.execution.runtime_env import RuntimeEnv
from helix_ray.execution.slots import STUCK_S, Item, Need, Slot, Stuck, for_room
from helix_ray.execution.tenant import environment_of

BATCH_S = 0.02
BATCH_TASKS_MAX = 128
SLOTS_WITHOUT_DEMAND_MAX = 32
GROUPS_REMEMBERED_MAX = 10_000
# After this time a slot of another tenant is taken for an attempt that has none: long enough that owners who
# share a node do not start a process for every batch, and shorter than STUCK_S.
YIELD_S = 0.5
# An idle executor that was started on released CPUs is kept so long when there are none: what is blocked
# again and again needs no new process each time.
ON_RELEASED_IDLE_S = 2.0


class Dispatch:
    """The queues and slots of one node with the given capacity."""

    def __init__(self, capacity: Mapping[str, float]) -> None:
        self._capacity = dict(capacity)
        # The external usage of the node, as last measured.
        self.external_usage: Demand = ()
        self._queues: dict[Need, deque[Item]] = {}
        # Slots that get nothing, so that an attempt of another tenant can have their resources.
        self._yielding: set[str] = set()
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
                self._queues.setdefault(item.need, deque()).append(item)

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
            for need, queue in list(self._queues.items()):
                self._queues[need] = deque(item for item in queue if item.key != key)
        return None

    def ended(self, slot_id: str, key: Key, duration_s: float | None, now: float) -> Item | None:
        """Record that an attempt of a slot has ended; return it, or None if the slot does not have it."""
        slot = self.slots.get(slot_id)
        running = slot.running() if slot is not None else None
        item = slot.remove(key) if slot is not None else None
        if slot is None or item is None:
            return None
        if item is running:
            slot.since, slot.blocked = now, False
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
        self._queues = {need: queue for need, queue in self._queues.items() if queue}
        self._yielding = self._to_yield(now)
        for need, queue in self._queues.items():
            slots = [slot for slot in self._slots_of(need) if slot.ready and self._takes_more(slot)]
            slots.sort(key=lambda slot: len(slot.outstanding))
            for position, slot in enumerate(slots):
                if not self._has_cpus(slot):
                    # Another one has got what was released.
                    continue
                share = -(-len(queue) // (len(slots) - position))
                was_idle = not slot.outstanding
                batch = self._fill(slot, queue, share)
                if batch:
                    slot.since = now if was_idle else slot.since
                    out.append((slot, batch))
        return out

    def _takes_more(self, slot: Slot) -> bool:
        return not (slot.doomed or slot.blocked or slot.id in self._yielding) and self._has_cpus(slot)

    def _has_cpus(self, slot: Slot) -> bool:
        """Say whether a slot may run something, which one without CPUs of its own may not always."""
        return not slot.on_released or self._space(without=slot).has_released(slot.demand)

    def _to_yield(self, now: float) -> set[str]:
        """Return slots of other tenants that are drained for attempts which have waited and have no slot."""
        yielding: set[str] = set()
        for need, queue in self._queues.items():
            if now - queue[0].queued_at < YIELD_S or self._useful(need) or self._space().fits(need.demand):
                continue
            later = [slot for slot in self.slots.values() if self._may_yield(slot, queue[0], now)]
            for slot in sorted(later, key=lambda slot: len(slot.outstanding)):
                if slot.id not in yielding and self._space(without=slot).fits(need.demand):
                    yielding.add(slot.id)
                    break
        return yielding

    def _may_yield(self, slot: Slot, first: Item, now: float) -> bool:
        """Say whether a slot moves on, and all that it could run came later than what has no slot."""
        return (
            slot.ready
            and not slot.slow(now)
            and all(
                queue[0].queued_at > first.queued_at
                for need, queue in self._queues.items()
                if slot.serves(need)
            )
        )

    def _fill(self, slot: Slot, queue: deque[Item], share: int) -> list[Assignment]:
        budget = BATCH_S - sum(self._duration(group) * count for group, count in slot.of_group.items())
        if slot.outstanding and budget < BATCH_S / 2:
            return []
        batch: list[Assignment] = []
        while queue and len(batch) < min(share, BATCH_TASKS_MAX):
            item = queue[0]
            cost = BATCH_S if item.alone else self._duration(item.group)
            if slot.outstanding and (cost > budget or not slot.takes(item)):
                break
            budget -= cost
            queue.popleft()
            slot.add(item)
            self._where[item.key] = slot
            batch.append(item.assignment)
        return batch

    def _duration(self, group: Any) -> float:
        return self._durations.get(group, BATCH_S)

    # ------------------------------------------------------------------------------------- slots

    def open_slot(self, slot_id: str, need: Need, now: float) -> Slot:
        """Record an executor that is starting, and return its slot."""
        on_released = self._space().needs_released(need.demand)
        slot = Slot(id=slot_id, demand=need.demand, since=now, on_released=on_released, tenant=need.tenant)
        self.slots[slot_id] = slot
        return slot

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
        for item in reversed([item for item in items if not item.ending]):
            item.alone = item.alone or begun
            self._where[item.key] = None
            self._queues.setdefault(item.need, deque()).appendleft(item)
        return running

    def wanted(self) -> list[Need]:
        """Return the needs of executors to start now: there is work for them, and they fit.

        The first one for a demand may wait for external usage to end; a further one would only wait, and
        requested resources count as ours.
        """
        space: Space | None = None
        wanted: list[Need] = []
        idle = {slot.id for slot in self.slots.values() if not slot.outstanding and self._is_coming(slot)}
        for need, queue in self._queues.items():
            coming = [slot.id for slot in self._slots_of(need) if slot.id in idle][: len(queue)]
            idle.difference_update(coming)
            for _ in range(min(len(queue) - len(coming), self._slots_left(need.demand, wanted))):
                space = space or self._space()
                if not space.fits(need.demand) or self._would_wait(need, wanted):
                    break
                space.take(need.demand)
                wanted.append(need)
        return wanted

    def _is_coming(self, slot: Slot) -> bool:
        return not slot.ready or self._has_cpus(slot)

    def _slots_left(self, demand: Demand, wanted: list[Need]) -> int:
        if demand:
            return sys.maxsize
        without = sum(not (slot.demand or slot.blocked) for slot in self.slots.values()) + sum(
            not need.demand for need in wanted
        )
        return SLOTS_WITHOUT_DEMAND_MAX - without

    def _would_wait(self, need: Need, wanted: list[Need]) -> bool:
        """Say whether a further executor for a need would wait for resources in external use."""
        if not self.external_usage or not (self._slots_of(need) or need in wanted):
            return False
        space = self._space(self.external_usage)
        for coming in wanted:
            space.take(coming.demand)
        return not space.fits(need.demand)

    def surplus(self, now: float, idle_s: float) -> list[Slot]:
        """Return idle slots to release: idle for too long, or in the way of work that fits nowhere else."""
        idle = [slot for slot in self.slots.values() if slot.ready and not slot.outstanding]
        in_the_way = self._in_the_way(idle, now)
        return [s for s in idle if s.id in in_the_way or self._is_over(s, now - s.since, idle_s)]

    def _is_over(self, slot: Slot, idle_for_s: float, idle_s: float) -> bool:
        if self._has_served(slot):
            return self._is_needless(slot)
        if not self._has_cpus(slot):
            return idle_for_s > ON_RELEASED_IDLE_S
        return idle_for_s > idle_s and self._is_needless(slot)

    def _is_needless(self, slot: Slot) -> bool:
        return slot.id in self._yielding or not self._has_cpus(slot) or not self._has_work_for(slot)

    def _in_the_way(self, idle: list[Slot], now: float) -> set[str]:
        """Return as many idle slots as make room for what is blocked, the ones idle for longest first."""
        going: set[str] = set()
        candidates = sorted(filter(self._is_needless, idle), key=lambda slot: slot.since)
        for need, queue in self._queues.items():
            if queue and self._blocked(need, now):
                rest = [slot for slot in candidates if slot.id not in going]
                going |= {slot.id for slot in for_room(rest, need.demand, len(queue))}
        return going

    def _blocked(self, need: Need, now: float) -> bool:
        """Say whether what waits with a need has neither a slot that moves on nor room for another one."""
        if not all(slot.slow(now) for slot in self._useful(need)):
            return False
        return not self._space().fits(need.demand) if need.demand else self._slots_left((), []) <= 0

    def _has_work_for(self, slot: Slot) -> bool:
        return any(queue and slot.serves(need) for need, queue in self._queues.items())

    def _has_served(self, slot: Slot) -> bool:
        """Say whether a slot was opened for a single attempt."""
        return slot.tenant is not None and slot.tenant.attempt is not None

    def overdue(self, now: float, start_s_max: float) -> list[Slot]:
        """Return slots whose executor has not started: its resources are in external use, or its runtime
        environment takes longer than it may."""
        return [
            slot
            for slot in self.slots.values()
            if not slot.ready
            and (for_s := now - slot.since) > start_s_max
            and for_s > start_s_max + _setup_s_max(slot)
        ]

    def hand_back(self, demand: Demand) -> list[Item]:
        """Remove all attempts that wait for slots of a demand, and have none."""
        needs = [need for need in self._queues if need.demand == demand and not self._slots_of(need)]
        return [item for need in needs for item in self._empty(need)]

    def hand_back_environment(self, environment: RuntimeEnv) -> list[Item]:
        """Remove all attempts that wait for a process with an environment."""
        needs = [need for need in self._queues if environment_of(need.tenant) == environment]
        return [item for need in needs for item in self._empty(need)]

    def _empty(self, need: Need) -> list[Item]:
        items = list(self._queues.pop(need, ()))
        for item in items:
            del self._where[item.key]
        return items

    def _slots_of(self, need: Need) -> list[Slot]:
        return [slot for slot in self.slots.values() if slot.serves(need)]

    def _useful(self, need: Need) -> list[Slot]:
        """Return the slots for a need without those that are idle for want of CPUs."""
        return [slot for slot in self._slots_of(need) if slot.outstanding or self._is_coming(slot)]

    # ------------------------------------------------------------------------------------- wrong estimates

    def stuck(self, now: float) -> Stuck:
        """Return attempts that wait behind long ones; queued ones are removed, those assigned to
        slots must be asked back."""
        slow = [slot for slot in self.slots.values() if slot.slow(now)]
        if not slow:
            return Stuck()
        stuck = Stuck(slots=[slot for slot in slow if len(slot.outstanding) > 1])
        to_blame = {slot.id: slot for slot in stuck.slots}
        for need in [need for need in self._queues if self._stands_still(need, now)]:
            stuck.items += self._empty(need)
            own = self._slots_of(need)
            to_blame.update((slot.id, slot) for slot in own or slow)
        stuck.outlasting = self._outlasting(to_blame.values(), now)
        return stuck

    def _stands_still(self, need: Need, now: float) -> bool:
        queue, own = self._queues[need], self._useful(need)
        if not queue or now - queue[0].queued_at < STUCK_S:
            return False
        if own:
            return all(slot.slow(now) for slot in own)
        coming = any((item := slot.running()) is not None and item.ending for slot in self.slots.values())
        return not coming and not self._yielding and not self._space().fits(need.demand)

    def _outlasting(self, slots: Iterable[Slot], now: float) -> list[tuple[Item, float]]:
        """Return the longest running attempt of each group, and update the estimate of the group."""
        longest: dict[Any, tuple[Item, float]] = {}
        for slot in sorted(slots, key=lambda slot: slot.since, reverse=True):
            running = slot.running()
            if running is not None and not slot.blocked:
                longest[running.group] = running, now - slot.since
        for group, (_, ran_s) in longest.items():
            self._durations[group] = max(ran_s, self._durations.get(group, 0.0))
        return list(longest.values())

    def returned(self, slot_id: str, keys: Iterable[Key]) -> list[Item]:
        """Remove attempts that a slot has not started, and return them; those that were behind a blocked one
        are queued for other slots instead."""
        slot = self.slots.get(slot_id)
        items = [item for key in keys if slot is not None and (item := slot.remove(key))]
        for item in items:
            del self._where[item.key]
        if slot is None or not slot.blocked:
            return items
        for item in reversed([item for item in items if not item.ending]):
            self._where[item.key] = None
            self._queues.setdefault(item.need, deque()).appendleft(item)
        return [item for item in items if item.ending]

    def _space(self, external_usage: Demand = (), without: Slot | None = None) -> Space:
        slots = (slot for slot in self.slots.values() if slot is not without)
        return Space(self._capacity, slots, external_usage)


def _setup_s_max(slot: Slot) -> float:
    environment = environment_of(slot.tenant)
    return 0.0 if environment is None else environment.setup_s_max
