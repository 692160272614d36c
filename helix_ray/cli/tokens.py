"""helix token create, list, revoke."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from helix_ray.cli.connection import connect
from helix_ray.cli.output import Json, print_json, print_table, put, say, when
from helix_ray.cli.tables import Columns
from helix_ray.core.access import ROLES

app = typer.Typer(
    no_args_is_help=False, help="Create, list and revoke API tokens for programs (HELIX_TOKEN)."
)
COLUMNS = Columns(
    ("ID", "NAME", "USER", "EXPIRES", "LAST USED", "BEGINS", "ROLES", "PROJECTS"),
    ("EXPIRES",),
    "NAME",
    below=("LAST USED", "BEGINS", "ROLES", "PROJECTS"),
)
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Name of the token.")],
    role: Annotated[
        list[str] | None, typer.Option("--role", help=", ".join(ROLES), show_default="all of yours")
    ] = None,
    project: Annotated[
        list[str] | None,
        typer.Option("--project", help="Restrict the token to this project.", show_default="no bound"),
    ] = None,
    expires_in: Annotated[
        str | None,
        typer.Option(metavar="30d", help="Lifetime: a number followed by s, m, h or d.", show_default="90d"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Create a token. It is printed on standard output, and never shown again."""
    lives_s = None if expires_in is None else _seconds(expires_in)
    with connect() as client:
        made = client.create_token(name, roles=role, projects=project, expires_in_s=lives_s)
    if as_json:
        print_json(made)
        return
    say(f"{made['id']} for {made['user']}, valid until {made['expires_at']}; it is not shown again")
    put(made["token"])


@app.command("list")
def list_tokens(
    user: Annotated[str | None, typer.Option(help="Tokens of this user (administrators).")] = None,
    as_json: Json = False,
) -> None:
    """List your tokens; administrators see those of all users."""
    with connect() as client:
        tokens = client.tokens(user)
    if as_json:
        print_json({"tokens": tokens})
        return
    rows = [
        (
            token["id"],
            token["name"],
            token["user"],
            when(token["expires_at"]),
            when(token["last_used_at"]),
            token["prefix"],
            ", ".join(token["roles"]),
            "all" if token["projects"] is None else ", ".join(token["projects"]),
        )
        for token in tokens
    ]
    print_table(COLUMNS, rows)


@app.command()
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="Token id, as `helix token list` shows it.")],
) -> None:
    """Revoke a token; requests with it are refused within a second."""
    with connect() as client:
        client.revoke_token(token_id)
    say(f"Revoked {token_id}")


def _seconds(text: str) -> int:
    found = re.fullmatch(r"(\d{1,9})([smhd])", text)
    if found is None:
        raise typer.BadParameter(
            "must be a number followed by s, m, h or d, such as 30d", param_hint="--expires-in"
        )
    return int(found[1]) * SECONDS[found[2]]
