"""The `helix` program. Commands that need httpx, rich or numpy import them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from helix_ray.cli.exits import HelixGroup
from helix_ray.cli.output import put
from helix_ray.cli.places import PLACES, Commands


class Program(HelixGroup):
    """`helix` with all commands."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "commands": Commands(PLACES)})


app = typer.Typer(
    name="helix",
    cls=Program,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Distributed AI work on a Ray cluster. Log in with `helix login`; exit codes are listed in "
        "docs/cli.md."
    ),
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        put(f"helix {version('helix-ray')}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Show the help when no command is named."""
    if ctx.invoked_subcommand is None:
        put(ctx.get_help())


if __name__ == "__main__":
    app()
