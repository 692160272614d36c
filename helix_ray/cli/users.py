"""helix user add, list, roles, remove, password."""

from __future__ import annotations

from typing import Annotated

import typer

from helix_ray.cli.connection import connect
from helix_ray.cli.login import PasswordStdin, ask_password
from helix_ray.cli.output import Json, print_json, print_table, say, when
from helix_ray.cli.tables import Columns
from helix_ray.core.access import ROLES

app = typer.Typer(no_args_is_help=False, help="Manage users (administrators) and your own password.")
COLUMNS = Columns(("NAME", "ROLES", "CREATED", "ID"), ("CREATED", "ROLES"))
Username = Annotated[str, typer.Argument(help="Username.")]


@app.command()
def add(
    username: Username,
    role: Annotated[
        list[str] | None, typer.Option("--role", help=", ".join(ROLES), show_default="developer")
    ] = None,
    password_stdin: PasswordStdin = False,
    as_json: Json = False,
) -> None:
    """Add a user; the password comes from HELIX_NEW_PASSWORD, --password-stdin or a prompt."""
    password = ask_password(f"Password of {username}", password_stdin, "HELIX_NEW_PASSWORD", confirm=True)
    with connect() as client:
        user = client.add_user(username, password, role or ["developer"])
    if as_json:
        print_json(user)
    else:
        say(f"Added {username} ({', '.join(role or ['developer'])})")


@app.command("list")
def list_users(as_json: Json = False) -> None:
    """List users."""
    with connect() as client:
        users = client.users()
    if as_json:
        print_json({"users": users})
        return
    rows = [(u["username"], ", ".join(u["roles"]), when(u.get("created_at")), u["id"]) for u in users]
    print_table(COLUMNS, rows)


@app.command()
def roles(
    username: Username, role: Annotated[list[str], typer.Option("--role", help=", ".join(ROLES))]
) -> None:
    """Set the roles of a user; roles that are not named are removed."""
    with connect() as client:
        user = client.change_roles(username, role)
    say(f"{user['username']}: {', '.join(user['roles'])}")


@app.command()
def remove(username: Username) -> None:
    """Remove a user; their sessions end at once."""
    with connect() as client:
        client.remove_user(username)
    say(f"Removed {username}")


@app.command()
def password(password_stdin: PasswordStdin = False) -> None:
    """Change your own password: HELIX_PASSWORD and HELIX_NEW_PASSWORD, two lines of input, or prompts."""
    current = ask_password("Current password", password_stdin)
    new = ask_password("New password", password_stdin, "HELIX_NEW_PASSWORD", confirm=True)
    with connect() as client:
        client.change_password(current, new)
    say("Password changed; your other sessions have ended")
