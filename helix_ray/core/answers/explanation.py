"""Explains the placement of a task (ExplainTask): for each node and in sum, what
would help, and past waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from helix_ray.core.answers.device_loads import device_loads, kinds_of
from helix_ray.core.answers.named_tasks import NamedTasks
from helix_ray.core.answers.picture import Picture
from helix_ray.core.backpressure import endings_per_s
from helix_ray.core.blocking import level_of
from helix_ray.core.lifecycle import Status
from helix_ray.core.names import shard_id
from helix_ray.core.placement import Fleet, Node
from helix_ray.core.placement.changes import Change
from helix_ray.core.placement.estimate import Freeing, completion, queued_ahead, when_free
from helix_ray.core.placement.fit import unschedulable_why
from helix_ray.core.placement.plan import RESERVED, fit_together
from helix_ray.core.placement.preempt import make_room
from helix_ray.core.placement.rules import Shares
from helix_ray.core.placement.strategies import STRATEGIES
from helix_ray.core.placement.unmet_constraints import (
    UnmetConstraint,
    changed_class,
    smallest_change,
    unmet_constraints,
)
from helix_ray.core.specs import LEVELS, PRIORITIES
from helix_ray.core.state import EXTERNAL, MANUAL, SHARDED, Task, TaskClass, Worker
from helix_ray.core.strategy_names import DEFAULT
from helix_ray.core.views.placement import (
    ExplainView,
    FreeingView,
    NodeVerdictView,
    PreemptsView,
    ReasonView,
    StartView,
)
from helix_ray.core.views.tasks import TaskView

# How many nodes an answer lists; the others are only counted.
NODES_LISTED_MAX = 100
# How many tasks a sentence names.
TASKS_NAMED_MAX = 3
BUSY = "busy"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on a class: `placeable`, `waiting`, `never`, `quota` or `no_nodes`, with the findings."""

    verdict: str
    found: list[tuple[Node, list[UnmetConstraint]]]
    change: list[Change] | None
    at: str | None
    freeing: Freeing | None


def candidates(picture: Picture, task_class: TaskClass) -> Fleet:
    """Return the candidates for a class: nodes, or external workers for tasks without a run."""
    if task_class.kind != EXTERNAL:
        return picture.fleet()
    workers = [w for w in picture.state.workers.values() if w.kind == "external" and not w.lost]
    return Fleet((_external_node(picture, worker, task_class) for worker in workers), picture.prefetch)


def _external_node(picture: Picture, worker: Worker, task_class: TaskClass) -> Node:
    """Return an external worker as a node: it runs one task at a time; resources that it does
    not state are not checked."""
    offers = {"memory_mb": worker.resources.get("memory"), **worker.resources}
    stated = {name: float(amount) for name, amount in offers.items() if amount is not None}
    capacity = {name: stated.get(name, amount) for name, amount in task_class.demand}
    unschedulable = unschedulable_why(worker, picture.now) or (BUSY if worker.running else "")
    node = Node(worker.id, capacity, worker.capabilities, worker.labels, unschedulable=unschedulable)
    node.turn = worker.turn
    return node


def as_asked_of(task_class: TaskClass) -> TaskClass:
    """Return a class with all required capabilities: for external workers the task's type is one."""
    if task_class.kind != EXTERNAL or task_class.signature in task_class.capabilities:
        return task_class
    return task_class._replace(capabilities=(*task_class.capabilities, task_class.signature))


def judge(picture: Picture, task_class: TaskClass, wanted: int = 1, fleet: Fleet | None = None) -> Verdict:
    """Examine every node for a class, of which `wanted` must start together. `fleet` is used up."""
    if fleet is None:
        fleet = candidates(picture, task_class)
    asked = as_asked_of(task_class)
    prefetch = fleet.prefetch(task_class)
    found = [(node, unmet_constraints(node, asked, prefetch)) for node in fleet.nodes.values()]
    if not found:
        return Verdict("no_nodes", found, None, None, None)
    shares = Shares(fleet.slots, fleet.totals, picture.state.quotas)
    freeing = _soonest(picture, task_class, found)
    best = smallest_change(found, asked)
    if best is None:
        return Verdict(_verdict(found), found, None, None, freeing)
    changes = list(best[1])
    changed = changed_class(task_class, changes)
    if any(change["change"] == "undrain" for change in changes):
        best[0].unschedulable = ""
        fleet.changed(best[0])
    count = _together(fleet, changed, wanted) if wanted > 1 else 1
    if count < wanted:
        changes.append({"change": "fewer_shards", "to": max(1, count), "by": wanted - max(1, count)})
    quota = _quota_changes(shares, changed, max(1, count))
    verdict = _verdict(found)
    if verdict == "placeable" and count < wanted:
        verdict = "waiting"
    elif verdict == "placeable" and quota:
        verdict = "quota"
    return Verdict(verdict, found, [*changes, *quota], best[0].id, freeing)


