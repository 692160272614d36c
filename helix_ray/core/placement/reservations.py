"""Reservations during one plan: those of the last plan that are still valid, and others for
tasks that have waited long.

A reservation is for one task or one gang. On its nodes, the resources that the task asks for are shown as not
free to tasks that come later in the queue order. Tasks that come before it, tasks that ask for other
resources and tasks that may preempt are not affected.

A reservation is made when its class is judged (`reserve_for`), which is why the order matters: whatever was
placed before that in the plan came first and may take these nodes, whatever comes after may not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from helix_ray.core.placement.fleet import Fleet
from helix_ray.core.placement.node import Node
from helix_ray.core.placement.queue_order import ClassQueue
from helix_ray.core.placement.reservation import PATIENCE_S_MAX, make_reservation
from helix_ray.core.placement.rules import Rules
from helix_ray.core.ready_queue import ReadyQueue
from helix_ray.core.state import TaskClass
from helix_ray.core.waits import Reservation

# At most this share of all nodes, and of the nodes that could run the same class, is reserved, but at
# least one node. A gang may need more than that; then nothing else is reserved. So the capacity that
# stands idle is bounded.
RESERVED_SHARE_MAX = 0.05
RESERVED_NODES_MAX = 32
SEARCHES_MAX = 3


class Reservations:
    """Applies reservations to a fleet during one plan. `searches` counts searches; `in_vain`:
    classes for which one failed."""

    def __init__(
        self, fleet: Fleet, rules: Rules, waiting: Mapping[TaskClass, ReadyQueue], now: float
    ) -> None:
        self.searches = 0
        self.in_vain: list[TaskClass] = []
        self._fleet = fleet
        self._rules = rules
        self._now = now
        self._reservations: list[Reservation] = []
        # What each node really has free of the resources that are reserved on it.
        self._free: dict[Node, dict[str, float]] = {}
        # Reservations of the last plan whose class has not been judged yet in this plan.
        self._before: dict[TaskClass, list[Reservation]] = {}
        for reservation in rules.reservations:
            if reservation.task_class in waiting:
                self._before.setdefault(reservation.task_class, []).append(reservation)
        # A task was refused because the bound is reached: the tasks behind it must not
        # take what becomes available.
        self._full = False

    # --------------------------------------------------------------------------------- what happens in a plan

    def started(self, task_class: TaskClass, node: Node) -> None:
        """Note that a task starts on a node: end its class's reservation there, and reconsider
        those for the same resources."""
        if not self._before:
            return
        asked = {name for name, _ in task_class.demand}
        for other, reservations in self._before.items():
            if not asked.isdisjoint(name for name, _ in other.demand):
                self._before[other] = [
                    reservation._replace(until=self._now) if node.id in reservation.nodes else reservation
                    for reservation in reservations
                    if other != task_class or node.id not in reservation.nodes
                ]

    def kept_out(self, task_class: TaskClass, missing: int, *, of_begun_slots: bool) -> tuple[str, ...]:
        """Return the reserved nodes that a class would have got: with `missing` slots in total,
        or with partly filled slots."""
        prefetch = self._fleet.prefetch(task_class)
        begun = [
            node.id
            for node in self._free
            if node.is_reserved_from(task_class) and node.rest(task_class, prefetch)
        ]
        if begun or of_begun_slots:
            return tuple(begun)
        slots = {
            node.id: self._slots_behind(node, task_class) for node in self._free if node.suits(task_class)
        }
        enough = sum(slots.values()) >= missing
        return tuple(node_id for node_id, count in slots.items() if count and enough)

    def _slots_behind(self, node: Node, task_class: TaskClass) -> int:
        """Return how many slots would fit if nothing were reserved."""
        shown = {name: node.free[name] for name in self._free[node]}
        node.free.update(self._free[node])
        slots = node.free_slots(task_class)
        node.free.update(shown)
        return slots

    def reserve_for(self, queue: ClassQueue, slots_allowed: int | None) -> None:
        """Renew the reservations for a class that does not fit, and make one more if another of
        its tasks has waited long."""
        before, after_s = self._before.get(queue.task_class, []), self._rules.reserve_after_s
        if after_s is None:
            self._before.pop(queue.task_class, None)
            return
        most = 1 if queue.task_class.gang else len(before) + 1
        tasks = queue.ahead(most if slots_allowed is None else min(most, slots_allowed))
        old = [task_id for task_id, since in tasks if self._now - since >= after_s]
        renewed, more = old[: len(before)], old[len(before) :]
        for task_id in renewed:
            self._renew(queue, before.pop(0)._replace(task_id=task_id))
        self._before.pop(queue.task_class, None)
        for task_id in more:
            self._begin(queue, task_id)

    def _renew(self, queue: ClassQueue, reservation: Reservation) -> None:
        nodes = [self._fleet.nodes.get(node_id) for node_id in reservation.nodes]
        left = tuple(node.id for node in nodes if node is not None and not node.unschedulable)
        # One that lasts for longer is of before the clock was set back.
        holds = self._now < reservation.until <= self._now + PATIENCE_S_MAX
        if holds and left == reservation.nodes:
            self._reserve(reservation)
            return
        if not holds and self._full:
            # It has expired, and other tasks wait for a reservation.
            return
        # What is left of it stays reserved until a search finds something better.
        found = (
            self._search(queue, reservation.task_id)
            if self._may_search(queue.task_class)
            else reservation._replace(nodes=left, until=self._now)
        )
        if found is not None and found.nodes:
            self._reserve(found)

    def _begin(self, queue: ClassQueue, task_id: str) -> None:
        if queue.task_class in self._rules.unreservable:
            return
        reserved = self._reserved_nodes()
        most = min(RESERVED_NODES_MAX, max(1, int(RESERVED_SHARE_MAX * len(self._fleet.nodes))))
        if len(reserved) >= most:
            self._full = True
        elif self._may_search(queue.task_class) and (found := self._search(queue, task_id)) is not None:
            if reserved and len(reserved) + len(found.nodes) > most:
                self._full = True
            else:
                self._reserve(found)

    def _reserved_nodes(self) -> set[str]:
        before = {
            node_id
            for reservations in self._before.values()
            for reservation in reservations
            for node_id in reservation.nodes
        }
        return before | {node.id for node in self._free}

    def _may_search(self, task_class: TaskClass) -> bool:
        rules = self._rules
        return (
            rules.may_search
            and not self._full
            and self.searches < SEARCHES_MAX
            and task_class not in rules.unreservable
        )

    def _search(self, queue: ClassQueue, task_id: str) -> Reservation | None:
        self.searches += 1
        task_class, reserved = queue.task_class, self._reserved_nodes()
        able = [
            node
            for node in self._fleet.open_nodes()
            if node.could_ever_run(task_class) and node.suits(task_class)
        ]
        free = [node for node in able if node.id not in reserved]
        found = None
        if task_class.gang or len(able) - len(free) < max(1, int(RESERVED_SHARE_MAX * len(able))):
            wanted = queue.left if task_class.gang else 1
            found = make_reservation(free, task_class, task_id, wanted, self._rules.endings, self._now)
        if found is None:
            self.in_vain.append(task_class)
        return found

    def _reserve(self, reservation: Reservation) -> None:
        self._reservations.append(reservation)
        names = [name for name, _ in reservation.task_class.demand]
        for node_id in reservation.nodes:
            node = self._fleet.nodes[node_id]
            if node not in self._free:
                self._free[node] = {name: node.free[name] for name in names if name in node.free}
                self._fleet.reserve(node, self._free[node])

    def give_up(self, node: Node) -> None:
        """Release a node that a preempting task takes; its reservation is reconsidered in the next plan."""
        if self._free.pop(node, None) is not None:
            self._reservations = [
                reservation._replace(until=self._now) if node.id in reservation.nodes else reservation
                for reservation in self._reservations
            ]

    @contextmanager
    def lifted(self) -> Iterator[None]:
        """Suspend all reservations for a while: they do not bind tasks that may preempt."""
        for node, free in self._free.items():
            self._fleet.release(node, free)
        try:
            yield
        finally:
            for node, free in self._free.items():
                free.update({name: node.free[name] for name in free})
                self._fleet.reserve(node, free)

    def end(self, *, all_judged: bool) -> tuple[Reservation, ...]:
        """Release all nodes and return the reservations for the next plan.

        With `all_judged`, one whose class was not met in this plan has no waiting task: it is dropped.
        """
        for node, free in self._free.items():
            self._fleet.release(node, free)
        left = (
            []
            if all_judged
            else [reservation for reservations in self._before.values() for reservation in reservations]
        )
        return (*self._reservations, *left)
