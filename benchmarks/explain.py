"""Questions of an operator on a large cluster that is in use: why a task waits, where it would
go, what nodes there are."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from benchmarks.report import Line, Report, Series, at_most
from benchmarks.scale import Scale
from benchmarks.simulated import Simulated
from benchmarks.trace import RUN, TASKS_PER_NODE, offers, specs
from helix_ray.core.questions import ExplainTask, ListNodes, PlanTask, Question
from helix_ray.core.specs import TaskSpec
from helix_ray.journal.memory import MemoryJournal

NAME = "explain"
EXPLAIN_MS_MAX = 200.0
ASKED = 5
TASK: TaskSpec = {"title": "Test Task", "type": "building", "run": RUN}
# A task of each verdict: what it asks for, by what is told of it.
TASKS: dict[str, TaskSpec] = {
    "fits": {"resources": {"cpu": 1}},
    "has no room now": {"resources": {"cpu": 64}, "required_capabilities": ["high_memory"]},
    "could never run": {"resources": {"cpu": 1, "gpu": 2}, "labels": {"zone": "nowhere"}},
}
VERDICTS = {"fits": "placeable", "has no room now": "waiting", "could never run": "never"}
SHARDS = 100


def run(scale: Scale) -> Report:
    """Fill the nodes, then ask."""
    nodes = scale.explain_nodes
    cluster = busy(nodes)
    ids = dict(zip(TASKS, cluster.submit([{**TASK, **asked} for asked in TASKS.values()]), strict=True))
    lines = []
    for what, task_id in ids.items():
        verdict = cluster.ask(ExplainTask(task_id))["verdict"]
        if verdict != VERDICTS[what]:
            raise AssertionError(f"the task that {what} is {verdict}")
        for question in (ExplainTask(task_id), PlanTask(task_id)):
            name = f"{type(question).__name__}, {nodes:,} nodes, a task that {what}"
            lines.append(_line(name, cluster, question, scale, EXPLAIN_MS_MAX))
    [whole] = cluster.submit([{**TASK, "shards": {"count": SHARDS}}])
    lines.append(_line(f"PlanTask, {nodes:,} nodes, {SHARDS} shards", cluster, PlanTask(whole), scale))
    many = busy(scale.list_nodes) if scale.list_nodes != nodes else cluster
    lines.append(_line(f"ListNodes, {scale.list_nodes:,} nodes", many, ListNodes(), scale))
    notes = (
        f"in the engine, without HTTP and JSON; CPU time of its thread; {TASKS_PER_NODE} tasks a node run; "
        f"medians of {ASKED} a round",
        "every node has been heard of between two questions, as it is in a second: all of them are "
        "looked at again",
    )
    return Report(NAME, "questions about a large cluster", tuple(lines), notes)


def busy(nodes: int) -> Simulated:
    """Return a cluster whose nodes run what found room; none of those with much memory is empty."""
    cluster = Simulated(MemoryJournal(), offers(nodes))
    cluster.submit(specs(nodes * TASKS_PER_NODE))
    one_each: TaskSpec = {**TASK, "required_capabilities": ["high_memory"], "strategy": "spread"}
    cluster.submit([one_each] * (nodes // 8))
    while cluster.react():
        pass
    return cluster


def _line(
    what: str, cluster: Simulated, question: Question, scale: Scale, limit_ms: float | None = None
) -> Line:
    rounds = tuple(statistics.median(_taken_ms(cluster, question)) for _ in range(scale.rounds))
    series = Series("", "ms", rounds)
    return Line(what, series, goal=None if limit_ms is None else at_most(limit_ms, "ms", series))


def _taken_ms(cluster: Simulated, question: Question) -> Iterator[float]:
    for _ in range(ASKED):
        cluster.hear()
        started = time.thread_time()
        cluster.ask(question)
        yield (time.thread_time() - started) * 1e3
