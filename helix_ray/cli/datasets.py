"""helix dataset push, list, show, delete: files of rows for inferences."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from helix_ray.cli.connection import connect
from helix_ray.cli.output import Json, print_fields, print_json, print_table, put, say, when
from helix_ray.cli.tables import Columns

if TYPE_CHECKING:
    from helix_ray.wire.datasets import UploadedOut

app = typer.Typer(no_args_is_help=False, help="Upload files of rows for inferences.")
COLUMNS = Columns(("DIGEST", "BYTES", "OWNER", "PROJECT", "UPLOADED"), ("UPLOADED", "PROJECT", "OWNER"))
Digest = Annotated[str, typer.Argument(metavar="DIGEST", help="The SHA-256 of the file.")]


@app.command()
def push(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .npz, .npy, .parquet or JSON lines file.")],
    project: Annotated[str | None, typer.Option("--project", help="Its members may use it, too.")] = None,
    as_json: Json = False,
) -> None:
    """Upload a data set and print its digest, for `helix model run --dataset DIGEST`."""
    with connect() as client:
        pushed = client.push_dataset(file, project_id=project)
    print_json(pushed) if as_json else put(pushed["digest"])


@app.command("list")
def list_datasets(as_json: Json = False) -> None:
    """List the data sets that you may use, the last uploaded first."""
    with connect() as client:
        found = client.datasets()
    if as_json:
        print_json({"datasets": found})
    else:
        print_table(COLUMNS, [row for each in found for row in _rows(each)])


def _rows(dataset: UploadedOut) -> list[tuple[object, ...]]:
    digest, size = dataset["digest"], dataset["bytes"]
    return [
        (digest, size, each["owner"], each["project_id"] or "", when(each["uploaded_at"]))
        for each in reversed(dataset["uploads"])
    ]


@app.command()
def show(digest: Digest, as_json: Json = False) -> None:
    """Show a data set: its bytes, and who has uploaded it for which project."""
    with connect() as client:
        found = client.dataset(digest)
    if as_json:
        print_json(found)
        return
    uploads = [
        f"{when(each['uploaded_at'])} by {each['owner']}"
        + (f" for {each['project_id']}" if each["project_id"] else "")
        for each in found["uploads"]
    ]
    print_fields({"digest": found["digest"], "bytes": found["bytes"], "uploaded": ", ".join(uploads)})


@app.command()
def delete(digest: Digest) -> None:
    """Delete what you have uploaded of a file. Tasks that name it keep the file until they have ended."""
    with connect() as client:
        client.delete_dataset(digest)
    say(f"deleted the data set {digest}")
