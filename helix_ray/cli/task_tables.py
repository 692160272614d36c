"""Tasks as tables."""

from __future__ import annotations

from typing import Any

from helix_ray.cli.output import TITLE_CHARS_MAX, percent, print_fields, say, when

COLUMNS = ("TASK", "STATUS", "PRIORITY", "TYPE", "PROGRESS", "WORKER", "CREATED", "TITLE")


def short(title: str) -> str:
    """Return a title that fits a column."""
    return title if len(title) <= TITLE_CHARS_MAX else title[: TITLE_CHARS_MAX - 1] + "…"


def row_of(task: dict[str, Any]) -> tuple[Any, ...]:
    """Return a task as a row below COLUMNS."""
    return (
        task["id"],
        task["status"],
        task.get("priority"),
        task.get("type"),
        percent(task.get("progress")),
        task.get("assigned_worker"),
        when(task.get("created_at")),
        short(task.get("title") or ""),
    )


def line_of(task: dict[str, Any]) -> tuple[Any, ...]:
    """Return id, status and title."""
    return task["id"], task["status"], short(task.get("title") or "")


def show_task(task: dict[str, Any]) -> None:
    """Print one task, its times in this machine's zone."""
    times = {name: when(value) for name, value in task.items() if name.endswith("_at")}
    shown = {**task, **times, "progress": percent(task.get("progress"))}
    error = shown.pop("error", None)
    print_fields(shown)
    if error:
        say(error_line(error))


def show_outcome(result: dict[str, Any]) -> None:
    """Print the outcome of a task: its output or value on standard output, its error on standard error."""
    value = result.get("result")
    if isinstance(value, dict) and isinstance(value.get("output"), str):
        print(value["output"], end="" if value["output"].endswith("\n") else "\n")
    elif isinstance(value, dict) and set(value) == {"success", "value"}:
        print_value(value["value"])
    elif value is not None:
        print_value(value)
    if result["status"] != "completed":
        reason = error_line(result["error"]) if result.get("error") else ""
        say(f"helix: {result['id']} {result['status']}{': ' if reason else ''}{reason}")


def print_value(value: Any) -> None:
    """Print a result: a string as it is, anything else as JSON."""
    from helix_ray.cli.output import print_json

    if isinstance(value, str):
        print(value)
    else:
        print_json(value)


def error_line(error: dict[str, Any]) -> str:
    """Return why a task failed, in one line."""
    parts = [error.get("reason"), error.get("type"), " ".join(str(error.get("message", "")).split())]
    return ": ".join(dict.fromkeys(part for part in parts if part))
