"""Questions into answers, pure: `answer(state, liveness, question, by)`. One function a question, one table.

Questions that the state cannot answer alone (logs, keys, what was retired) are answered by whoever holds them;
asking here gives NOT_FOUND or an answer that says how far it goes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from helix_ray.core import questions as q
from helix_ray.core.access import Principal, may
from helix_ray.core.errors import ErrorCode, Rejected, conflict, forbidden, not_found
from helix_ray.core.identities import IDENTITY_ANSWERERS
from helix_ray.core.lifecycle import TERMINAL
from helix_ray.core.liveness import Liveness
from helix_ray.core.state import State, Task, Worker
from helix_ray.core.usernames import find_user_id
from helix_ray.core.views import (
    project_view,
    result_view,
    session_view,
    task_line,
    task_view,
    user_view,
    worker_view,
)
from helix_ray.core.visibility import EVERY_TASK, TaskScope, record_of, sees, task_scope

Answer = dict[str, Any] | Rejected

# A listing with filters looks at every task: so many at a time, a few milliseconds' worth.
SCAN_TASKS_PER_STEP = 5000


def answer(state: State, liveness: Liveness, question: q.Question, by: Principal) -> Answer:
    """Answer a question, or refuse it."""
    name = type(question).__name__
    if not may(by, type(question)):
        return forbidden("Your role does not allow this", roles=list(by.roles), action=name)
    if type(question) in IDENTITY_ANSWERERS:
        return IDENTITY_ANSWERERS[type(question)](state, question, by)
    answerer = ANSWERERS.get(type(question))
    if answerer is None:
        return Rejected(ErrorCode.INTERNAL_ERROR, f"Question {name} is not supported")
    return answerer(state, liveness, question, by)


def find_task(state: State, task_id: str, by: Principal) -> Task | Rejected:
    """Return a task that the asker may see; for everybody else it does not exist."""
    task = state.tasks.get(task_id)
    if task is None or not sees(by, record_of(task)):
        return not_found("Task", task_id)
    return task


def _get_task(state: State, liveness: Liveness, question: q.GetTask, by: Principal) -> Answer:
    task = find_task(state, question.task_id, by)
    return task if isinstance(task, Rejected) else task_view(task)


def _get_result(state: State, liveness: Liveness, question: q.GetResult, by: Principal) -> Answer:
    task = find_task(state, question.task_id, by)
    if isinstance(task, Rejected):
        return task
    if task.status not in TERMINAL:
        return conflict(f"The task is {task.status} and has no result yet", status=task.status.value)
    return result_view(task)


def _list_tasks(state: State, liveness: Liveness, question: q.ListTasks, by: Principal) -> Answer:
    steps = list_tasks(state, question, by)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            found: Answer = done.value
            return found


def list_tasks(state: State, question: q.ListTasks, by: Principal) -> Generator[None, None, Answer]:
    """Give a page, newest first, in steps: the state may change between two, and each task is told as it is when its step
    comes. `retired_through`, `retired` and `seq` tell the history where its part begins, and as of when."""
    seq = state.seq
    scope = task_scope(by)
    end = question.offset + question.limit
    known_total = _indexed_total(state, question) if scope == EVERY_TASK else None
    shown: list[tuple[Task, dict[str, Any]]] = []
    total = 0
    for tasks in _newest_first(state):
        for task in _matching(tasks, question, scope):
            if question.offset <= total < end:
                shown.append((task, task_line(task)))
            total += 1
        if known_total is not None and total >= end:
            break
        yield
    # What has left memory between two steps is the history's to tell.
    lines = [
        line for task, line in shown if task.id in state.tasks or task.finished_seq > state.retired_through
    ]
    return {
        "tasks": lines,
        "total": (total if known_total is None else known_total) - (len(shown) - len(lines)),
        "limit": question.limit,
        "offset": question.offset,
        "retired": sum(state.retired.values()),
        "retired_through": state.retired_through,
        "seq": seq,
    }


def _newest_first(state: State) -> Iterator[Sequence[Task]]:
    """Give all tasks there were at the first step, but those that are gone since, SCAN_TASKS_PER_STEP at a time."""
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
        question.priority, question.type, question.project_id, question.assigned_worker, question.since, question.until
    )  # fmt: skip
    if any(value is not None for value in filters):
        return None
    wanted = question.status
    return sum(count for status, count in state.by_status.items() if wanted is None or status == wanted)


def _matching(tasks: Iterable[Task], question: q.ListTasks, scope: TaskScope) -> Iterator[Task]:
    wanted = {
        name: value for name in ("type", "project_id") if (value := getattr(question, name)) is not None
    }
    for task in tasks:
        if scope is not EVERY_TASK and not scope.has(*record_of(task)):
            continue
        if question.status is not None and task.status != question.status:
            continue
        if question.priority is not None and task.spec.get("priority", "normal") != question.priority:
            continue
        if question.assigned_worker is not None and task.worker != question.assigned_worker:
            continue
        if question.since is not None and task.created_at < question.since:
            continue
        if question.until is not None and task.created_at >= question.until:
            continue
        if all(task.spec.get(name) == value for name, value in wanted.items()):
            yield task


def _wait_tasks(state: State, liveness: Liveness, question: q.WaitTasks, by: Principal) -> Answer:
    """`done` holds the outcome of every finished one; `unknown` the ids that are not (or no longer) in memory."""
    done, unknown, open_count = [], [], 0
    for task_id in question.task_ids:
        task = find_task(state, task_id, by)
        if isinstance(task, Rejected):
            unknown.append(task_id)
        elif task.status in TERMINAL:
            done.append(result_view(task))
        else:
            open_count += 1
    return {"done": done, "unknown": unknown, "open": open_count}


def _work_for(state: State, liveness: Liveness, question: q.WorkFor, by: Principal) -> Answer:
    worker = state.workers.get(question.worker_id)
    if worker is None or worker.boot != question.boot:
        return not_found("Worker", question.worker_id)
    after = question.after
    full = after <= 0 or (len(worker.inbox) == worker.inbox.maxlen and worker.inbox[0][0] > after)
    if full:
        assign = [_assignment(state.tasks[i], attempt) for i, attempt in worker.running.items()]
        return {"full": True, "seq": state.seq, "assign": assign, "revoke": []}
    return {"full": False, "seq": state.seq, **_inbox_after(state, worker, after)}


def _inbox_after(state: State, worker: Worker, after: int) -> dict[str, Any]:
    assign: list[dict[str, Any]] = []
    revoke: list[tuple[str, int]] = []
    for seq, task_id, attempt, assigned in reversed(worker.inbox):
        if seq <= after:
            break
        if not assigned:
            revoke.append((task_id, attempt))
        elif worker.running.get(task_id) == attempt:
            assign.append(_assignment(state.tasks[task_id], attempt))
    assign.reverse()
    return {"assign": assign, "revoke": revoke}


def _assignment(task: Task, attempt: int) -> dict[str, Any]:
    shard = task.spec.get("shard")
    return {
        "task_id": task.id,
        "attempt": attempt,
        "run": task.spec["run"],
        "timeout_s": task.spec.get("timeout_s"),
        "group": task.task_class,
        "shard": (shard["index"], shard["count"]) if shard else None,
    }


def _list_workers(state: State, liveness: Liveness, question: q.ListWorkers, by: Principal) -> Answer:
    return {"workers": [worker_view(w, liveness.pulses.get(w.id)) for w in state.workers.values()]}


def _get_worker(state: State, liveness: Liveness, question: q.GetWorker, by: Principal) -> Answer:
    worker = state.workers.get(question.worker_id)
    if worker is None:
        return not_found("Worker", question.worker_id)
    return worker_view(worker, liveness.pulses.get(worker.id))


def _get_user(state: State, liveness: Liveness, question: q.GetUser, by: Principal) -> Answer:
    user_id = question.user_id or find_user_id(state, question.username or "") or ""
    user = state.users.get(user_id)
    if user is None or not sees(by, user):
        return not_found("User", question.user_id or question.username or "")
    return user_view(user, secret="system" in by.roles)


def _list_users(state: State, liveness: Liveness, question: q.ListUsers, by: Principal) -> Answer:
    return {"users": [user_view(user, secret=False) for user in state.users.values()]}


def _list_projects(state: State, liveness: Liveness, question: q.ListProjects, by: Principal) -> Answer:
    return {"projects": [project_view(state, p) for p in state.projects.values() if sees(by, p)]}


def _get_project(state: State, liveness: Liveness, question: q.GetProject, by: Principal) -> Answer:
    project = state.projects.get(question.project_id)
    if project is None or not sees(by, project):
        return not_found("Project", question.project_id)
    return project_view(state, project)


def _get_session(state: State, liveness: Liveness, question: q.GetSession, by: Principal) -> Answer:
    session_id = question.session_id or state.sessions_by_refresh.get(question.refresh_hash or "", "")
    session = state.sessions.get(session_id)
    return session_view(session) if session is not None else not_found("Session", session_id)


def _counts(state: State, liveness: Liveness, question: q.Counts, by: Principal) -> Answer:
    return {
        "seq": state.seq,
        "tasks": {status.value: count for status, count in state.by_status.items()},
        "retired": state.retired,
        "retired_through": state.retired_through,
        "workers": len(state.workers),
        "sessions": len(state.sessions),
    }


def _outdated(state: State, liveness: Liveness, question: q.Outdated, by: Principal) -> Answer:
    """`complete` is False for a history that is further behind than what is remembered here."""
    ids: list[str] = []
    if question.task_ids is None:
        for task_id, (first, last) in reversed(state.rewritten.items()):
            if last <= question.after:
                break
            # What was first touched later was as the history says when the asker's part was read.
            if first <= question.until:
                ids.append(task_id)
    else:
        rewritten = state.rewritten
        behind = (i for i in question.task_ids if i in rewritten and rewritten[i][1] > question.after)
        ids = [i for i in behind if i not in state.tasks]
    return {
        "task_ids": ids,
        "complete": question.after >= state.rewritten_dropped,
        "retired_through": state.retired_through,
    }


def _metrics(state: State, liveness: Liveness, question: q.Metrics, by: Principal) -> Answer:
    """`loops` is filled in by the process whose loops there are to measure."""
    workers = Counter(
        (worker.kind, "lost" if worker.lost else "draining" if worker.draining else "live")
        for worker in state.workers.values()
    )
    return {
        "seq": state.seq,
        "tasks": {status.value: count for status, count in state.by_status.items()},
        "retired": sum(state.retired.values()),
        "workers": [[kind, standing, count] for (kind, standing), count in sorted(workers.items())],
        "sessions": len(state.sessions),
        "loops": {},
    }


ANSWERERS: dict[type, Callable[[State, Liveness, Any, Principal], Answer]] = {
    q.GetTask: _get_task,
    q.GetResult: _get_result,
    q.ListTasks: _list_tasks,
    q.WaitTasks: _wait_tasks,
    q.WorkFor: _work_for,
    q.ListWorkers: _list_workers,
    q.GetWorker: _get_worker,
    q.GetUser: _get_user,
    q.ListUsers: _list_users,
    q.GetSession: _get_session,
    q.Counts: _counts,
    q.Outdated: _outdated,
    q.ListProjects: _list_projects,
    q.GetProject: _get_project,
    q.Metrics: _metrics,
}


def has_news(question: q.Question, reply: Answer) -> bool:
    """Say whether an answer is worth sending before its wait is over."""
    if isinstance(reply, Rejected):
        return True
    if isinstance(question, q.WorkFor):
        return bool(reply["assign"] or reply["revoke"] or reply["full"])
    if isinstance(question, q.WaitTasks):
        return bool(reply["done"] or reply["unknown"])
    return True
