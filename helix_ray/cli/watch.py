"""helix task watch: a live table, or a JSON line for every change."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from helix_ray.cli.connection import connect
from helix_ray.cli.exits import Exit
from helix_ray.cli.following import telling_on_interrupt
from helix_ray.cli.output import console, drawn_table, print_json, print_table
from helix_ray.cli.task_tables import COLUMNS, row_of

if TYPE_CHECKING:
    from helix_ray.wire.task_answers import TaskLine

    Tasks = list[TaskLine]
    from helix_ray.client.api import Client

NEWEST_TASKS_SHOWN = 20
LOOK_S_MIN = 0.25
# A watch may last for hours, so it must stay within the rate limit (1,000 requests an hour by default).
LOOK_S_MAX = 4.0
LOOK_GROWTH = 1.25


def watch(
    task_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[TASK]...", help="Default: the newest task.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON line for every change.")] = False,
) -> None:
    """Follow named tasks until all have ended (exit code 1 unless all succeed), others until Ctrl-C."""
    with connect(waiting=True) as client:
        task_ids = client.full_ids("task", task_ids or ())
        looks = _looks(client, task_ids)
        # Watching the newest has no other end than Ctrl-C.
        with telling_on_interrupt(*task_ids) if task_ids else nullcontext():
            tasks = _print_changes(looks) if as_json else _draw(looks)
    failed = bool(task_ids) and any(task["status"] != "completed" for task in tasks)
    raise typer.Exit(Exit.TASK_FAILED if failed else Exit.OK)


def _looks(client: Client, ids: list[str]) -> Iterator[Tasks]:
    """Yield the tasks at intervals, until all named ones have ended."""
    from helix_ray.client.waiting import ENDED, look_up

    since: dict[str, float] = {}
    ended: dict[str, TaskLine] = {}
    before: Tasks | None = None
    pause = LOOK_S_MIN
    while True:
        if ids:
            found = look_up(client, [task_id for task_id in ids if task_id not in ended], since)
            ended |= {task_id: task for task_id, task in found.items() if task["status"] in ENDED}
            tasks: Tasks = [found.get(task_id) or ended[task_id] for task_id in dict.fromkeys(ids)]
        else:
            tasks = client.page(limit=NEWEST_TASKS_SHOWN)["tasks"]
        yield tasks
        if ids and len(ended) == len(set(ids)):
            return
        pause = LOOK_S_MIN if tasks != before else min(LOOK_S_MAX, pause * LOOK_GROWTH)
        before = tasks
        time.sleep(pause)


def _print_changes(looks: Iterator[Tasks]) -> Tasks:
    known: dict[str, TaskLine] = {}
    tasks: Tasks = []
    for tasks in looks:
        for task in tasks:
            if known.get(task["id"]) != task:
                known[task["id"]] = task
                print_json(task, line=True)
    return tasks


def _draw(looks: Iterator[Tasks]) -> Tasks:
    """Draw a live table at a terminal; into a pipe, only the last state."""
    tasks: Tasks = []
    screen = _live() if sys.stdout.isatty() else nullcontext()
    with screen as live:
        for tasks in looks:
            if live is not None:
                live.update(drawn_table(COLUMNS, [row_of(task) for task in tasks]), refresh=True)
    if not sys.stdout.isatty():
        print_table(COLUMNS, [row_of(task) for task in tasks])
    return tasks


def _live() -> Any:
    from rich.live import Live

    return Live(console=console(), auto_refresh=False)
