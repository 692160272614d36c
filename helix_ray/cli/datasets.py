"""helix dataset push: upload a file of rows for inferences."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from helix_ray.cli.connection import connect
from helix_ray.cli.output import Json, print_json, put

app = typer.Typer(no_args_is_help=False, help="Upload files of rows for inferences.")


@app.callback()
def datasets() -> None:
    """Keep `push` a command of its own, though it is the only one."""


@app.command()
def push(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .npz, .npy, .parquet or JSON lines file.")],
    as_json: Json = False,
) -> None:
    """Upload a data set and print its digest, for `helix model run --dataset DIGEST`."""
    with connect() as client:
        pushed = client.push_dataset(file)
    print_json(pushed) if as_json else put(pushed["digest"])
