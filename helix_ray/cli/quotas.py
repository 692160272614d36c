"""helix quota list, set."""

from __future__ import annotations

from typing import Annotated

import typer

from helix_ray.cli import spec
from helix_ray.cli.connection import connect
from helix_ray.cli.output import Json, amounts, percent, print_json, print_table, say
from helix_ray.cli.tables import Columns

app = typer.Typer(
    no_args_is_help=False, help="Show the quotas and usage of projects; administrators can set quotas."
)
COLUMNS = Columns(
    ("PROJECT", "LIMITS", "USED", "QUEUED", "SHARE", "WEIGHT"),
    ("WEIGHT", "QUEUED", "SHARE", "USED", "LIMITS"),
)


@app.command("list")
def list_quotas(as_json: Json = False) -> None:
    """List projects with their limits, what they use, and their dominant share of the cluster."""
    with connect() as client:
        quotas = client.quotas()
    if as_json:
        print_json({"quotas": quotas})
        return
    rows = [
        (
            quota["project_id"],
            # A limit of 0 allows nothing, so it is shown.
            " ".join(f"{name}={value:g}" for name, value in quota["limits"].items()),
            amounts(quota["used"]),
            quota["queued"],
            percent(100 * quota["share"]),
            quota["weight"],
        )
        for quota in quotas
    ]
    print_table(COLUMNS, rows)


@app.command("set")
def set_quota(
    project: Annotated[str, typer.Argument(metavar="PROJECT", help="Project id.")],
    limits: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="cpu=8 tasks=10", help="Limits by name, or none for no limit.", show_default=False
        ),
    ] = None,
    weight: Annotated[
        float, typer.Option(min=0, help="Weight of its fair share; 2 gets twice the share of 1.")
    ] = 1.0,
    as_json: Json = False,
) -> None:
    """Replace the quota of a project: limits of resources, of running `tasks`, of `queued` tasks, and of
    models and data sets in MiB (`stored_mb`)."""
    given = spec.amounts("LIMITS", limits or ())
    with connect() as client:
        quota = client.set_quota(project, given, weight)
    if as_json:
        print_json(quota)
    else:
        shown = " ".join(f"{name}={value:g}" for name, value in quota["limits"].items()) or "no limits"
        say(f"{project}: {shown}, weight {quota['weight']:g}")
