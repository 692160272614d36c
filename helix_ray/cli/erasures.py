"""helix erase request, list, show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from helix_ray.cli.connection import connect
from helix_ray.cli.output import Json, print_fields, print_json, print_table, say, when
from helix_ray.cli.tables import Columns

if TYPE_CHECKING:
    from helix_ray.wire.erasures import ErasureOut

app = typer.Typer(
    no_args_is_help=False,
    help="Permanently erase the data of tasks and users from the journal (administrators).",
)
COLUMNS = Columns(
    ("ERASURE", "STATUS", "FACTS", "REQUESTED", "BY", "REASON"), ("FACTS", "BY", "REQUESTED"), "REASON"
)


@app.command()
def request(
    reason: Annotated[str, typer.Option(help="Why; it stays on record for good, so name nobody in it.")],
    task: Annotated[list[str] | None, typer.Option("--task", help="Task id; can be repeated.")] = None,
    user: Annotated[
        list[str] | None,
        typer.Option("--user", help="Id of a user who was removed (user-...); can be repeated."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Return when it is completed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Erase what facts say about tasks and users. That they happened, when and by whom stays on record."""
    if not yes:
        typer.confirm("What is erased cannot be brought back. Erase it?", abort=True, err=True)
    with connect(waiting=wait) as client:
        tasks = client.full_ids("task", task or ())
        erasure = client.erase(reason, tasks, user or ())
        if wait:
            erasure = client.wait_for_erasure(erasure["id"])
    _show(erasure, as_json)
    for copy in erasure["copies"]:
        say(f"{copy} in the data directory may still have it: remove it when you do not need it")


@app.command("list")
def list_erasures(as_json: Json = False) -> None:
    """List erasures, the newest first."""
    with connect() as client:
        erasures = client.erasures()
    if as_json:
        print_json({"erasures": erasures})
    else:
        print_table(COLUMNS, [_row(erasure) for erasure in erasures])


@app.command()
def show(
    erasure: Annotated[str, typer.Argument(metavar="ERASURE", help="Erasure id.")], as_json: Json = False
) -> None:
    """Show an erasure and how far it is."""
    with connect() as client:
        _show(client.erasure(erasure), as_json)


def _show(erasure: ErasureOut, as_json: bool) -> None:
    if as_json:
        print_json(erasure)
    else:
        print_fields(erasure)


def _row(erasure: ErasureOut) -> tuple[Any, ...]:
    return (
        erasure["id"], erasure["status"], erasure["facts_erased"], when(erasure["requested_at"]),
        erasure["requested_by"], erasure["reason"],
    )  # fmt: skip
