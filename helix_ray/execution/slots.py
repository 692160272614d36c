"""The slots of a node and the attempts in them: what an attempt needs, and what a slot may run."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from helix_ray.core.blocking import kept
from helix_ray.core.state import Demand
from helix_ray.execution.assignment import Assignment
from helix_ray.execution.effects import Key
from helix_ray.execution.tenant import Tenant, environment_of

# Many times the work that may be queued on a node (PREFETCH_S): such a wait means a wrong estimate.
STUCK_S = 1.0
# An attempt that was told to stop, or whose time is over, may take this long before its executor is killed.
STOP_GRACE_S = 5.0
# Slots without a demand are limited in number.
_JUST_A_SLOT: Final[Demand] = (("", 1.0),)


class Need(NamedTuple):
    """What an attempt needs of its slot; a tenant of None is served by every one."""

    demand: Demand
    tenant: Tenant | None


@dataclass(slots=True, kw_only=True)
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
    tenant: Tenant | None = None

    @property
    def key(self) -> Key:
        """Return the task id and attempt."""
        return self.assignment.task_id, self.assignment.attempt

    @property
    def need(self) -> Need:
        """Return what it needs of its slot."""
        return Need(self.demand, self.tenant)


@dataclass(slots=True, kw_only=True)
class Slot:
    """One executor. `outstanding` are its assigned attempts, in the order in which it runs them.

    `since`: when it started the first of them, or became idle, or was opened. `doomed`: it is being killed,
    and gets no more attempts. `blocked`: what it runs waits for other tasks, and others use its CPUs.
    `on_released`: it was started on such CPUs. Ray does not know that they are free, because an actor's
    resources are its own while it lives; so Ray is asked for none, and released_cpus.py counts them.
    """

    id: str
    demand: Demand
    ready: bool = False
    since: float = 0.0
    doomed: bool = False
    blocked: bool = False
    on_released: bool = False
    tenant: Tenant | None = None
    outstanding: OrderedDict[Key, Item] = field(default_factory=OrderedDict)
    # How many of them are of each group, so that their time is known without a look at each.
    of_group: dict[Any, int] = field(default_factory=dict)

    @property
    def held(self) -> Demand:
        """Return what it has of Ray."""
        return kept(self.demand) if self.on_released else self.demand

    def serves(self, need: Need) -> bool:
        """Say whether it may run what has this need."""
        if self.demand != need.demand:
            return False
        if self.tenant is None:
            return environment_of(need.tenant) is None
        return self.tenant.serves(need.tenant)

    def add(self, item: Item) -> None:
        """Take an attempt, and its owner as tenant if there is none."""
        self.outstanding[item.key] = item
        self.of_group[item.group] = self.of_group.get(item.group, 0) + 1
        self.tenant = self.tenant or item.tenant

    def remove(self, key: Key) -> Item | None:
        """Let go of an attempt and return it; None if the slot does not have it."""
        item = self.outstanding.pop(key, None)
        if item is not None:
            self.of_group[item.group] -= 1
            if not self.of_group[item.group]:
                del self.of_group[item.group]
        return item

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
        """Say whether it has been running one attempt for STUCK_S without being stopped, or runs a blocked
        one."""
        running = self.running()
        return running is not None and not running.ending and (self.blocked or now - self.since >= STUCK_S)


@dataclass(slots=True, kw_only=True)
class Stuck:
    """Attempts that wait behind long ones: `items` are queued here, `slots` were assigned more than one;
    `outlasting` are the long attempts with their seconds so far."""

    items: list[Item] = field(default_factory=list)
    slots: list[Slot] = field(default_factory=list)
    outlasting: list[tuple[Item, float]] = field(default_factory=list)


def for_room(candidates: Sequence[Slot], demand: Demand, count: int) -> list[Slot]:
    """Return the first of the candidates whose resources together make room for `count` slots of a demand; if
    they are too few, all that are of use."""
    missing = {name: amount * count for name, amount in demand or _JUST_A_SLOT}
    going = []
    for slot in candidates:
        offered = dict(slot.demand or _JUST_A_SLOT)
        if any(missing.get(name, 0.0) > 0.0 for name in offered):
            going.append(slot)
            missing = {name: amount - offered.get(name, 0.0) for name, amount in missing.items()}
    return going
