"""helix project create, list, show, add, remove, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from helix_ray.cli.connection import connect
from helix_ray.cli.output import Json, print_json, print_table, say, when
from helix_ray.cli.tables import Columns

if TYPE_CHECKING:
    from helix_ray.wire.projects import ProjectOut

app = typer.Typer(
    no_args_is_help=False, help="Show projects and their members; administrators can change them."
)
COLUMNS = Columns(("PROJECT", "NAME", "MEMBERS", "CREATED"), ("CREATED", "NAME"), "MEMBERS")
ProjectId = Annotated[str, typer.Argument(metavar="PROJECT", help="Project id.")]
Usernames = Annotated[list[str], typer.Argument(metavar="USERNAME...", help="Users.")]


@app.command()
def create(
    project: ProjectId,
    name: Annotated[str, typer.Option(help="For people.")] = "",
    member: Annotated[list[str] | None, typer.Option("--member", help="Username; can be repeated.")] = None,
    as_json: Json = False,
) -> None:
    """Create a project. Once a project exists, only members and administrators can submit to projects."""
    with connect() as client:
        _show(client.create_project(project, name, member or ()), as_json)


@app.command("list")
def list_projects(as_json: Json = False) -> None:
    """List your projects; administrators and viewers see all."""
    with connect() as client:
        projects = client.projects()
    if as_json:
        print_json({"projects": projects})
    else:
        print_table(COLUMNS, [_row(project) for project in projects])


@app.command()
def show(project: ProjectId, as_json: Json = False) -> None:
    """Show a project and its members."""
    with connect() as client:
        _show(client.project(project), as_json)


@app.command()
def add(project: ProjectId, usernames: Usernames) -> None:
    """Add users to a project, so that they can submit to it."""
    with connect() as client:
        for username in usernames:
            client.add_member(project, username)
    say(f"{project}: added {', '.join(usernames)}")


@app.command()
def remove(project: ProjectId, usernames: Usernames) -> None:
    """Remove users from a project; the tasks that they submitted continue."""
    with connect() as client:
        for username in usernames:
            client.remove_member(project, username)
    say(f"{project}: removed {', '.join(usernames)}")


@app.command()
def delete(project: ProjectId) -> None:
    """Delete a project; its tasks continue."""
    with connect() as client:
        client.delete_project(project)
    say(f"Deleted {project}")


def _show(project: ProjectOut, as_json: bool) -> None:
    if as_json:
        print_json(project)
    else:
        print_table(COLUMNS, [_row(project)])


def _row(project: ProjectOut) -> tuple[str, ...]:
    return project["id"], project["name"], ", ".join(project["members"]), when(project["created_at"])
