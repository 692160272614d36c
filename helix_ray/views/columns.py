"""The columns of the history's tables: those of a task's spec, and those of its execution when it has ended.

A spec's columns are named in FACETS; those of an execution are the fields of core/execution.py's Execution,
each with the SQL type that follows from its own. Tables, batches, inserts and reads are generated from these
two lists (file.py, write.py, read.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple, cast, get_type_hints

import orjson

from helix_ray.core.execution import Execution
from helix_ray.core.lifecycle import Status
from helix_ray.core.specs import TaskSpec
from helix_ray.core.state import Task, task_again
from helix_ray.plain import stored


class Column(NamedTuple):
    """A column of a table. `sql` is its type, `batch` NumPy's name of it (object: text or None)."""

    name: str
    sql: str
    batch: str


class Facet(NamedTuple):
    """A value of a spec with a column of its own, because listings filter by it or show it."""

    column: Column
    value: Callable[[TaskSpec], str | None]


def _text(name: str, *, null: bool = True) -> Column:
    return Column(name, "VARCHAR" if null else "VARCHAR NOT NULL", "object")


def _seq(name: str) -> Column:
    return Column(name, "BIGINT NOT NULL", "int64")


FACETS = (
    Facet(_text("title", null=False), lambda spec: spec["title"]),
    Facet(_text("type", null=False), lambda spec: spec["type"]),
    Facet(_text("priority", null=False), lambda spec: spec.get("priority", "normal")),
    Facet(_text("project_id"), lambda spec: spec.get("project_id")),
)
# Stored as JSON text.
_JSON = ("VARCHAR NOT NULL", "object")
_TYPES = {
    Status: ("VARCHAR NOT NULL", "object"),
    float: ("DOUBLE NOT NULL", "float64"),
    # A missing number is NaN in NumPy, which DuckDB reads as NULL.
    float | None: ("DOUBLE", "float64"),
    int: ("BIGINT NOT NULL", "int64"),
    str | None: ("VARCHAR", "object"),
}
EXECUTION = tuple(Column(name, *_TYPES.get(kind, _JSON)) for name, kind in get_type_hints(Execution).items())
BULK = frozenset(name for name, kind in get_type_hints(Execution).items() if kind not in _TYPES)
_all_of = attrgetter(*(column.name for column in EXECUTION))
_STATUS = [column.name for column in EXECUTION].index("status")
_BULK_AT = [index for index, column in enumerate(EXECUTION) if column.name in BULK]
_FACET_NAMES = tuple(facet.column.name for facet in FACETS)

# The first characters of the id as a number, for zone maps (keys.py); the id; a time in epoch seconds.
KEY = (Column("key", "UBIGINT NOT NULL", "uint64"), _text("id", null=False))
_SPEC = tuple(facet.column for facet in FACETS)
_SUBMIT = (
    _seq("seq"),
    _text("owner", null=False),
    *_SPEC,
    Column("created_at", "DOUBLE NOT NULL", "float64"),
)
# The current spec without pickled payloads, inference inputs and secrets; `cut`: it had some,
# which only the journal has.
_WHOLE = (_text("spec", null=False), Column("cut", "BOOLEAN NOT NULL", "bool"))
# The task because of which it failed.
_CAUSE = (_text("cause"),)

SUBMITTED = (*KEY, *_SUBMIT, *_WHOLE)
TASKS = (*KEY, *_SUBMIT, *EXECUTION, *_CAUSE)
# The rows of a batch: finished tasks, edited specs, and tasks to remove.
ENDED = (*KEY, *EXECUTION, *_CAUSE)
EDITED = (*KEY, *_SPEC, _WHOLE[0])
GONE = (*KEY, _seq("seq"))

# What is read of `tasks`: for a line of a listing, for a result, and for a whole task, whose
# spec is read beside it.
LINE = tuple(column.name for column in (*KEY[1:], *_SUBMIT, *EXECUTION) if column.name not in BULK)
# What core/views/tasks.py shows of a task in a line: a page reads a thousand of them.
SHOWN = ("id", "seq", "owner", *_FACET_NAMES, "created_at", "updated_at", "status", "worker", "progress")
RESULT = tuple(column.name for column in (*KEY[1:], *_SUBMIT, *EXECUTION))
# A result without the value itself, which may be large.
OUTCOME = tuple(name for name in RESULT if name != "result")
RECORD = tuple(name for name in RESULT if name not in _FACET_NAMES)


def table(name: str, columns: tuple[Column, ...]) -> str:
    """Return the statement that makes a table."""
    return f"CREATE TABLE IF NOT EXISTS {name} ({', '.join(f'{c.name} {c.sql}' for c in columns)});"


def facets(spec: TaskSpec) -> tuple[str | None, ...]:
    """Return the values of a spec's columns."""
    return tuple(facet.value(spec) for facet in FACETS)


def values(execution: Execution) -> tuple[Any, ...]:
    """Return the values of an execution's columns."""
    found = list(_all_of(execution))
    found[_STATUS] = execution.status.value
    for index in _BULK_AT:
        found[index] = text_of(found[index])
    return tuple(found)


def task(names: tuple[str, ...], row: Sequence[Any], spec: TaskSpec | None = None) -> Task:
    """Return a task from the columns that were read, in the form of memory; without `spec`,
    from the spec's columns."""
    found = dict(zip(names, row, strict=True))
    if spec is None:
        spec = cast("TaskSpec", {name: found.pop(name) for name in _FACET_NAMES})
    found["spec"] = spec
    for name in BULK:
        if name in found:
            found[name] = stored(found[name])
    return task_again(found)


def text_of(value: Any) -> str:
    """Return a value as JSON text."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        # Integers beyond 64 bits and lone surrogates.
        return json.dumps(value)
