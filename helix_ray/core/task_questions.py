"""Questions about tasks: their fields, results and output, and where they would go."""

from __future__ import annotations

from dataclasses import dataclass

from helix_ray.core.access import CONTENT_READERS, EVERYBODY, READERS, SYSTEM_ONLY, Tokens
from helix_ray.core.question_kind import QuestionKind
from helix_ray.core.views.placement import ExplainView, PlanView
from helix_ray.core.views.tasks import EndedView, ItemsView, LogView, ResultView, TaskPageView, TaskView


@dataclass(frozen=True, slots=True)
class GetTask(QuestionKind[TaskView]):
    """One task with all its fields."""

    allowed = EVERYBODY
    reads = "tasks"
    tokens = Tokens.ALL
    while_stopping = True
    short = True
    cached = True

    task_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListTasks(QuestionKind[TaskPageView]):
    """Tasks, newest first. `since` and `until` limit created_at: half open, epoch seconds."""

    allowed = READERS
    tokens = Tokens.ALL
    while_stopping = True
    travels_alone = True
    in_steps = True

    status: str | None = None
    priority: str | None = None
    type: str | None = None
    project_id: str | None = None
    assigned_worker: str | None = None
    id_prefix: str | None = None
    since: float | None = None
    until: float | None = None
    limit: int = 50
    offset: int = 0
    # Only tasks in memory whose submit has a seq in this range; for the history.
    seqs: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class GetResult(QuestionKind[ResultView]):
    """The result of a finished task."""

    allowed = CONTENT_READERS
    reads = "results"
    tokens = Tokens.ALL
    while_stopping = True
    kept_on_nodes = True

    task_id: str
    # Leave a pickled result on its node: the caller cannot read it.
    json_only: bool = False


@dataclass(frozen=True, slots=True)
class ReadLog(QuestionKind[LogView]):
    """The output of a task's attempt (default: the newest) from a byte offset.

    `raw`: the text has a character for each byte (latin-1).
    """

    allowed = CONTENT_READERS
    reads = "logs"
    tokens = Tokens.ALL
    while_stopping = True
    of_node = True

    task_id: str
    attempt: int | None = None
    offset: int = 0
    limit_bytes: int = 262_144
    raw: bool = False


@dataclass(frozen=True, slots=True)
class ReadItems(QuestionKind[ItemsView]):
    """What a task's attempt (default: the newest) has yielded, as pickles, from a byte offset of its file."""

    allowed = SYSTEM_ONLY
    reads = "results"
    of_node = True

    task_id: str
    attempt: int | None = None
    offset: int = 0
    limit_bytes: int = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class WaitTasks(QuestionKind[EndedView]):
    """The finished ones of these tasks, with their `results` or without; waits until there is one."""

    allowed = CONTENT_READERS
    reads = "results"
    tokens = Tokens.ALL
    while_stopping = True
    travels_alone = True

    task_ids: tuple[str, ...]
    results: bool = True


@dataclass(frozen=True, slots=True)
class ExplainTask(QuestionKind[ExplainView]):
    """The explanation of a task's placement, and what would help."""

    allowed = READERS
    tokens = Tokens.ALL
    travels_alone = True
    one_at_a_time = True

    task_id: str


@dataclass(frozen=True, slots=True)
class PlanTask(QuestionKind[PlanView]):
    """Where a pending task, or its shards, would go now, with `capabilities` required beside its own."""

    allowed = READERS
    tokens = Tokens.ALL
    travels_alone = True
    one_at_a_time = True

    task_id: str
    strategy: str | None = None
    capabilities: tuple[str, ...] = ()
    max_nodes: int | None = None
