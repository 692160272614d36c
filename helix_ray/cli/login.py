"""helix login, logout, whoami."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from helix_ray.cli.connection import DEFAULT_URL, RETRY_S_DEFAULT, connect, make_client
from helix_ray.cli.habits import address
from helix_ray.cli.output import Json, print_fields, print_json, say
from helix_ray.cli.session_file import Login, SessionFile
from helix_ray.client.tokens import MemoryTokens, SessionTokens

PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]


def ask_password(
    prompt: str, from_stdin: bool, variable: str = "HELIX_PASSWORD", *, confirm: bool = False
) -> str:
    """Return a password from standard input, a variable, or a prompt without echo."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    given = os.environ.get(variable)
    if given:
        return given
    if not sys.stdin.isatty():
        raise typer.BadParameter(
            f"cannot ask for a password without a terminal: set {variable} or use --password-stdin"
        )
    answer: str = typer.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True)
    return answer


def login(
    url: Annotated[str, typer.Option(envvar="HELIX_URL", help="Address of the API.")] = DEFAULT_URL,
    username: Annotated[
        str | None,
        typer.Option("--username", "-u", envvar="HELIX_USERNAME", help="Username; asked for without it."),
    ] = None,
    password_stdin: PasswordStdin = False,
    ca_file: Annotated[
        str | None,
        typer.Option(
            envvar="HELIX_CA_FILE", help="PEM file of CA certificates to trust in addition to the system's."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Sign in; the session is stored in a file that only you can read.

    The password comes from HELIX_PASSWORD, --password-stdin or a prompt.
    """
    url = address(url)
    if username is None and (password_stdin or not sys.stdin.isatty()):
        username = "admin"
    name = username or typer.prompt("Username", default="admin", err=True)
    password = ask_password("Password", password_stdin)
    kept = MemoryTokens()
    with make_client(url, None, kept, ca_file, RETRY_S_DEFAULT) as client:
        user = client.login(name, password)
    tokens = kept.load()
    assert isinstance(tokens, SessionTokens)
    # Read before anything is stored: who answers may be another program.
    signed_in = f"Logged in to {url} as {user['username']} ({', '.join(user['roles'])})"
    file = SessionFile()
    file.write(Login(url.rstrip("/"), name, tokens, ca_file))
    if as_json:
        print_json(
            {"url": url, "user": user, "expires_at": tokens.expires_at, "session_file": str(file.path)}
        )
    else:
        say(signed_in)


def logout() -> None:
    """End the session, here and on the server."""
    file = SessionFile()
    if file.read() is None:
        say("Not logged in")
        return
    try:
        with connect() as client:
            client.logout()
    finally:
        file.remove()
    say("Logged out")


def whoami(as_json: Json = False) -> None:
    """Show who is signed in, and where."""
    with connect() as client:
        user = {**client.whoami(), "url": client.url}
    if as_json:
        print_json(user)
    else:
        print_fields(
            {name: ", ".join(value) if isinstance(value, list) else value for name, value in user.items()}
        )
