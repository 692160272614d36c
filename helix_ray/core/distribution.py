"""Where a task would go if it were distributed now: the answer to PlanTask. It changes nothing."""

from __future__ import annotations

from typing import Any

from helix_ray.core.cluster import Cluster
from helix_ray.core.decide.shards import shards_of
from helix_ray.core.errors import Rejected, conflict, invalid
from helix_ray.core.explain import (
    NODES_LISTED_MAX,
    as_asked_of,
    candidates,
    freeing_view,
    judge,
    node_verdict,
    reason_counts,
    summary,
)
from helix_ray.core.lifecycle import Status
from helix_ray.core.placement import Fleet, Node
from helix_ray.core.placement.estimate import UNKNOWN, completion
from helix_ray.core.placement.strategies import STRATEGIES, Strategy
from helix_ray.core.questions import PlanTask
from helix_ray.core.state import EXTERNAL, Task, TaskClass, class_of

OVER_MAX_NODES = "max_nodes"


def plan_task(cluster: Cluster, question: PlanTask, task: Task) -> dict[str, Any] | Rejected:
    """Return `pairs` and when they will be done, or why there are none and what would help."""
    refused = _refused(cluster, question, task)
    if refused is not None:
        return refused
    parts = [shard for shard in shards_of(cluster.state, task) if shard.status is Status.PENDING] or [task]
    group = _asked(question, parts[0])
    strategy = STRATEGIES[question.strategy or cluster.policy.strategy]
    fleet = candidates(cluster, group)
    nodes = _choose(fleet, as_asked_of(group), strategy, len(parts), question.max_nodes)
    verdict = judge(cluster, group, len(parts) if group.gang else 1)
    view: dict[str, Any] = {
        "id": task.id,
        "strategy": strategy.name,
        "shards": len(parts) if parts[0] is not task else None,
    }
    if len(nodes) < len(parts) or verdict.verdict == "quota":
        return {
            **view,
            "pairs": [],
            "summary": _short(len(nodes), len(parts), question) or summary(verdict, group, 0),
            "reasons": reason_counts(verdict.found),
            "nodes": [node_verdict(node, found) for node, found in verdict.found[:NODES_LISTED_MAX]],
            "change": verdict.change or _fewer(len(nodes), len(parts), question),
            "change_node": verdict.at,
            "expected_free": freeing_view(verdict.freeing),
        }
    pairs = [(part.id, node.id) for part, node in zip(parts, nodes, strict=True)]
    return {**view, "pairs": pairs, **_done_at(cluster, group, nodes, fleet)}


def _refused(cluster: Cluster, question: PlanTask, task: Task) -> Rejected | None:
    if question.strategy is not None and question.strategy not in STRATEGIES:
        return invalid(
            "Invalid distribution strategy", field="distribution_strategy", allowed_values=list(STRATEGIES)
        )
    if "shard" in task.spec:
        return conflict(
            f"It is a part of {task.spec['shard']['of']}: distribute that one", id=task.spec["shard"]["of"]
        )
    if task.status is not Status.PENDING or task.id in cluster.state.delayed:
        return conflict(f"Task is {task.status}", status=task.status.value, assigned_worker=task.worker)
    kind = "external" if task.run is None else "node"
    known = {
        name
        for w in cluster.state.workers.values()
        if w.kind == kind and not w.lost
        for name in w.capabilities
    }
    unknown = [name for name in question.capabilities if name not in known]
    if unknown:
        return invalid(
            "Unknown capability", field="required_capabilities", unknown=unknown, allowed_values=sorted(known)
        )
    return None


def _asked(question: PlanTask, part: Task) -> TaskClass:
    capabilities = [*(part.spec.get("required_capabilities") or ()), *question.capabilities]
    return class_of({**part.spec, "required_capabilities": list(dict.fromkeys(capabilities))}, part.owner)


def _choose(
    fleet: Fleet, group: TaskClass, strategy: Strategy, wanted: int, max_nodes: int | None
) -> list[Node]:
    """Return a node for each part, on at most `max_nodes` different ones, as the strategy orders them."""
    chosen: dict[str, Node] = {}
    nodes: list[Node] = []
    heap = fleet.heap(group, strategy)
    while len(nodes) < wanted and (node := heap.best()) is not None:
        fleet.take(node, group, 1)
        chosen[node.id] = node
        nodes.append(node)
        if len(chosen) == max_nodes:
            for other in fleet.nodes.values():
                if other.id not in chosen and not other.closed:
                    other.closed = OVER_MAX_NODES
                    fleet.changed(other)
            max_nodes = None
            heap = fleet.heap(group, strategy)
    return nodes


def _short(placed: int, wanted: int, question: PlanTask) -> str | None:
    if not 0 < placed < wanted:
        return None
    where = f" on {question.max_nodes} nodes" if question.max_nodes is not None else ""
    return f"only {placed} of {wanted} shards have room now{where}"


def _fewer(placed: int, wanted: int, question: PlanTask) -> list[dict[str, Any]]:
    if 0 < placed < wanted:
        return [{"change": "fewer_shards", "to": placed, "by": wanted - placed}]
    return []


def _done_at(cluster: Cluster, group: TaskClass, nodes: list[Node], fleet: Fleet) -> dict[str, Any]:
    """Return when the last part will be done: each begins now, behind what its lane holds already."""
    measured = cluster.state.durations.of(group[:3])
    middle, most = completion(measured, _lane_wait_s(cluster, group, nodes, fleet), cluster.now)
    return {
        "estimated_completion": middle,
        "estimated_completion_p90": most,
        "estimate_basis": None if measured is None else f"{measured.ended} tasks of this kind ended before",
        "estimate_missing": UNKNOWN if middle is None else None,
    }


def _lane_wait_s(cluster: Cluster, group: TaskClass, nodes: list[Node], fleet: Fleet) -> float:
    average = cluster.state.durations.average_s(group[:3])
    if average is None or group.kind == EXTERNAL:
        return 0.0
    depth = fleet.depth(group)
    before = max((node.load.get(group, 1) - 1) % depth for node in nodes)
    return before * average