def _verdict(found: Sequence[tuple[Node, Sequence[UnmetConstraint]]]) -> str:
    if all(any(unmet.never for unmet in each) for _, each in found):
        return "never"
    return "waiting" if all(each for _, each in found) else "placeable"


def _together(fleet: Fleet, task_class: TaskClass, wanted: int) -> int:
    """Return how many of a class fit at the same time, up to `wanted`; the fleet is used up."""
    strategy = STRATEGIES.get(task_class.strategy) or STRATEGIES[DEFAULT]
    return len(fit_together(fleet, fleet.heap(task_class, strategy), task_class, wanted))


def _quota_changes(shares: Shares, task_class: TaskClass, wanted: int) -> list[Change]:
    if task_class.kind == EXTERNAL:
        return []
    if wanted > 1:
        shares.add(task_class, wanted - 1)
    return [
        {"change": "raise_quota", "project_id": task_class.project, "resource": name, "by": amount}
        for name, amount in sorted(shares.exceeded(task_class).items())
    ]


def _soonest(
    picture: Picture, task_class: TaskClass, found: Iterable[tuple[Node, list[UnmetConstraint]]]
) -> Freeing | None:
    """Return the node that is expected to have room first, among those that lack only room."""
    state = picture.state
    soonest: Freeing | None = None
    for node, each in found:
        lacks_room = each and all(m.dimension.startswith("resources.") and not m.never for m in each)
        if not lacks_room or task_class.kind == EXTERNAL:
            continue
        running = [state.tasks[task_id] for task_id in state.workers[node.id].running]
        freeing = when_free(node, task_class, running, state.durations, picture.now)
        if freeing is not None and (soonest is None or freeing.order < soonest.order):
            soonest = freeing
    return soonest


# ------------------------------------------------------------------------------------------ the answer


def explain_view(picture: Picture, task: Task, named: NamedTasks) -> ExplainView:
    """Return the explanation of one task as JSON values; times in epoch seconds. `named` names other tasks as
    the reader may see them."""
    view = _explained(picture, task, named)
    inherited = picture.state.inherited.get(task.id)
    if inherited is not None:
        level, waiter = inherited[0], named.name(inherited[1])
        view["inherits"] = {"priority": PRIORITIES[level], "task": waiter}
        view["summary"] += f"; it has the priority {PRIORITIES[level]} of {waiter}, which waits for it"
    return view


def _explained(picture: Picture, task: Task, named: NamedTasks) -> ExplainView:
    if task.block is not None:
        on = named.names(task.blocked_on)
        view = _plain(task, "blocked", f"it is running and waits for {_tasks(len(on))}, without its CPUs")
        view["blocked_on"] = on
        return view
    if task.status is Status.WAITING:
        waits = named.names(task.waits_for)
        view = _plain(task, "dependencies", f"it is waiting for {_tasks(len(waits))}")
        view["waits_for"] = waits
        return view
    if task.status is Status.RUNNING and task.note:
        return _plain(task, task.status.value, f"it is running: {task.note}")
    if task.status is not Status.PENDING:
        return _plain(task, task.status.value, f"it is {task.status.value}")
    if task.id in picture.state.delayed:
        view = _plain(task, "delayed", "it is waiting for its retry delay")
        view["not_before"] = task.not_before
        return view
    task_class, wanted = _placed_as(picture, task)
    verdict = judge(picture, task_class, wanted, _as_it_stands(picture, task_class))
    if task_class.strategy == MANUAL:
        verdict = replace(verdict, verdict="manual")
    return _pending(picture, task, task_class, verdict, named)


