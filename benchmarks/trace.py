"""Clusters and tasks of fixed seeds: what placement is measured with. The same numbers
give the same trace, always.

Six in ten nodes have CPUs only, two GPUs, one NPUs, one much memory. Tasks come in eight shapes,
from five projects that submit unevenly, with four priorities. Ten tasks a node take most of what is
there, and all find room.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from helix_ray.core.placement import Node
from helix_ray.core.ready_queue import ReadyQueue
from helix_ray.core.specs import LEVELS, PRIORITIES, Run, TaskSpec
from helix_ray.core.state import TaskClass, class_of

SEED = 20_260_801
TASKS_PER_NODE = 10
ZONES = ("a", "b", "c", "d")
RUN: Run = {"kind": "function", "function": "helix_ray.samples:noop"}
SPEC: TaskSpec = {"title": "Test Task", "type": "building", "run": RUN}

# Share of all nodes in tenths, resources, capabilities.
KINDS: tuple[tuple[int, dict[str, float], tuple[str, ...]], ...] = (
    (6, {"cpu": 16.0, "memory_mb": 65_536.0}, ()),
    (2, {"cpu": 32.0, "memory_mb": 131_072.0, "gpu": 4.0}, ("gpu",)),
    (1, {"cpu": 16.0, "memory_mb": 65_536.0, "npu": 8.0}, ("npu",)),
    (1, {"cpu": 64.0, "memory_mb": 524_288.0}, ("high_memory",)),
)
# Weight, and what a task of the shape asks for.
SHAPES: tuple[tuple[int, TaskSpec], ...] = (
    (40, {"resources": {"cpu": 1, "memory_mb": 1024}}),
    (10, {"resources": {"cpu": 4, "memory_mb": 8192}}),
    (12, {"resources": {"cpu": 0.5}, "labels": {"zone": "a"}}),
    (12, {"resources": {"cpu": 2}, "labels": {"disk": "ssd"}}),
    (10, {"resources": {"cpu": 1, "gpu": 0.25}, "required_capabilities": ["gpu"]}),
    (3, {"resources": {"cpu": 4, "gpu": 1}, "labels": {"disk": "ssd"}, "required_capabilities": ["gpu"]}),
    (8, {"resources": {"cpu": 1, "npu": 0.5}, "required_capabilities": ["npu"]}),
    (5, {"resources": {"cpu": 4, "memory_mb": 32_768}, "required_capabilities": ["high_memory"]}),
)
PROJECTS = {"red": 50, "blue": 25, "green": 15, "amber": 7, "teal": 3}
LEVEL_WEIGHTS = (20, 60, 15, 5)


@dataclass(frozen=True, slots=True)
class Offer:
    """A node before anything runs on it."""

    id: str
    resources: dict[str, float]
    capabilities: tuple[str, ...]
    labels: dict[str, str]

    def node(self) -> Node:
        """Return it as the scheduler sees it."""
        return Node(self.id, self.resources, frozenset(self.capabilities), self.labels)


def offers(count: int) -> list[Offer]:
    """Return nodes, their kinds in random order."""
    chance = Random(SEED)
    kinds = [kind for kind in KINDS for _ in range(kind[0])]
    made = []
    for i in range(count):
        _, resources, capabilities = chance.choice(kinds)
        labels = {"zone": chance.choice(ZONES), "disk": chance.choice(("ssd", "hdd"))}
        made.append(Offer(f"node-{i:05}", resources, capabilities, labels))
    return made


def specs(count: int, seed: int = SEED) -> list[TaskSpec]:
    """Return what is submitted, in order; tasks of one shape and project share their demands."""
    chance = Random(seed)
    shapes = chance.choices([shape for _, shape in SHAPES], [weight for weight, _ in SHAPES], k=count)
    projects = chance.choices([*PROJECTS], [*PROJECTS.values()], k=count)
    levels = chance.choices(PRIORITIES, LEVEL_WEIGHTS, k=count)
    return [
        {**SPEC, "priority": level, "project_id": project, **shape}
        for shape, project, level in zip(shapes, projects, levels, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Waiting:
    """One task of a trace as the scheduler knows it: its class, its level, when it
    was submitted (seconds)."""

    id: str
    task_class: TaskClass
    level: int
    at: float = 0.0


def waiting(count: int, seed: int = SEED) -> list[Waiting]:
    """Return a trace's tasks without the engine."""
    return [
        Waiting(f"t{seed}-{i}", class_of(spec), LEVELS[spec["priority"]])
        for i, spec in enumerate(specs(count, seed))
    ]


class Queues:
    """What waits, as the state keeps it."""

    def __init__(self) -> None:
        self.ready: dict[TaskClass, ReadyQueue] = {}
        self.tasks: dict[str, Waiting] = {}

    def add(self, task: Waiting) -> None:
        """Put a task at the end of its line."""
        self.ready.setdefault(task.task_class, ReadyQueue()).add(task.id, task.level, task.at, first=False)
        self.tasks[task.id] = task

    def remove(self, task_id: str) -> Waiting:
        """Take a task out."""
        task = self.tasks.pop(task_id)
        queue = self.ready[task.task_class]
        queue.discard(task_id, task.level)
        if not queue.size:
            del self.ready[task.task_class]
        return task
