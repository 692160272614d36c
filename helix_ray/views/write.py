"""Converts facts to rows, and writes a batch of rows into the history's tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import orjson

from helix_ray.core import events as ev
from helix_ray.core.audit.records import Recorder
from helix_ray.core.execution import Execution
from helix_ray.core.specs import TaskEdits, TaskError, TaskSpec
from helix_ray.core.views.tasks import shown_run
from helix_ray.views import audit, checkpoints
from helix_ray.views.batch import as_table, insert
from helix_ray.views.checkpoints import CHECKPOINTS
from helix_ray.views.columns import EDITED, ENDED, GONE, KEY, SUBMITTED, Column, facets, text_of, values
from helix_ray.views.keys import key_of

Row = tuple[Any, ...]

# A resent submit can use an archived id a second time: the newest row counts.
_INSERT_ENDED = """
INSERT INTO tasks
SELECT s.* EXCLUDE (spec, cut), b.* EXCLUDE (key, id)
FROM batch b JOIN submitted s ON s.key = b.key AND s.id = b.id AND s.seq < b.finished_seq
QUALIFY row_number() OVER (PARTITION BY b.finished_seq ORDER BY s.seq DESC) = 1
"""


@dataclass(slots=True, kw_only=True)
class Changes:
    """The changes of a batch of facts in the tables."""

    submitted: list[Row] = field(default_factory=list)
    edited: dict[str, TaskEdits] = field(default_factory=dict)
    ended: list[Row] = field(default_factory=list)
    requeued: list[Row] = field(default_factory=list)
    deleted: list[Row] = field(default_factory=list)
    checkpoints: list[Row] = field(default_factory=list)
    erased: list[int] = field(default_factory=list)
    erased_by: int = 0
    acts: Recorder = field(default_factory=Recorder)

    def note(self, fact: ev.Fact, ended: Execution | None) -> None:
        """Add a fact, and the execution that it ended."""
        event = fact.event
        self.acts.note(fact)
        if isinstance(event, ev.TaskSubmitted):
            self.submitted.append(_submitted(fact, event))
        elif ended is not None:
            self.ended.append(_ended(ev.subject_of(event), ended))
        elif isinstance(event, ev.TaskEdited):
            self.edited[event.id] = {**self.edited.get(event.id, {}), **event.changes}
        elif isinstance(event, ev.TaskDeleted):
            self.deleted.append((key_of(event.id), event.id, fact.seq))
        elif isinstance(event, ev.TaskRequeued) and event.cause == "manual":
            self.requeued.append((key_of(event.id), event.id, fact.seq))
        elif isinstance(event, ev.CheckpointSigned):
            self.checkpoints.append(checkpoints.row_of(fact, event))
        elif isinstance(event, ev.FactsErased):
            self.erased += event.seqs
            self.erased_by = fact.seq

    def write(self, con: duckdb.DuckDBPyConnection) -> None:
        """Write the changes to the tables, in the caller's transaction."""
        _write(con, SUBMITTED, self.submitted, "INSERT INTO submitted SELECT * FROM batch")
        if self.edited:
            _edit(con, self.edited)
        _write(con, ENDED, self.ended, _INSERT_ENDED)
        _write(con, GONE, [*self.requeued, *self.deleted], _delete("tasks", "finished_seq"))
        _write(con, GONE, self.deleted, _delete("submitted", "seq"))
        if self.checkpoints:
            insert(con, "checkpoints", CHECKPOINTS, self.checkpoints)
        audit.write(con, self.acts.records, self.erased)
        if self.erased:
            con.execute("INSERT INTO erased VALUES (?)", [self.erased_by])
            con.execute("DELETE FROM submitted WHERE list_contains(?, seq)", [self.erased])
            con.execute("DELETE FROM tasks WHERE list_contains(?, finished_seq)", [self.erased])


def _write(
    con: duckdb.DuckDBPyConnection, columns: Sequence[Column], rows: Sequence[Row], statement: str
) -> None:
    if rows:
        with as_table(con, columns, rows):
            con.execute(statement)


def _delete(table: str, seq: str) -> str:
    return f"DELETE FROM {table} t USING batch b WHERE t.key = b.key AND t.id = b.id AND t.{seq} < b.seq"


def _submitted(fact: ev.Fact, event: ev.TaskSubmitted) -> Row:
    run = event.spec.get("run")
    cut = shown_run(run) is not run
    return (
        key_of(event.id), event.id, fact.seq, event.owner, *facets(event.spec), fact.at,
        _spec_text(event.spec), cut
    )  # fmt: skip


def _spec_text(spec: TaskSpec) -> str:
    run = spec.get("run")
    if run is not None and (shown := shown_run(run)) is not None and shown is not run:
        spec = {**spec, "run": shown}
    return text_of(spec)


def _ended(task_id: str, last: Execution) -> Row:
    return (key_of(task_id), task_id, *values(last), _cause(last.error))


def _cause(error: TaskError | None) -> str | None:
    cause = (error or {}).get("dependency")
    return cause if isinstance(cause, str) else None


def _edit(con: duckdb.DuckDBPyConnection, edited: dict[str, TaskEdits]) -> None:
    """Merge edits into their specs; tasks that are gone have none."""
    wanted = [(key_of(task_id), task_id, 0) for task_id in edited]
    with as_table(con, GONE, wanted):
        found = con.execute(
            "SELECT s.id, s.spec FROM submitted s SEMI JOIN batch b USING (key, id)"
        ).fetchall()
    rows = []
    for task_id, spec in found:
        kept: TaskSpec = orjson.loads(spec)
        merged: TaskSpec = {**kept, **edited[task_id]}
        rows.append((key_of(task_id), task_id, *facets(merged), _spec_text(merged)))
    changed = ", ".join(f"{column.name} = b.{column.name}" for column in EDITED[len(KEY) :])
    _write(
        con, EDITED, rows, (f"UPDATE submitted SET {changed} FROM batch b WHERE submitted.key = b.key "
            "AND submitted.id = b.id")
    )  # fmt: skip