def _tasks(count: int) -> str:
    """Return the number of tasks in words; with none left, those it waits for have ended a moment ago."""
    if count == 0:
        return "tasks that have just ended"
    return "one unfinished task" if count == 1 else f"{count} unfinished tasks"


def _as_it_stands(picture: Picture, task_class: TaskClass) -> Fleet:
    """Return the candidates; nodes that are reserved for other tasks and were denied
    to the class are unschedulable."""
    fleet = candidates(picture, task_class)
    for node_id in picture.liveness.kept_out.get(task_class, ()):
        node = fleet.nodes.get(node_id)
        if node is not None and not node.unschedulable:
            node.unschedulable = RESERVED
            fleet.changed(node)
    return fleet


def _placed_as(picture: Picture, task: Task) -> tuple[TaskClass, int]:
    """Return the class that the scheduler places for a task, and how many tasks of it together."""
    if task.task_class.kind == SHARDED:
        first = picture.state.tasks.get(shard_id(task.id, 0))
        if first is not None:
            count = task.spec["shards"]["count"] if first.task_class.gang else 1
            return first.task_class, count
    if task.task_class.gang:
        waiting = picture.state.ready.get(task.task_class)
        return task.task_class, waiting.size if waiting is not None else 1
    return task.task_class, 1


def ended_view(task: TaskView) -> ExplainView:
    """Return the explanation of a task that has ended, given its view."""
    status = task["status"]
    return _without_nodes(task["id"], status, task["assigned_worker"], status, f"it is {status}")


def _plain(task: Task, verdict: str, summary: str) -> ExplainView:
    return _without_nodes(task.id, task.status.value, task.worker, verdict, summary)


def _without_nodes(task_id: str, status: str, worker: str | None, verdict: str, summary: str) -> ExplainView:
    return {
        "id": task_id,
        "status": status,
        "assigned_worker": worker,
        "verdict": verdict,
        "summary": summary,
        "nodes": [],
        "nodes_total": 0,
        "reasons": [],
        "change": None,
    }


def _pending(
    picture: Picture, task: Task, task_class: TaskClass, verdict: Verdict, named: NamedTasks
) -> ExplainView:
    """Return a verdict as JSON values, with the queue ahead of the task and the reasons of past waits."""
    ahead = queued_ahead(picture.state, task)
    listed = sorted(verdict.found, key=lambda pair: (len(pair[1]), pair[0].id))[:NODES_LISTED_MAX]
    when = _when(picture, task_class, verdict, ahead)
    kinds = kinds_of(task_class)
    return {
        "id": task.id,
        "status": task.status.value,
        "assigned_worker": task.worker,
        "verdict": verdict.verdict,
        "summary": summary(verdict, task_class, ahead) + _reserved_for_others(picture, verdict, named),
        "nodes": [_with_devices(picture, node_verdict(node, each), kinds) for node, each in listed],
        "nodes_total": len(verdict.found),
        "reasons": reason_counts(verdict.found),
        "change": verdict.change,
        "change_node": verdict.at,
        "expected_free": freeing_view(verdict.freeing),
        "preempts": _preempts(picture, task, task_class, verdict, named),
        "holds": picture.reservations_of(task.id, task_class),
        "queued_ahead": ahead,
        "estimated_start": when["estimated_start"],
        "estimated_completion": when["estimated_completion"],
        "estimated_completion_p90": when["estimated_completion_p90"],
        "history": [
            {"reason": wait.reason, "since": wait.since, "until": wait.seen}
            for wait in picture.liveness.waits.of(task_class)
        ],
    }


def _with_devices(picture: Picture, view: NodeVerdictView, kinds: set[str]) -> NodeVerdictView:
    """Add the devices of a node that a task asks for, where the node reports any."""
    devices = device_loads(picture, view["node"], kinds)
    return {**view, "devices": devices} if devices else view


def node_verdict(node: Node, found: Sequence[UnmetConstraint]) -> NodeVerdictView:
    """Return the unmet constraints on one node, and the changes that would meet them."""
    kind = "fits" if not found else "never" if any(unmet.never for unmet in found) else "waiting"
    return {"node": node.id, "verdict": kind, "failing": [unmet.view() for unmet in found]}


