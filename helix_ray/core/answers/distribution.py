"""Plans where a task would go if it were distributed now: the answer to PlanTask. It changes nothing."""

from __future__ import annotations

from helix_ray.core.answers.explanation import (
    NODES_LISTED_MAX,
    as_asked_of,
    candidates,
    freeing_view,
    judge,
    node_verdict,
    reason_counts,
    summary,
)
from helix_ray.core.answers.picture import Picture
from helix_ray.core.decide.shards import waiting_shards
from helix_ray.core.durations import Measured
from helix_ray.core.errors import Rejected, conflict, invalid
from helix_ray.core.families import shards_of
from helix_ray.core.lifecycle import Status
from helix_ray.core.placement import Fleet, Node
from helix_ray.core.placement.changes import Change
from helix_ray.core.placement.estimate import UNKNOWN, completion
from helix_ray.core.placement.rules import Shares
from helix_ray.core.placement.strategies import STRATEGIES, Strategy
from helix_ray.core.questions import PlanTask
from helix_ray.core.state import EXTERNAL, MANUAL, Task, TaskClass, class_of
from helix_ray.core.views.placement import EstimateBasis, EstimateView, PlanView, RunsView, WhyNotView
from helix_ray.core.views.tasks import TaskView, task_view

OVER_MAX_NODES = "max_nodes"
# How many nodes a sentence names.
NODES_NAMED_MAX = 3
BEGUN = (Status.RUNNING, Status.COMPLETED)
# What to do with a task that cannot be distributed in its status.
INSTEAD = {
    Status.WAITING: ": it can be distributed once the tasks it depends on complete",
    Status.COMPLETED: ": submit it again to run it again",
    Status.FAILED: ": retry it first",
    Status.CANCELLED: ": retry it first",
}


