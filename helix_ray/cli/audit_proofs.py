"""helix audit export, verify: what was done, in a file that proves itself on another host."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from helix_ray.cli.backup import EXIT_FAILED, home_of
from helix_ray.cli.failures import plainly
from helix_ray.cli.output import put, say
from helix_ray.cli.up import DataDir

if TYPE_CHECKING:
    from helix_ray.wire.audit import AuditOut

FACTS = "facts"

app = typer.Typer(no_args_is_help=False, help="List what was done, export it, and verify exports.")
INTERNAL_ONLY = (
    "internal only: the lines fit together, but whoever wrote the file can have rewritten all of it; "
    "give a checkpoint that was kept elsewhere with --checkpoint"
)


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="File to write; an export of the same journal is continued.")],
    after: Annotated[int | None, typer.Option(min=0, help="Seq of the fact before the first one.")] = None,
    data_dir: DataDir = None,
    form: Annotated[
        str, typer.Option("--format", help="facts; or records from the API: jsonl, csv, parquet, ocsf.")
    ] = FACTS,
    since: Annotated[
        str | None, typer.Option(help="Records not before this time (ISO 8601), or so long ago: 30m, 1h, 7d.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Records before this time, or so long ago.")] = None,
) -> None:
    """Write one JSON line a fact: who, what, when and outcome, with its leaf; no contents, so no secrets.

    With another --format: the records that `helix audit list` shows, from the server of your login.
    """
    if form != FACTS:
        if after is not None:
            raise typer.BadParameter("can only be used with --format facts", param_hint="--after")
        _export_records(out, form, since, until)
        return
    if since is not None or until is not None:
        raise typer.BadParameter(
            "can only be used with a --format of records: a verifiable export has every fact",
            param_hint="--since" if since is not None else "--until",
        )
    from helix_ray.audit_export.write import export as write

    made = plainly("audit", lambda: write(home_of(data_dir), out, after or 0))
    put(f"{out} has facts {made.after + 1} to {made.last}; {made.added} were added")


def _export_records(out: Path, form: str, since: str | None, until: str | None) -> None:
    from helix_ray.audit_export import records
    from helix_ray.cli.audit import span
    from helix_ray.cli.connection import connect

    if form not in records.FORMS:
        raise typer.BadParameter(f"give one of {FACTS}, {', '.join(records.FORMS)}", param_hint="--format")
    start, end = span(since, until)
    with connect() as client:

        def ask(cursor: int | None) -> AuditOut:
            return client.audit(limit=records.PAGE_RECORDS, cursor=cursor, start_time=start, end_time=end)

        count = plainly("audit", lambda: records.write(out, form, records.pages(ask)))
    put(f"{out} has {count} records")


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(metavar="EXPORT", help="File of helix audit export.")],
    checkpoint: Annotated[
        list[Path] | None, typer.Option(help="Checkpoint that was kept elsewhere; can be repeated.")
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key",
            help="Verifier line of who signed it, from `helix journal key` or a witness; can be repeated.",
        ),
    ] = None,
) -> None:
    """Check every line of an export, and compare it with old checkpoints; needs no server."""
    from helix_ray.audit_export.verify import verify_file
    from helix_ray.checkpoints import Checkpoint
    from helix_ray.security import notes

    if checkpoint and not key:
        say("helix audit: a checkpoint is verified with the key that you kept: give it with --key")
        raise typer.Exit(EXIT_FAILED)

    def run() -> None:
        known = [notes.Verifier.of(line) for line in key or ()]
        read = [notes.read_file(path, known) for path in checkpoint or ()]
        signers = {Checkpoint.of(text): signer for text, signer in read}
        found = verify_file(file, [*signers])
        put(f"verified {file}: facts {found.beginning.frontier.size + 1} to {found.frontier.size}")
        for one in found.compared:
            by = f", as {signers[one].name} saw it" if signers[one].is_witness else ""
            put(f"facts 1 to {one.size} are those of the checkpoint of {one.origin}{by}")
        if not found.compared:
            say(f"helix audit: {INTERNAL_ONLY}")

    plainly("audit", run)
