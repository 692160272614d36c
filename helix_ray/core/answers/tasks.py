"""Answers questions about tasks."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from heapq import merge
from itertools import islice

from helix_ray.core import questions as q
from helix_ray.core.access import Principal
from helix_ray.core.answers.named_tasks import NamedTasks
from helix_ray.core.answers.picture import Answerers, NewsChecks, Picture, Steppers, whole
from helix_ray.core.errors import Rejected, conflict, not_found
from helix_ray.core.lifecycle import TERMINAL
from helix_ray.core.state import State, Task
from helix_ray.core.views.events import NoticeTasksView, notice_task
from helix_ray.core.views.other_tasks import without_unseen
from helix_ray.core.views.tasks import (
    EndedView,
    ResultView,
    TaskLineView,
    TaskPageView,
    TaskView,
    result_view,
    task_line,
    task_view,
)
from helix_ray.core.visibility import EVERY_TASK, TaskScope, record_of, sees, sees_names, task_scope

# A listing with filters scans all tasks, this many in each step: a few milliseconds.
SCAN_TASKS_PER_STEP = 5000


def find_task(state: State, task_id: str, by: Principal) -> Task | Rejected:
    """Return a task that the caller may see; for others it does not exist."""
    task = state.tasks.get(task_id)
    if task is None or not sees(by, record_of(task)):
        return not_found("Task", task_id)
    return task


def _get_task(picture: Picture, question: q.GetTask, by: Principal) -> TaskView | Rejected:
    task = find_task(picture.state, question.task_id, by)
    if isinstance(task, Rejected):
        return task
    view = task_view(task)
    return view if sees_names(by, task.owner) else without_unseen(view, NamedTasks(picture.state, by).visible)


def _get_result(picture: Picture, question: q.GetResult, by: Principal) -> ResultView | Rejected:
    task = find_task(picture.state, question.task_id, by)
    if isinstance(task, Rejected):
        return task
    if task.status not in TERMINAL:
        return conflict(f"The task is {task.status} and has no result yet", status=task.status.value)
    return _outcome(picture, task, by)


def _outcome(picture: Picture, task: Task, by: Principal) -> ResultView:
    view = result_view(task)
    if task.error is None or sees_names(by, task.owner):
        return view
    return without_unseen(view, NamedTasks(picture.state, by).visible)


def _list_tasks(picture: Picture, question: q.ListTasks, by: Principal) -> TaskPageView:
    return whole(list_tasks(picture, question, by))


def list_tasks(picture: Picture, question: q.ListTasks, by: Principal) -> Generator[None, None, TaskPageView]:
    """Make a page, newest first, in steps: the state may change between two steps, and each task is listed as
    of its step. `archived_through`, `archived` and `seq` tell the history where its part begins, and as of
    when; `before` has the seqs of tasks before the page, if archived tasks may be among them."""
    state = picture.state
    seq = state.seq
    scope = task_scope(by)
    end = question.offset + question.limit
    known_total = _indexed_total(state, question) if scope == EVERY_TASK else None
    shown: list[tuple[Task, TaskLineView]] = []
    before: list[int] = []
    total = 0
    for tasks in _newest_first(state):
        for task in _matching(tasks, question, scope):
            if question.offset <= total < end:
                shown.append((task, task_line(task)))
            elif total < question.offset and state.archived:
                before.append(task.seq)
            total += 1
        if known_total is not None and total >= end:
            break
        yield
    # Tasks that have left memory between two steps are listed by the history.
    lines = [
        line for task, line in shown if task.id in state.tasks or task.finished_seq > state.archived_through
    ]
    return {
        "tasks": lines,
        "total": (total if known_total is None else known_total) - (len(shown) - len(lines)),
        "limit": question.limit,
        "offset": question.offset,
        "archived": sum(state.archived.values()),
        "archived_through": state.archived_through,
        "seq": seq,
        "before": before,
    }


def _newest_first(state: State) -> Iterator[Sequence[Task]]:
    """Yield the tasks that existed at the first step, without those that are gone since, about
    SCAN_TASKS_PER_STEP at a time.

    Tasks restored from the history are sorted by their submit.
    """
    if not state.restored:
        yield from _in_steps(state)
        return
    restored = sorted((state.tasks[task_id] for task_id in state.restored), key=_seq_of)
    for tasks in _in_steps(state):
        others = [task for task in tasks if task.id not in state.restored]
        if others:
            mine = [restored.pop() for _ in range(len(restored)) if restored[-1].seq > others[-1].seq]
            yield list(merge(_still(state, mine), others, key=_seq_of, reverse=True))
    yield _still(state, restored[::-1])


def _still(state: State, tasks: Sequence[Task]) -> list[Task]:
    return [task for task in tasks if state.tasks.get(task.id) is task]


def _seq_of(task: Task) -> int:
    return task.seq


def _in_steps(state: State) -> Iterator[Sequence[Task]]:
    first = list(islice(reversed(state.tasks.values()), SCAN_TASKS_PER_STEP))
    if len(state.tasks) <= SCAN_TASKS_PER_STEP:
        yield first
        return
    ids = list(state.tasks)
    yield first
    for stop in range(len(ids) - SCAN_TASKS_PER_STEP, 0, -SCAN_TASKS_PER_STEP):
        some = reversed(ids[max(0, stop - SCAN_TASKS_PER_STEP) : stop])
        yield [task for task_id in some if (task := state.tasks.get(task_id)) is not None]


def _indexed_total(state: State, question: q.ListTasks) -> int | None:
    filters = (
        question.priority, question.type, question.project_id, question.assigned_worker,
        question.id_prefix, question.since, question.until, question.seqs,
    )  # fmt: skip
    if any(value is not None for value in filters):
        return None
    wanted = question.status
    return sum(count for status, count in state.by_status.items() if wanted is None or status == wanted)


def _matching(tasks: Iterable[Task], question: q.ListTasks, scope: TaskScope) -> Iterator[Task]:
    wanted = {
        name: value for name in ("type", "project_id") if (value := getattr(question, name)) is not None
    }
    # First what tells most of them apart: a listing of what has ended passes all that waits.
    if question.status is not None:
        tasks = [task for task in tasks if task.status == question.status]
    for task in tasks:
        if scope is not EVERY_TASK and not scope.has(*record_of(task)):
            continue
        if question.priority is not None and task.spec.get("priority", "normal") != question.priority:
            continue
        if question.assigned_worker is not None and task.worker != question.assigned_worker:
            continue
        if question.id_prefix is not None and not task.id.startswith(question.id_prefix):
            continue
        if question.since is not None and task.created_at < question.since:
            continue
        if question.until is not None and task.created_at >= question.until:
            continue
        if question.seqs is not None and not question.seqs[0] <= task.seq <= question.seqs[1]:
            continue
        if all(task.spec.get(name) == value for name, value in wanted.items()):
            yield task


def _wait_tasks(picture: Picture, question: q.WaitTasks, by: Principal) -> EndedView:
    """`done` holds the outcome of every finished one; `unknown` the ids that are not
    (or no longer) in memory."""
    done, unknown, open_count = [], [], 0
    for task_id in question.task_ids:
        task = find_task(picture.state, task_id, by)
        if isinstance(task, Rejected):
            unknown.append(task_id)
        elif task.status in TERMINAL:
            view = _outcome(picture, task, by)
            done.append(view if question.results else {**view, "result": None})
        else:
            open_count += 1
    return {"done": done, "unknown": unknown, "open": open_count}


def _notice_tasks(picture: Picture, question: q.NoticeTasks, by: Principal) -> NoticeTasksView:
    found = {task_id: find_task(picture.state, task_id, by) for task_id in question.task_ids}
    return {
        "tasks": {task_id: notice_task(task) for task_id, task in found.items() if isinstance(task, Task)},
        "unknown": [task_id for task_id, task in found.items() if isinstance(task, Rejected)],
    }


def _finished(question: q.WaitTasks, reply: EndedView) -> bool:
    return bool(reply["done"] or reply["unknown"])


TASK_ANSWERS: Answerers = {
    q.GetTask: _get_task,
    q.GetResult: _get_result,
    q.ListTasks: _list_tasks,
    q.WaitTasks: _wait_tasks,
    q.NoticeTasks: _notice_tasks,
}

TASK_STEPS: Steppers = {q.ListTasks: list_tasks}
TASK_NEWS: NewsChecks = {q.WaitTasks: _finished}
