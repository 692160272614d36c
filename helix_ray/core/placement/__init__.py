"""Placement: which task runs next, on which node, and why a task waits. Pure: no clock, no I/O, no chance.

The entry point is `place(fleet, ready, rules, now, limit)`, which returns a `Plan`.
helix_ray/followers/scheduler.py calls it and turns the plan into orders. The same fleet, queues, rules and
time always give the same plan, so a decision can be replayed from the journal.

Nodes and slots
    A `Node` is a worker of the state as placement sees it: its capacity, what its own tasks and other users
    of the Ray cluster take of it (`load`, `external_usage`), and what is free. The unit of allocation is a
    *slot*: the resources of one running task. A node is *unschedulable* when it is draining, lost, or
    *quarantined* because it was lost several times in a row. CPUs and memory are amounts; GPUs and other
    devices are things (units.py): half of one device and half of another do not make a whole one.

Prefetch
    A short task costs less than the trip of the next one to its node. So a slot may be assigned up to
    `prefetch` tasks of a class, which it runs one after the other. The prefetch follows from measured
    durations: as many tasks as fit in PREFETCH_S (50 ms), so an urgent task never waits longer than that
    behind them. It is 1 for commands, for gangs and for work that was never measured. The free part of a
    slot's prefetch is called its *rest*.

Task classes
    Tasks that are the same to the scheduler (kind, project, demand, capabilities, labels, strategy) are one
    `TaskClass`. All decisions are made per class: what does not fit once does not fit for the next thousand
    tasks of its class either. The cost of a plan depends on the number of classes and of tasks placed, not on
    the number of tasks that wait.

Queue order (queue_order.py)
    Every class has a class queue. The next queue is the one whose best task has the highest priority level
    (each `aging_s` seconds of waiting raise it by one level, so nothing starves); then the one whose project
    has the smallest dominant share, weighted (dominant resource fairness: the largest share of any resource
    that a project uses, see `Shares`); then the one submitted first. Shares grow during a plan, so a rank
    gets worse, not better: the heap of queues re-ranks its first entry when it comes up and needs no other
    update. A class that does not fit is dropped for the rest of the plan and blocks nobody: the next queue is
    tried (backfilling). Its project's quota is a hard limit.

Candidate heaps (fleet.py)
    For each set of constraints (demand, capabilities, labels) and strategy the fleet keeps a heap of nodes
    by score, lowest first. The heap is right because of one invariant: *every schedulable node that
    satisfies the constraints and has a free slot has a current entry, whose score is not higher than the
    node's score now.* A change of a node is appended to a log; before it answers, a heap reads the log from
    where it stopped and pushes an entry for each node that may have improved. Entries of older versions stay
    in the heap and are dropped when they come up. If the first entry's node has changed since (it may only
    have become worse), its entry is replaced by one with the present score and the search continues. So the
    first entry whose version is current is the best node, at the cost of a few heap operations however many
    nodes there are. For a *steady* strategy, assigning work never improves a node's score, so only freed
    resources have to be logged for it; `pack` prefers full nodes and reads every change. Building a heap
    means looking at every node: `ration` bounds how many are built in a plan, and those that were deferred
    come first in the next one.

Reservations (reservations.py, reservation.py)
    Backfilling alone starves large tasks: small ones keep taking the pieces. A task or gang that has waited
    `reserve_after_s` gets a reservation on the nodes where it is expected to fit soonest, by the measured
    durations of what runs there. On these nodes the resources that it requests are not free for
    tasks behind it in the order. Tasks ahead of it, tasks that request other resources and tasks that may
    preempt are not affected. Reservations are bounded (5 % of the nodes), expire, are replaced when a node
    goes away, and live in memory only.

Gangs and preemption
    The shards of a gang are placed together or not at all: they are placed on trial and taken back if one
    does not fit. A task at or above `preempt_level` that fits nowhere may preempt lower ones (preempt.py): on
    the node whose victims are the least urgent, then the fewest, then those that have run the shortest.

Why a task waits
    unmet_constraints.py explains a class node by node as data: the failing dimension, what was
    asked, what is there, and the smallest change to the task that would make it fit. estimate.py
    says when, from measured durations.
"""

from __future__ import annotations

from helix_ray.core.placement.fleet import Fleet
from helix_ray.core.placement.node import EPSILON, FREE_SLOTS_MAX, Node
from helix_ray.core.placement.plan import NO_ROOM, QUOTA, Plan, place
from helix_ray.core.placement.rules import Rules, RunningAttempt
from helix_ray.core.placement.strategies import STRATEGIES
from helix_ray.core.strategy_names import DEFAULT

__all__ = [
    "DEFAULT",
    "EPSILON",
    "FREE_SLOTS_MAX",
    "NO_ROOM",
    "QUOTA",
    "STRATEGIES",
    "Fleet",
    "Node",
    "Plan",
    "Rules",
    "RunningAttempt",
    "place",
]  # fmt: skip
