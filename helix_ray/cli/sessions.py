"""helix session list, revoke."""

from __future__ import annotations

from typing import Annotated

import typer

from helix_ray.cli.connection import connect
from helix_ray.cli.output import Json, print_json, print_table, say, when
from helix_ray.cli.tables import Columns

app = typer.Typer(no_args_is_help=False, help="List and end open sessions.")
COLUMNS = Columns(
    ("ID", "USER", "LAST USED", "CURRENT", "ADDRESS", "OPENED", "EXPIRES", "PROGRAM"),
    ("CURRENT", "EXPIRES", "OPENED"),
    "PROGRAM",
    below=("ADDRESS", "OPENED", "EXPIRES", "PROGRAM"),
)
User = Annotated[str | None, typer.Option(help="Sessions of this user (administrators).")]


@app.command("list")
def list_sessions(user: User = None, as_json: Json = False) -> None:
    """List your open sessions."""
    with connect() as client:
        sessions = client.sessions(user)
    if as_json:
        print_json({"sessions": sessions})
        return
    rows = [
        (
            each["id"],
            each["user"],
            when(each["last_used_at"]),
            "yes" if each["current"] else "",
            each["address"],
            when(each["opened_at"]),
            when(each["expires_at"]),
            each["user_agent"],
        )
        for each in sessions
    ]
    print_table(COLUMNS, rows)


@app.command()
def revoke(
    session_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="Session id, as `helix session list` shows it.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="End all sessions, this one too.")] = False,
    user: User = None,
) -> None:
    """End a session, or all of them; requests with it are refused within a second."""
    if (session_id is None) == (not everything) or (user is not None and not everything):
        raise typer.BadParameter("give the id of a session, or --all, which may be with --user")
    with connect() as client:
        if session_id is not None:
            client.end_session(session_id)
            say(f"Ended {session_id}")
        else:
            say(f"Ended {client.end_sessions(user)} sessions")
