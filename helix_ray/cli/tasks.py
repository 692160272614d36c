"""helix task list, get, logs, result, cancel, retry, delete."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from helix_ray.cli.connection import connect
from helix_ray.cli.exits import Exit
from helix_ray.cli.following import telling_on_interrupt
from helix_ray.cli.output import Json, print_json, print_table, put, say
from helix_ray.cli.placement import distribute, explain
from helix_ray.cli.submit import submit
from helix_ray.cli.submit_options import Priority, WaitTimeout
from helix_ray.cli.task_tables import COLUMNS, row_of, show_outcome, show_task
from helix_ray.cli.watch import watch

if TYPE_CHECKING:
    from helix_ray.wire.task_answers import TaskRetried

app = typer.Typer(no_args_is_help=False, help="Submit tasks, follow them and read their results.")
app.command()(submit)
app.command()(watch)
app.command()(explain)
app.command()(distribute)

LINES_MAX = 100_000
Status = Literal["waiting", "pending", "running", "completed", "failed", "cancelled"]
TaskId = Annotated[str, typer.Argument(metavar="TASK", help="Task id.")]
TaskIds = Annotated[list[str], typer.Argument(metavar="TASK...", help="Task ids.")]


@app.command("list")
def list_tasks(
    status: Annotated[Status | None, typer.Option(help="Only those in this status.")] = None,
    priority: Annotated[Priority | None, typer.Option(help="Only those of this priority.")] = None,
    task_type: Annotated[str | None, typer.Option("--type", help="Only those of this type.")] = None,
    project: Annotated[str | None, typer.Option(help="Project id.")] = None,
    worker: Annotated[str | None, typer.Option(help="Worker id.")] = None,
    since: Annotated[str | None, typer.Option(metavar="ISO-8601", help="Created at or after.")] = None,
    until: Annotated[str | None, typer.Option(metavar="ISO-8601", help="Created before.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many to list at most.")] = 50,
    offset: Annotated[int, typer.Option(min=0, help="How many to skip.")] = 0,
    watched: Annotated[bool, typer.Option("--watch", help="Follow the newest: helix task watch.")] = False,
    as_json: Json = False,
) -> None:
    """List tasks, newest first."""
    if watched:
        watch(None, as_json)
    with connect() as client:
        page = client.page(
            limit=limit,
            offset=offset,
            status=status,
            priority=priority,
            type=task_type,
            project_id=project and client.full_id("project", project),
            assigned_worker=worker and client.full_id("worker", worker),
            created_since=since,
            created_until=until,
        )
    if as_json:
        print_json(page)
        return
    print_table(COLUMNS, [row_of(task) for task in page["tasks"]])
    last = offset + len(page["tasks"])
    if last < page["total"]:
        say(f"{last} of {page['total']}; for more, use --offset {last}")


@app.command()
def get(
    task_id: TaskId,
    watched: Annotated[bool, typer.Option("--watch", help="Follow it: helix task watch TASK.")] = False,
    as_json: Json = False,
) -> None:
    """Show one task."""
    if watched:
        watch([task_id], as_json)
    with connect() as client:
        task = client.get(task_id)
    print_json(task) if as_json else show_task(task)


@app.command()
def logs(
    task_id: TaskId,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Follow the output until the attempt ends.")
    ] = False,
    attempt: Annotated[int | None, typer.Option(min=1, help="Attempt; default: the newest.")] = None,
    offset: Annotated[int, typer.Option(min=0, help="Byte offset to start at.")] = 0,
    tail: Annotated[
        int | None, typer.Option("--tail", "-n", min=1, max=LINES_MAX, help="Only the last lines.")
    ] = None,
) -> None:
    """Print a task's output."""
    with connect() as client:
        task_id = client.full_id("task", task_id)
        with telling_on_interrupt(task_id) if follow else nullcontext():
            if tail is not None:
                text, last = client.log_tail(task_id, tail, attempt=attempt)
                put(text, end="")
                if last["eof"] or not follow:
                    return
                attempt, offset = last["attempt"] or None, last["next_offset"]
            for piece in client.logs(task_id, follow=follow, attempt=attempt, offset=offset):
                put(piece, end="")


@app.command()
def result(
    task_id: TaskId,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the task ends.")] = False,
    wait_timeout: WaitTimeout = None,
    as_json: Json = False,
) -> None:
    """Print the result of a task; exit code 1 if it did not succeed."""
    with connect(waiting=wait) as client:
        if wait:
            # Once, not with every poll: another id may begin so by then.
            task_id = client.full_id("task", task_id)
            with telling_on_interrupt(task_id):
                client.wait(task_id, wait_timeout)
        answer = client.result(task_id)
    print_json(answer) if as_json else show_outcome(answer)
    raise typer.Exit(Exit.OK if answer["status"] == "completed" else Exit.TASK_FAILED)


@app.command()
def cancel(task_ids: TaskIds, as_json: Json = False) -> None:
    """Cancel unfinished tasks."""
    with connect() as client:
        task_ids = client.full_ids("task", task_ids)
        answers = [client.cancel(task_id) for task_id in task_ids]
    if as_json:
        print_json({"tasks": answers})
    else:
        say(f"Cancelled: {' '.join(task_ids)}")


@app.command()
def retry(
    task_ids: TaskIds,
    dependants: Annotated[
        bool, typer.Option("--dependants", help="Also what failed because of them; it waits for them again.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Queue failed or cancelled tasks again, however long ago they ended."""
    answers: list[TaskRetried] = []
    with connect() as client:
        for task_id in client.full_ids("task", task_ids):
            # A named task may also be a dependant of another one.
            if not any(task_id in answer.get("queued", ()) for answer in answers):
                answers.append(client.retry(task_id, dependants=dependants))
    if as_json:
        print_json({"tasks": answers})
        return
    for answer in answers:
        say(f"Queued again: {' '.join(answer.get('queued', [answer['id']]))}")
        for left in answer.get("not_queued", ()):
            say(f"Not queued: {left['id']}: {left['error']['message']}")


@app.command()
def delete(task_ids: TaskIds) -> None:
    """Delete tasks; running ones are ended."""
    with connect() as client:
        task_ids = client.full_ids("task", task_ids)
        for task_id in task_ids:
            client.delete(task_id)
    say(f"Deleted: {' '.join(task_ids)}")
