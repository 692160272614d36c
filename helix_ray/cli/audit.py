"""helix audit list, acknowledge."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from helix_ray.cli.connection import connect
from helix_ray.cli.failures import plainly
from helix_ray.cli.habits import moment
from helix_ray.cli.output import Json, print_json, print_table, put, say, when
from helix_ray.cli.tables import Columns
from helix_ray.wire.times import iso_or_none

if TYPE_CHECKING:
    from helix_ray.wire.audit import AuditLogOut

COLUMNS = Columns(
    ("TIME", "USER", "ACTION", "RESULT", "ADDRESS", "COUNT", "RESOURCE"),
    below=("ADDRESS", "COUNT", "RESOURCE"),
)
SUCCESS = "success"
Word = str | None


def list_audit(
    event_type: Annotated[Word, typer.Option("--type", help="authentication, authorization, data_access or "
                                             "config_change.")] = None,
    user: Annotated[Word, typer.Option("--user", help="Name or id of the user.")] = None,
    action: Annotated[Word, typer.Option("--action", help="An action, such as login.")] = None,
    result: Annotated[Word, typer.Option("--result", help="success, failure or denied.")] = None,
    address: Annotated[Word, typer.Option("--address", help="Address of the client.")] = None,
    resource: Annotated[Word, typer.Option("--resource", help="An id, or a kind such as task.")] = None,
    since: Annotated[Word, typer.Option("--since", help="Not before this time (ISO 8601), or so long ago: "
                                        "30m, 1h, 7d.")] = None,
    until: Annotated[Word, typer.Option("--until", help="Before this time, or so long ago.")] = None,
    text: Annotated[Word, typer.Option("--text", help="A text that a record contains.")] = None,
    limit: Annotated[int, typer.Option("--limit", help="How many.")] = 100,
    as_json: Json = False,
) -> None:  # fmt: skip
    """List what was done, the newest first."""
    start, end = span(since, until)
    with connect() as client:
        found = client.audit(
            limit=limit, event_type=event_type, user=user, action=action, result=result, address=address,
            resource=resource, start_time=start, end_time=end, q=text,
        )  # fmt: skip
    if found["warning"] is not None:
        say(f"helix audit: {found['warning']}")
    if as_json:
        print_json(found)
        return
    print_table(COLUMNS, map(_row, found["logs"]))
    if found["next_cursor"] is not None:
        say(f"{len(found['logs'])} of {found['total']}; for more, use --limit, --until or helix audit export")


def span(since: str | None, until: str | None) -> tuple[str | None, str | None]:
    """Return both ends in ISO 8601; raises BadParameter."""
    now = time.time()
    return iso_or_none(moment(since, now)), iso_or_none(moment(until, now))


def _row(log: AuditLogOut) -> tuple[Any, ...]:
    about = log["metadata"]
    things = [about["resource_id"] or about["resource"]]
    if log["result"] != SUCCESS and about["ids"]:
        # What was refused: all accounts that were tried from one address, or all requests.
        things = about["ids"]
    return (
        when(log["timestamp"]), log["user_id"], log["action"], log["result"], log["ip_address"],
        about["count"], ", ".join(things),
    )  # fmt: skip


def acknowledge(
    name: Annotated[str, typer.Option(help="Where the audit is kept, such as vault.")],
    through: Annotated[int, typer.Option(min=1, help="Seq of the last fact whose record is there.")],
) -> None:
    """Record that the audit up to a fact is kept elsewhere, with the newest checkpoint."""
    from helix_ray.cli.audit_forward import size_and_root

    with connect() as client:
        note = client.audit_checkpoint()
        client.acknowledge_audit(name, through, plainly("audit", lambda: size_and_root(note)))
    put(f"the audit up to fact {through} is kept in {name}")