def plan_task(picture: Picture, question: PlanTask, task: Task) -> PlanView | Rejected:
    """Return where a task would go and when it will end, or why it cannot be placed and what would help;
    for a task that already runs on suitable nodes, which these are."""
    refused = _refused(picture, question, task)
    if refused is not None:
        return refused
    if task.status is Status.RUNNING:
        return _where_it_runs(picture, question, task)
    shards = waiting_shards(picture.state, task)
    task_class = _asked(question, shards[0])
    strategy = STRATEGIES[question.strategy or _own(task, picture)]
    fleet = candidates(picture, task_class)
    allowed = Shares(fleet.slots, fleet.totals, picture.state.quotas).slots_allowed(task_class)
    wanted = len(shards) if allowed is None or task_class.kind == EXTERNAL else min(allowed, len(shards))
    nodes = _choose(fleet, as_asked_of(task_class), strategy, wanted, question.max_nodes)
    if not nodes or (task_class.gang and len(nodes) < len(shards)):
        why = _why_not(picture, question, task_class, len(nodes), len(shards), fleet)
        return {"kind": "no_place", "id": task.id, "strategy": strategy.name, "pairs": [], **why}
    # Without a gang the shards that do not fit now are placed later, by the same strategy.
    pairs = [(shard.id, node.id) for shard, node in zip(shards, nodes, strict=False)]
    waves = -(-(len(shards) - len(nodes)) // len(nodes))
    return {
        "kind": "planned",
        "id": task.id,
        "strategy": strategy.name,
        "pairs": pairs,
        "shards_waiting": len(shards) - len(nodes),
        **_done_at(picture, task_class, nodes, fleet, waves),
    }


def _own(task: Task, picture: Picture) -> str:
    own = task.spec.get("strategy") or MANUAL
    return picture.policy.strategy if own == MANUAL else own


def _why_not(
    picture: Picture, question: PlanTask, task_class: TaskClass, placed: int, wanted: int, fleet: Fleet
) -> WhyNotView:
    verdict = judge(picture, task_class, wanted if task_class.gang else 1, None if placed else fleet)
    return {
        "summary": _short(placed, wanted, question) or summary(verdict, task_class, 0),
        "reasons": reason_counts(verdict.found),
        "nodes": [node_verdict(node, found) for node, found in verdict.found[:NODES_LISTED_MAX]],
        "change": verdict.change or _fewer(placed, wanted),
        "change_node": verdict.at,
        "expected_free": freeing_view(verdict.freeing),
    }


def _refused(picture: Picture, question: PlanTask, task: Task) -> Rejected | None:
    wrong = _wrong_strategy(question)
    if wrong is None and "shard" not in task.spec:
        if task.id in picture.state.delayed:
            message = "The task is waiting for its retry delay: distribute it after that"
            return conflict(message, status=task.status.value, not_before=task.not_before)
        if task.status in (Status.PENDING, Status.RUNNING):
            return None
    return wrong or refused_by_status(question, task_view(task))


def _wrong_strategy(question: PlanTask) -> Rejected | None:
    if question.strategy is None or question.strategy in STRATEGIES:
        return None
    return invalid(
        "Invalid distribution strategy", field="distribution_strategy", allowed_values=list(STRATEGIES)
    )


def refused_by_status(question: PlanTask, task: TaskView) -> Rejected:
    """Refuse to plan for a shard, or for a task that waits or has ended, given its view."""
    wrong = _wrong_strategy(question)
    if wrong is not None:
        return wrong
    if "shard" in task:
        parent = task["shard"]["of"]
        return conflict(f"This task is a shard of {parent}: distribute the parent instead", id=parent)
    status = Status(task["status"])
    message = f"A {status} task cannot be distributed{INSTEAD[status]}"
    return conflict(message, status=status.value, assigned_worker=task["assigned_worker"])


def _where_it_runs(picture: Picture, question: PlanTask, task: Task) -> RunsView | Rejected:
    """Return the nodes of a running task, if they are suitable; it does not matter
    which strategy chose them."""
    shards = shards_of(picture.state, task)
    begun = [shard for shard in shards or [task] if shard.worker is not None and shard.status in BEGUN]
    nodes = list(dict.fromkeys(shard.worker for shard in begun if shard.worker is not None))
    common: dict[str, object] = {
        "status": task.status.value,
        "assigned_nodes": nodes,
        "assigned_worker": task.worker,
    }
    if not nodes and not shards:
        return conflict(
            "A user is working on this task: set it to pending before distributing it, or cancel it",
            **common,
        )
    workers = picture.state.workers
    lacking = sorted(
        {
            name
            for name in question.capabilities
            for node in nodes
            if node not in workers or name not in workers[node].capabilities
        }
    )
    if lacking or len(nodes) > (question.max_nodes or len(nodes)):
        why = f"which lacks {', '.join(lacking)}" if lacking else f"more than {question.max_nodes} nodes"
        return conflict(
            f"The task is already running on {', '.join(nodes[:NODES_NAMED_MAX])}, {why}: cancel and "
            "retry it, then distribute it",
            missing_capabilities=lacking,
            **common,
        )
    waiting = sum(1 for shard in shards if shard.status is Status.PENDING)
    return {
        "kind": "runs",
        "id": task.id,
        "strategy": _own(task, picture),
        "assigned_nodes": nodes,
        "shards_waiting": waiting,
        **_over_at(picture, begun, -(-waiting // max(1, len(nodes)))),
    }


def _over_at(picture: Picture, begun: list[Task], waves: int) -> EstimateView:
    """Return when the last of the running shards will end, and then a number of others
    after it; never in the past."""
    running = [shard.started_at for shard in begun if shard.status is Status.RUNNING and shard.started_at]
    measured = picture.state.durations.of(begun[0].task_class[:3]) if begun else None
    average = (measured.average_s if measured is not None else None) or 0.0
    middle, most = completion(measured, waves * average, max(running, default=picture.now))
    return {
        "estimated_completion": None if middle is None else max(picture.now, middle),
        "estimated_completion_p90": None if most is None else max(picture.now, most),
        **_estimated_from(measured, middle),
    }


def _asked(question: PlanTask, shard: Task) -> TaskClass:
    capabilities = [*(shard.spec.get("required_capabilities") or ()), *question.capabilities]
    return class_of({**shard.spec, "required_capabilities": list(dict.fromkeys(capabilities))}, shard.owner)


def _choose(
    fleet: Fleet, task_class: TaskClass, strategy: Strategy, wanted: int, max_nodes: int | None
) -> list[Node]:
    """Return a node for each shard in the strategy's order, on at most `max_nodes` different nodes."""
    chosen: dict[str, Node] = {}
    nodes: list[Node] = []
    heap = fleet.heap(task_class, strategy)
    while len(nodes) < wanted and (node := heap.best() or _with_rest(fleet, task_class)) is not None:
        fleet.take(node, task_class, 1)
        chosen[node.id] = node
        nodes.append(node)
        if len(chosen) == max_nodes:
            for other in fleet.nodes.values():
                if other.id not in chosen and not other.unschedulable:
                    other.unschedulable = OVER_MAX_NODES
                    fleet.changed(other)
            max_nodes = None
            heap = fleet.heap(task_class, strategy)
    return nodes


def _with_rest(fleet: Fleet, task_class: TaskClass) -> Node | None:
    """Return a node with a partly filled slot that can take one more short task."""
    prefetch = fleet.prefetch(task_class)
    able = (node for node in fleet.open_nodes() if node.rest(task_class, prefetch) and node.suits(task_class))
    return min(able, key=lambda node: (node.tasks, node.order), default=None)


def _short(placed: int, wanted: int, question: PlanTask) -> str | None:
    if not 0 < placed < wanted:
        return None
    where = f" on {question.max_nodes} nodes" if question.max_nodes is not None else ""
    return f"only {placed} of {wanted} shards fit now{where}"


def _fewer(placed: int, wanted: int) -> list[Change] | None:
    if 0 < placed < wanted:
        return [{"change": "fewer_shards", "to": placed, "by": wanted - placed}]
    return None


def _done_at(
    picture: Picture, task_class: TaskClass, nodes: list[Node], fleet: Fleet, waves: int
) -> EstimateView:
    """Return when the last shard will be done: behind the tasks of its slot and the shards ahead of it."""
    measured = picture.state.durations.of(task_class[:3])
    average = (measured.average_s if measured is not None else None) or 0.0
    wait_s = _slot_wait_s(task_class, nodes, fleet, average) + waves * average
    middle, most = completion(measured, wait_s, picture.now)
    return {
        "estimated_completion": middle,
        "estimated_completion_p90": most,
        **_estimated_from(measured, middle),
    }


def _estimated_from(measured: Measured | None, middle: float | None) -> EstimateBasis:
    ended = measured.ended if measured is not None else 0
    return {
        "estimate_basis": f"based on {ended} measured runs of this kind" if ended else None,
        "estimate_missing": UNKNOWN if middle is None else None,
    }


def _slot_wait_s(task_class: TaskClass, nodes: list[Node], fleet: Fleet, average: float) -> float:
    if task_class.kind == EXTERNAL:
        return 0.0
    prefetch = fleet.prefetch(task_class)
    return max((node.load.get(task_class, 1) - 1) % prefetch for node in nodes) * average
