"""Random small clusters and queues, and the brute force that placement is judged
by: it looks at everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from helix_ray.core.placement import EPSILON, FREE_SLOTS_MAX, Node
from helix_ray.core.placement.node import slots_of
from helix_ray.core.ready_queue import ReadyQueue
from helix_ray.core.state import Quota, TaskClass, class_of

ZONES = ("a", "b")
PROJECTS = ("red", "blue")
RUN: dict[str, Any] = {"kind": "function", "function": "helix_ray.samples:noop"}

labels = st.fixed_dictionaries({}, optional={"zone": st.sampled_from(ZONES), "disk": st.just("ssd")})
capabilities = st.sets(st.sampled_from(("gpu", "npu", "avx")), max_size=2)
amounts = st.fixed_dictionaries(
    {"cpu": st.sampled_from((0, 0.5, 1, 2, 4))},
    optional={
        "gpu": st.sampled_from((0.1, 0.3, 0.5, 0.6, 0.7, 1, 2)),
        "npu": st.sampled_from((1, 2)),
        "memory_mb": st.sampled_from((512, 2048)),
        "custom": st.just({"licence": 1}),
    },
)
capacities = st.fixed_dictionaries(
    {"cpu": st.sampled_from((1.0, 2.0, 4.0))},
    optional={
        "gpu": st.sampled_from((1.0, 2.0, 4.0)),
        "npu": st.just(2.0),
        "memory_mb": st.just(4096.0),
        "licence": st.just(2.0),
    },
)


def task_classes(**always: Any) -> st.SearchStrategy[TaskClass]:
    """Return classes of tasks."""
    return st.builds(
        lambda resources, wanted, capable, project: class_of(
            {
                "type": "testing",
                "run": RUN,
                "resources": resources,
                "labels": wanted,
                "required_capabilities": sorted(capable),
                "project_id": project,
                **always,
            }
        ),
        amounts,
        labels,
        capabilities,
        st.sampled_from(PROJECTS),
    )


@st.composite
def nodes(draw: st.DrawFn, max_size: int = 4) -> list[Node]:
    """Return nodes: some closed, some used by others, some that run something already."""
    made = []
    for i in range(draw(st.integers(1, max_size))):
        external_usage = draw(st.sampled_from(({}, {}, {"cpu": 1.0}, {"gpu": 0.5}, {"gpu": 1.6})))
        load = draw(st.dictionaries(task_classes(), st.integers(1, 2), max_size=1))
        node = Node(
            f"n{i}", draw(capacities), frozenset(draw(capabilities)), draw(labels), load, external_usage,
            draw(st.sampled_from(("", "", "", "draining"))),
        )  # fmt: skip
        made.append(node)
    return made


@dataclass
class Waiting:
    """What waits: classes with their lines, and who may hold how much."""

    ready: dict[TaskClass, ReadyQueue]
    quotas: dict[str, Quota]


@st.composite
def waiting(draw: st.DrawFn, max_classes: int = 4, gangs: bool = True) -> Waiting:
    """Return a few classes with a few tasks each, of several priorities, and now and then a quota."""
    ready: dict[TaskClass, ReadyQueue] = {}
    for i in range(draw(st.integers(1, max_classes))):
        task_class = draw(task_classes())
        if gangs and draw(st.integers(0, 3)) == 0:
            task_class = task_class._replace(gang=f"whole-{i}")
        queue = ready.setdefault(task_class, ReadyQueue())
        for j in range(draw(st.integers(1, 5))):
            queue.add(f"t{i}-{j}", draw(st.integers(0, 3)), float(draw(st.integers(0, 50))), first=False)
    quota = st.builds(
        Quota,
        st.dictionaries(
            st.sampled_from(("cpu", "gpu", "tasks")), st.sampled_from((1.0, 2.0, 3.0)), max_size=2
        ),
        st.sampled_from((1.0, 2.0)),
    )
    return Waiting(ready, draw(st.dictionaries(st.sampled_from(PROJECTS), quota, max_size=2)))


# ---------------------------------------------------------------------------------------------- the oracle


def free_of(node: Node, running: dict[TaskClass, int], prefetch: int) -> dict[str, float]:
    """Return what is free on a node that holds so many tasks of each class, added up from nothing."""
    free = dict(node.capacity)
    for name, amount in node.external_usage.items():
        free[name] = free.get(name, 0.0) - amount
    for task_class, count in running.items():
        for name, amount in task_class.demand:
            free[name] = free.get(name, 0.0) - amount * slots_of(count, prefetch)
    return free


def suits(node: Node, task_class: TaskClass) -> bool:
    """Say whether a class may run on a node at all."""
    labelled = all(node.labels.get(name) == value for name, value in task_class.labels)
    return not node.unschedulable and set(task_class.capabilities) <= node.capabilities and labelled


def fits(node: Node, running: dict[TaskClass, int], task_class: TaskClass, prefetch: int = 1) -> bool:
    """Say whether one more task of a class fits on a node."""
    if not suits(node, task_class):
        return False
    if running.get(task_class, 0) % prefetch:
        return True
    if not task_class.demand:
        bare = sum(slots_of(count, prefetch) for other, count in running.items() if not other.demand)
        return bare < FREE_SLOTS_MAX
    free = free_of(node, running, prefetch)
    return all(
        free.get(name, 0.0) + EPSILON >= amount
        and (name not in ("gpu", "npu") or has_devices(node, running, prefetch, name, amount))
        for name, amount in task_class.demand
    )


def has_devices(node: Node, running: dict[TaskClass, int], prefetch: int, name: str, amount: float) -> bool:
    """Say whether whole devices, or a share of one, are free: the largest users first, each on the fullest
    device."""
    uses = [node.external_usage.get(name, 0.0) % 1] + [1.0] * int(node.external_usage.get(name, 0.0))
    for task_class, count in running.items():
        mine = dict(task_class.demand).get(name, 0.0)
        single = [1.0] * int(mine) if mine >= 1 else [mine]
        uses += single * slots_of(count, prefetch)
    devices = [1.0] * int(node.capacity.get(name, 0.0))
    owed = 0
    for use in sorted((use for use in uses if use > 0), reverse=True):
        able = [free for free in devices if free + EPSILON >= use]
        if not able:
            owed += 1
            able = [1.0]
            devices.append(1.0)
        devices[devices.index(min(able))] -= use
    whole = sum(1 for free in devices if free == 1.0) - owed
    return (
        whole >= amount
        if amount >= 1
        else whole >= 1 or any(EPSILON + free >= amount for free in devices if free < 1)
    )


def slots_used(holding: dict[str, dict[TaskClass, int]], prefetch: int) -> dict[str, dict[str, float]]:
    """Return what each project uses, `tasks` included."""
    used: dict[str, dict[str, float]] = {}
    for running in holding.values():
        for task_class, count in running.items():
            mine = used.setdefault(task_class.project, {})
            slots = slots_of(count, prefetch)
            mine["tasks"] = mine.get("tasks", 0.0) + slots
            for name, amount in task_class.demand:
                mine[name] = mine.get(name, 0.0) + amount * slots
    return used


def quota_allows(
    holding: dict[str, dict[TaskClass, int]],
    quotas: dict[str, Quota],
    task_class: TaskClass,
    prefetch: int,
    more: int = 1,
) -> bool:
    """Say whether a project's quota has room for more slots of a class."""
    quota = quotas.get(task_class.project)
    if quota is None:
        return True
    used = slots_used(holding, prefetch).get(task_class.project, {})
    asked = {**dict(task_class.demand), "tasks": 1.0}
    return all(
        used.get(name, 0.0) + asked[name] * more <= limit + 1e-6
        for name, limit in quota.limits.items()
        if asked.get(name)
    )


def copy_of(found: Sequence[Node]) -> list[Node]:
    """Return the same nodes, untouched."""
    return [
        Node(n.id, n.capacity, n.capabilities, n.labels, n.load, n.external_usage, n.unschedulable)
        for n in found
    ]
