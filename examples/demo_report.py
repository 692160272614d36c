"""What the demonstration prints at its end: who did how much, how each job went,
and what is in its results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from demo_jobs import Job, Verdict
from rich.console import Console
from rich.table import Table

from helix_ray.wire.task_answers import ResultOut, TaskOut
from helix_ray.wire.workers import WorkerOut

NODE_INDEX = "helix-node-index"


@dataclass(frozen=True, slots=True)
class Seen:
    """A job with its tasks and their results, as the API gave them, in order."""

    job: Job
    tasks: list[TaskOut]
    results: list[ResultOut]

    def done(self) -> int:
        """Return how many tasks were completed."""
        return sum(task["status"] == "completed" for task in self.tasks)

    def failures(self) -> list[str]:
        """Return a line for each task that was not."""
        return [
            f"{self.job.name}: {task['id']} is {task['status']}: {task['error']}"
            for task in self.tasks
            if task["status"] != "completed"
        ]


def print_report(seen: Sequence[Seen], workers: Sequence[WorkerOut], console: Console) -> list[str]:
    """Print both tables and a sentence for each job; return what went wrong."""
    wrong: list[str] = []
    verdicts: list[Verdict | None] = []
    for one in seen:
        failures = one.failures()
        verdict = None if failures else one.job.check(one.results)
        verdicts.append(verdict)
        wrong += failures[:3] if verdict is None else verdict.wrong
    tasks = [task for one in seen for task in one.tasks]
    console.print()
    console.print(_nodes_table(tasks, workers))
    console.print(_jobs_table(seen, verdicts))
    for one, verdict in zip(seen, verdicts, strict=True):
        story = verdict.story if verdict else "failed"
        console.print(f"[bold]{one.job.name}[/]: {story}.", highlight=False, soft_wrap=True)
    idle = [name for name, count in _count_by_node(tasks, workers).items() if count == 0]
    return wrong + [f"{name} got no task" for name in idle]


def _nodes_table(tasks: Sequence[TaskOut], workers: Sequence[WorkerOut]) -> Table:
    table = Table("node", "worker", "CPUs", "tasks", "seconds at work")
    counts = _count_by_node(tasks, workers)
    for worker in sorted(workers, key=_node_name):
        held = [task for task in tasks if task["assigned_worker"] == worker["id"]]
        table.add_row(
            _node_name(worker),
            worker["id"],
            f"{worker['resources']['cpu']:g}",
            str(counts[_node_name(worker)]),
            f"{_covered_s(held):.1f}",
        )
    return table


def _count_by_node(tasks: Sequence[TaskOut], workers: Sequence[WorkerOut]) -> dict[str, int]:
    return {
        _node_name(worker): sum(task["assigned_worker"] == worker["id"] for task in tasks)
        for worker in workers
    }


def _node_name(worker: WorkerOut) -> str:
    return f"node {worker['labels'].get(NODE_INDEX, worker['hostname'])}"


def _jobs_table(seen: Iterable[Seen], verdicts: Iterable[Verdict | None]) -> Table:
    table = Table("job", "kind", "tasks", "done", "seconds", "accuracy")
    for one, verdict in zip(seen, verdicts, strict=True):
        accuracy = verdict.accuracy if verdict else None
        table.add_row(
            one.job.name,
            one.job.kind,
            str(len(one.tasks)),
            str(one.done()),
            f"{_wall_s(one.tasks):.1f}",
            "" if accuracy is None else f"{accuracy:.2%}",
        )
    return table


def _wall_s(tasks: Sequence[TaskOut]) -> float:
    """Return the seconds from the first submit to the last end."""
    ends = [_epoch(task["finished_at"]) for task in tasks if task["finished_at"]]
    return max(ends, default=0.0) - min(_epoch(task["created_at"]) for task in tasks) if ends else 0.0


def _covered_s(tasks: Iterable[TaskOut]) -> float:
    """Return for how many seconds at least one of the tasks was held by its worker."""
    spans = sorted(
        (_epoch(task["started_at"]), _epoch(task["finished_at"]))
        for task in tasks
        if task["started_at"] and task["finished_at"]
    )
    total, reached = 0.0, float("-inf")
    for start, end in spans:
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def _epoch(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
