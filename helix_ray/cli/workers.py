"""helix worker list, get, drain, rm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from helix_ray.cli.connection import connect
from helix_ray.cli.output import Json, amounts, print_fields, print_json, print_table, say, when
from helix_ray.cli.tables import Columns

if TYPE_CHECKING:
    from helix_ray.wire.workers import WorkerOut

app = typer.Typer(no_args_is_help=False, help="List workers and drain them.")
COLUMNS = Columns(
    ("WORKER", "STATUS", "KIND", "HOST", "RESOURCES", "RUNNING", "DONE", "FAILED", "LAST HEARTBEAT"),
    ("DONE", "FAILED", "KIND", "RESOURCES", "LAST HEARTBEAT", "RUNNING"),
    "HOST",
)
WorkerId = Annotated[str, typer.Argument(metavar="WORKER", help="Worker id.")]


def _row(worker: WorkerOut) -> tuple[Any, ...]:
    return (
        worker["id"],
        worker["status"],
        worker["kind"],
        worker["hostname"],
        amounts(worker["resources"]),
        worker["running_total"],
        worker["tasks_completed"],
        worker["tasks_failed"],
        when(worker["last_heartbeat"]),
    )


@app.command("list")
def list_workers(as_json: Json = False) -> None:
    """List workers."""
    with connect() as client:
        workers = client.workers()
    print_json({"workers": workers}) if as_json else print_table(COLUMNS, map(_row, workers))


@app.command()
def get(worker_id: WorkerId, as_json: Json = False) -> None:
    """Show one worker."""
    with connect() as client:
        worker = client.worker(worker_id)
    print_json(worker) if as_json else print_fields(worker)


@app.command()
def drain(
    worker_id: WorkerId,
    undo: Annotated[bool, typer.Option("--undo", help="Undo the drain.")] = False,
    as_json: Json = False,
) -> None:
    """Drain a worker: it gets no more tasks, and its running tasks finish."""
    with connect() as client:
        worker = client.drain(worker_id, not undo)
    if as_json:
        print_json(worker)
    else:
        say(f"{worker_id} gets {'tasks again' if undo else 'no more tasks'}")


@app.command()
def rm(worker_id: WorkerId) -> None:
    """Remove a worker; its tasks are queued again. A running node must be drained first."""
    with connect() as client:
        client.remove_worker(worker_id)
    say(f"removed {worker_id}")
