"""Queries of the history's tables. Results have the form that core/views/tasks.py gives tasks in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from helix_ray.core.lifecycle import Status
from helix_ray.core.names import shard_id
from helix_ray.core.questions import ListTasks
from helix_ray.core.state import Task
from helix_ray.core.views.events import NoticeTask
from helix_ray.core.views.tasks import (
    ResultView,
    TaskLineView,
    TaskView,
    result_view,
    task_line,
    task_view,
)
from helix_ray.core.visibility import TaskScope
from helix_ray.plain import stored
from helix_ray.views.columns import LINE, OUTCOME, RECORD, RESULT, SHOWN, task
from helix_ray.views.keys import WANTED, key_of

EVERY_SEQ = (0, 2**63 - 1)


@dataclass(frozen=True, slots=True)
class Record:
    """A finished task in the form of memory; `cut`: without large parts of its run,
    which only the journal has."""

    task: Task
    cut: bool


def records(
    con: duckdb.DuckDBPyConnection, task_ids: Sequence[str], archived_through: int | None
) -> dict[str, Record]:
    """Return those of the tasks that the history has, by id."""
    rows = con.execute(
        f"""SELECT {", ".join(f"t.{name}" for name in RECORD)}, s.spec, s.cut
            FROM tasks t SEMI JOIN {WANTED} w ON t.key = w.key AND t.id = w.id
                 JOIN submitted s ON s.seq = t.seq
            WHERE true{_archived(archived_through)} ORDER BY t.seq""",
        _wanted(task_ids),
    ).fetchall()
    return {row[0]: Record(task(RECORD, row[:-2], stored(row[-2])), row[-1]) for row in rows}


def notice_tasks(
    con: duckdb.DuckDBPyConnection, task_ids: Sequence[str], archived_through: int
) -> dict[str, NoticeTask]:
    """Return those of the tasks that the history has, by id, as core/views/events.py has tasks of memory."""
    # Most specs have neither labels nor a trace, and need not be read.
    rows = con.execute(
        f"""SELECT t.id, t.owner, t.holder, t.project_id, t.type, t.title, t.status,
                   CASE WHEN contains(s.spec, '"labels"') OR contains(s.spec, '"traceparent"') THEN s.spec END
            FROM tasks t SEMI JOIN {WANTED} w ON t.key = w.key AND t.id = w.id
                 JOIN submitted s ON s.seq = t.seq
            WHERE true{_archived(archived_through)}""",
        _wanted(task_ids),
    ).fetchall()
    return {task_id: _notice_task(*row) for task_id, *row in rows}


def _notice_task(
    owner: str, holder: str | None, project: str | None, kind: str, title: str, status: str, text: str | None
) -> NoticeTask:
    spec: dict[str, Any] = {} if text is None else stored(text)
    return {
        "owner": owner,
        "holder": holder,
        "project_id": project,
        "type": kind,
        "title": title,
        "status": status,
        "labels": spec.get("labels"),
        "traceparent": spec.get("traceparent"),
    }


def lines(
    con: duckdb.DuckDBPyConnection, task_ids: Sequence[str], archived_through: int
) -> dict[str, Record]:
    """Return those of these tasks that the history has, by id, with what a listing shows of them."""
    rows = _rows(con, LINE, task_ids, archived_through)
    return {row[0]: Record(task(LINE, row), True) for row in rows}


def failed_because_of(
    con: duckdb.DuckDBPyConnection, task_ids: Sequence[str], archived_through: int, limit: int
) -> list[str]:
    """Return tasks that failed because of one of these, directly or not, the nearest
    first, about `limit` at most."""
    found: dict[str, None] = {}
    causes = list(task_ids)
    while causes and len(found) < limit:
        rows = con.execute(
            f"SELECT id FROM tasks WHERE list_contains(?::VARCHAR[], cause){_archived(archived_through)} "
            "ORDER BY seq LIMIT ?",
            [causes, limit],
        ).fetchall()
        causes = [task_id for (task_id,) in rows if task_id not in found]
        found |= dict.fromkeys(causes)
    return list(found)


def get_task(con: duckdb.DuckDBPyConnection, task_id: str, archived_through: int | None) -> TaskView | None:
    """Return one task as views.tasks.task_view does, or None."""
    found = records(con, [task_id], archived_through).get(task_id)
    if found is None:
        return None
    task = found.task
    view = task_view(task)
    if "shards" in view:
        view["shards"]["completed"] = _shards_completed(con, task)
    return view


def _shards_completed(con: duckdb.DuckDBPyConnection, task: Task) -> int:
    ids = [shard_id(task.id, index) for index in range(task.spec["shards"]["count"])]
    return sum(status == Status.COMPLETED for status in statuses(con, ids).values())


def list_tasks(
    con: duckdb.DuckDBPyConnection,
    question: ListTasks,
    scope: TaskScope,
    archived_through: int,
    limit: int,
    without: Sequence[str] = (),
    seqs: tuple[int, int] | None = None,
) -> tuple[list[TaskLineView], int]:
    """Return up to `limit` lines as views.tasks.task_line does, newest first, and the
    total number of matches."""
    where, values = _conditions(question, scope, archived_through, without)
    counted = con.execute(f"SELECT count(*) FROM tasks WHERE {where}", values).fetchone()
    assert counted is not None
    rows = con.execute(
        f"""SELECT {", ".join(SHOWN)} FROM tasks
            WHERE {where} AND seq BETWEEN ? AND ? ORDER BY seq DESC LIMIT ?""",
        [*values, *(seqs or EVERY_SEQ), limit],
    ).fetchall()
    return [task_line(task(SHOWN, row)) for row in rows], counted[0]


def list_seqs(
    con: duckdb.DuckDBPyConnection,
    question: ListTasks,
    scope: TaskScope,
    archived_through: int,
    limit: int,
    without: Sequence[str],
) -> tuple[int, ...]:
    """Return the seqs of the lines that list_tasks returns."""
    where, values = _conditions(question, scope, archived_through, without)
    rows = con.execute(
        f"SELECT seq FROM tasks WHERE {where} ORDER BY seq DESC LIMIT ?", [*values, limit]
    ).fetchall()
    return tuple(seq for (seq,) in rows)


def _conditions(
    question: ListTasks, scope: TaskScope, archived_through: int, without: Sequence[str]
) -> tuple[str, list[Any]]:
    tests = {
        "finished_seq <= ?": archived_through,
        "? IN (owner, holder)": scope.user,
        "status = ?": question.status,
        "priority = ?": question.priority,
        "type = ?": question.type,
        "project_id = ?": question.project_id,
        "worker = ?": question.assigned_worker,
        "starts_with(id, ?)": question.id_prefix,
        "created_at >= ?": question.since,
        "created_at < ?": question.until,
        "list_contains(?::VARCHAR[], project_id)": None if scope.projects is None else list(scope.projects),
        "NOT list_contains(?::VARCHAR[], id)": list(without) or None,
    }
    asked = {test: value for test, value in tests.items() if value is not None}
    return " AND ".join(asked), list(asked.values())


def results(
    con: duckdb.DuckDBPyConnection,
    task_ids: Sequence[str],
    archived_through: int | None,
    values: bool = True,
) -> dict[str, ResultView]:
    """Return the outcomes of those of these tasks that the history has, as views.tasks.result_view does;
    without `values` the results are None."""
    columns = RESULT if values else OUTCOME
    rows = _rows(con, columns, task_ids, archived_through)
    return {row[0]: result_view(task(columns, row)) for row in rows}


def _rows(
    con: duckdb.DuckDBPyConnection,
    columns: Sequence[str],
    task_ids: Sequence[str],
    archived_through: int | None,
) -> list[tuple[Any, ...]]:
    """Return these columns of those of the tasks that the history has, in order of seq."""
    return con.execute(
        f"""SELECT {", ".join(columns)}
            FROM tasks SEMI JOIN {WANTED} USING (key, id)
            WHERE true{_archived(archived_through)} ORDER BY seq""",
        _wanted(task_ids),
    ).fetchall()


def statuses(con: duckdb.DuckDBPyConnection, task_ids: Sequence[str]) -> dict[str, str]:
    """Return the statuses of those of these tasks that the history has."""
    statement = f"SELECT id, status FROM tasks SEMI JOIN {WANTED} USING (key, id) ORDER BY seq"
    return dict(con.execute(statement, _wanted(task_ids)).fetchall())


def _wanted(task_ids: Sequence[str]) -> list[Any]:
    return [[key_of(task_id) for task_id in task_ids], list(task_ids)]


def _archived(through: int | None) -> str:
    return "" if through is None else f" AND finished_seq <= {int(through)}"
