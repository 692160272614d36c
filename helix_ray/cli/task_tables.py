"""Tasks as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from helix_ray.cli.output import percent, print_fields, put, say, when
from helix_ray.cli.tables import Columns

if TYPE_CHECKING:
    from helix_ray.core.specs import TaskError
    from helix_ray.wire.task_answers import ResultOut, TaskCreated, TaskLine, TaskOut

COLUMNS = Columns(
    ("TASK", "STATUS", "PRIORITY", "TYPE", "PROGRESS", "WORKER", "CREATED", "TITLE"),
    ("TYPE", "PRIORITY", "WORKER", "CREATED", "PROGRESS"),
    "TITLE",
)
LINE_COLUMNS = Columns(("TASK", "STATUS", "TITLE"), cut="TITLE")


def row_of(task: TaskLine) -> tuple[Any, ...]:
    """Return a task as a row below COLUMNS."""
    return (
        task["id"],
        task["status"],
        task["priority"],
        task["type"],
        percent(task["progress"]),
        task["assigned_worker"],
        when(task["created_at"]),
        task["title"],
    )


def line_of(task: TaskCreated | TaskLine) -> tuple[Any, ...]:
    """Return id, status and title."""
    return task["id"], task["status"], task["title"]


def show_task(task: TaskOut) -> None:
    """Print one task, its times in this machine's zone."""
    shown: dict[str, object] = {**task, "progress": percent(task["progress"])}
    shown |= {name: when(str(shown[name])) for name in shown if name.endswith("_at") and shown[name]}
    del shown["error"]
    print_fields(shown)
    if task["error"]:
        say(error_line(task["error"]))


def show_outcome(result: ResultOut) -> None:
    """Print the outcome of a task: its output or value on standard output, its error on standard error."""
    value = result["result"]
    output = value.get("output") if isinstance(value, dict) else None
    if value is None:
        # Its process was killed, so there is no result: the error has the end of the output.
        output = (result["error"] or {}).get("output_tail")
    if isinstance(output, str):
        if isinstance(value, dict) and (missing := value.get("output_cut_bytes")):
            say(f"the end of the output; {missing} bytes before it: helix task logs {result['id']}")
        put(output, end="" if output.endswith("\n") else "\n")
    elif isinstance(value, dict) and set(value) == {"success", "value"}:
        print_value(value["value"])
    elif value is not None:
        print_value(value)
    show_end(result)


def show_end(result: ResultOut) -> None:
    """Say on standard error why a task did not succeed."""
    if result["status"] != "completed":
        reason = error_line(result["error"]) if result["error"] else ""
        say(f"helix: {result['id']} {result['status']}{': ' if reason else ''}{reason}")


def print_value(value: Any) -> None:
    """Print a result: a string as it is, anything else as JSON."""
    from helix_ray.cli.output import print_json

    if isinstance(value, str):
        put(value)
    else:
        print_json(value)


def error_line(error: TaskError) -> str:
    """Return why a task failed, in one line."""
    parts = [error.get("reason"), error.get("type"), " ".join(str(error.get("message", "")).split())]
    return ": ".join(dict.fromkeys(part for part in parts if part))