def reason_counts(found: Iterable[tuple[Node, Sequence[UnmetConstraint]]]) -> list[ReasonView]:
    """Return how many nodes fail in each dimension, the most frequent first."""
    counts = Counter(
        (unmet.dimension, "never" if unmet.never else "waiting") for _, each in found for unmet in each
    )
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [{"dimension": dimension, "kind": kind, "nodes": count} for (dimension, kind), count in ordered]


def freeing_view(freeing: Freeing | None) -> FreeingView | None:
    """Return which node is expected to have room, when, and what it lacks until then."""
    if freeing is None:
        return None
    in_s = None if freeing.in_s is None else round(freeing.in_s, 3)
    overrun_s = round(freeing.overrun_s, 3)
    return {"node": freeing.node_id, "in_s": in_s, "missing": freeing.missing, "overrun_s": overrun_s}


def _reserved_for_others(picture: Picture, verdict: Verdict, named: NamedTasks) -> str:
    reserved = [node.id for node, each in verdict.found if any(unmet.has == RESERVED for unmet in each)]
    if not reserved:
        return ""
    tasks = picture.reserved_for()
    whom = named.names({tasks[node_id] for node_id in reserved if node_id in tasks})
    said = ", ".join(dict.fromkeys(whom[:TASKS_NAMED_MAX]))
    return f"; {len(reserved)} of them reserved for {said}, ahead of it in the queue"


def summary(verdict: Verdict, task_class: TaskClass, ahead: int) -> str:
    """Return the verdict in one sentence."""
    total = len(verdict.found)
    if verdict.verdict == "no_nodes":
        return (
            "no registered worker can run this task"
            if task_class.kind == EXTERNAL
            else "the cluster has no nodes"
        )
    if verdict.verdict == "manual":
        return "it is waiting to be distributed manually"
    if verdict.verdict == "never":
        return f"none of {total} nodes can ever run it{_nowhere(verdict, task_class)}"
    if verdict.verdict == "quota":
        return f"the quota of project {task_class.project} is used up"
    if verdict.verdict == "waiting":
        able = sum(1 for _, each in verdict.found if not any(unmet.never for unmet in each))
        return f"{able} of {total} nodes can run it but are busy now"
    return f"it fits now; {ahead} tasks are ahead of it in the queue" if ahead else "it fits now and is next"


def _nowhere(verdict: Verdict, task_class: TaskClass) -> str:
    """Name the required capabilities that no node has."""
    missing = [{unmet.dimension for unmet in each} for _, each in verdict.found]
    names = sorted(
        name for name in task_class.capabilities if all(f"capabilities.{name}" in m for m in missing)
    )
    kind = "worker" if task_class.kind == EXTERNAL else "node"
    return f": no {kind} has the capability {', '.join(names)}" if names else ""


def _preempts(
    picture: Picture, task: Task, task_class: TaskClass, verdict: Verdict, named: NamedTasks
) -> PreemptsView | None:
    """Return the tasks that it would preempt, if it may preempt."""
    level = LEVELS.get(picture.policy.preempt_from)
    if (
        verdict.verdict != "waiting"
        or level is None
        or level_of(picture.state, task) < level
        or task_class.gang
        or task_class.kind == EXTERNAL
    ):
        return None
    room = make_room(picture.fleet(), task_class, level_of(picture.state, task), picture.running)
    if room is None:
        return None
    return {"node": room[0].id, "tasks": [named.name(victim.task_id) for victim in room[1]]}


def _when(picture: Picture, task_class: TaskClass, verdict: Verdict, ahead: int) -> StartView:
    rate = endings_per_s(picture.state, picture.now)
    if verdict.verdict == "placeable" and not ahead:
        start: float | None = 0.0
    elif ahead and rate > 0:
        start = ahead / rate
    else:
        start = verdict.freeing.in_s if verdict.freeing is not None else None
    measured = picture.state.durations.of(task_class[:3])
    middle, most = completion(measured, start, picture.now) if start is not None else (None, None)
    return {
        "estimated_start": None if start is None else picture.now + start,
        "estimated_completion": middle,
        "estimated_completion_p90": most,
    }
