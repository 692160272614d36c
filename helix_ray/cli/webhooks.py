"""helix webhook create, list, show, update, delete, pause, resume, test, rotate, deliveries,
redeliver."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from helix_ray.cli.connection import connect
from helix_ray.cli.output import Json, print_fields, print_json, print_table, put, say, when
from helix_ray.cli.tables import Columns

if TYPE_CHECKING:
    from helix_ray.wire.deliveries import DeliveryOut
    from helix_ray.wire.webhooks import WebhookOut, WebhookSignedOut

app = typer.Typer(no_args_is_help=False, help="Have an address told of what happens, by signed requests.")
COLUMNS = Columns(
    ("ID", "NAME", "STATUS", "EVENTS", "OWNER", "CREATED", "URL"),
    ("CREATED", "OWNER", "NAME", "EVENTS"),
    "URL",
)
DELIVERY_COLUMNS = Columns(
    ("SEQ", "EVENT", "STATUS", "TRIES", "NEXT TRY", "ANSWER", "REASON"), ("NEXT TRY", "TRIES"), "REASON"
)
Id = Annotated[str, typer.Argument(metavar="ID", help="Id of a webhook, or how it begins.")]
EventsOption = Annotated[
    list[str] | None, typer.Option("--event", help="task.completed, task.*, *; can be repeated.")
]
NameOption = Annotated[str | None, typer.Option("--name", help="A name for people.")]
Projects = Annotated[list[str] | None, typer.Option("--project", help="Only tasks of these projects.")]
Types = Annotated[list[str] | None, typer.Option("--type", help="Only tasks of these types.")]
LabelOption = Annotated[list[str] | None, typer.Option("--label", help="NAME=VALUE; tasks that have it.")]
Statuses = Annotated[list[str] | None, typer.Option("--status", help="Only tasks with these statuses.")]
HeaderOption = Annotated[
    list[str] | None, typer.Option("--header", help="'NAME: VALUE' to send; can be repeated.")
]
CaFile = Annotated[
    Path | None, typer.Option("--ca-file", help="PEM file that the receiver's certificate chains to.")
]
SecretFile = Annotated[
    Path | None, typer.Option("--secret-file", help="File with the secret; without it one is made.")
]


class Given(TypedDict):
    """The options of a webhook, as the client takes them."""

    name: str | None
    projects: list[str] | None
    types: list[str] | None
    labels: dict[str, str] | None
    statuses: list[str] | None
    headers: dict[str, str] | None
    ca: str | None


@app.command()
def create(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where requests are sent: https://...")],
    event: EventsOption = None,
    secret_file: SecretFile = None,
    name: NameOption = None,
    project: Projects = None,
    type_: Types = None,
    label: LabelOption = None,
    status: Statuses = None,
    header: HeaderOption = None,
    ca_file: CaFile = None,
    as_json: Json = False,
) -> None:
    """Create a webhook for all events, or those of --event. Its signing secret is printed on standard output,
    and never shown again."""
    options = _given(name, project, type_, label, status, header, ca_file)
    with connect() as client:
        made = client.create_webhook(url, event or ["*"], secret=_secret(secret_file), **options)
    _show_signed(made, as_json)


@app.command("list")
def list_webhooks(as_json: Json = False) -> None:
    """List your webhooks; administrators see all."""
    with connect() as client:
        webhooks = client.webhooks()
    if as_json:
        print_json({"webhooks": webhooks})
        return
    rows = [
        (
            each["id"], each["name"], each["status"], " ".join(each["events"]), each["owner"],
            when(each["created_at"]), each["url"],
        )
        for each in webhooks
    ]  # fmt: skip
    print_table(COLUMNS, rows)


@app.command()
def show(webhook_id: Id, as_json: Json = False) -> None:
    """Show one webhook; its secrets are shown to nobody."""
    with connect() as client:
        _show(client.webhook(webhook_id), as_json)


@app.command()
def update(
    webhook_id: Id,
    url: Annotated[str | None, typer.Option("--url", help="Another address.")] = None,
    event: EventsOption = None,
    name: NameOption = None,
    project: Projects = None,
    type_: Types = None,
    label: LabelOption = None,
    status: Statuses = None,
    header: HeaderOption = None,
    ca_file: CaFile = None,
    as_json: Json = False,
) -> None:
    """Replace what is named. An empty value ("--project ''") empties a list."""
    options = _given(name, project, type_, label, status, header, ca_file)
    with connect() as client:
        _show(client.update_webhook(webhook_id, url=url, events=event, **options), as_json)


@app.command()
def delete(webhook_id: Id) -> None:
    """Delete a webhook; what was still to be sent is not sent."""
    with connect() as client:
        client.delete_webhook(webhook_id)
    say(f"Deleted {webhook_id}")


@app.command()
def pause(webhook_id: Id, as_json: Json = False) -> None:
    """Hold what a webhook would be told."""
    with connect() as client:
        _show(client.pause_webhook(webhook_id), as_json)


@app.command()
def resume(
    webhook_id: Id,
    skip: Annotated[bool, typer.Option("--skip", help="Leave out what was held.")] = False,
    as_json: Json = False,
) -> None:
    """Resume a webhook that is paused or off; what was held is sent."""
    with connect() as client:
        _show(client.resume_webhook(webhook_id, "skip" if skip else "replay"), as_json)


@app.command("test")
def ping(webhook_id: Id, as_json: Json = False) -> None:
    """Send a ping."""
    with connect() as client:
        asked = client.test_webhook(webhook_id)
    if as_json:
        print_json(asked)
    else:
        say(f"{asked['webhook_id']} gets webhook.ping, as delivery {asked['seq']}")


@app.command()
def rotate(
    webhook_id: Id,
    secret_file: SecretFile = None,
    overlap: Annotated[
        float | None,
        typer.Option("--overlap", metavar="SECONDS", min=0, help="How long both sign.", show_default="1 day"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Give a webhook another secret, which is printed on standard output and never shown again."""
    with connect() as client:
        made = client.rotate_webhook_secret(webhook_id, _secret(secret_file), overlap_s=overlap)
    _show_signed(made, as_json)


@app.command()
def deliveries(
    webhook_id: Id,
    seq: Annotated[int | None, typer.Argument(metavar="SEQ", help="One delivery, whole.", min=1)] = None,
    status: Annotated[
        str | None, typer.Option("--status", help="waiting, delivered, failed or dropped.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=200, help="At most so many.")] = 50,
    as_json: Json = False,
) -> None:
    """Show what became of a webhook's messages, newest first; with SEQ one, its request and its tries."""
    with connect() as client:
        if seq is not None:
            found = client.delivery(webhook_id, seq)
            _show_delivery(found, as_json)
            return
        page = client.deliveries(webhook_id, status=status, limit=limit)
    if as_json:
        print_json(page)
    else:
        print_table(DELIVERY_COLUMNS, [_delivery_row(each) for each in page["deliveries"]])


def _delivery_row(delivery: DeliveryOut) -> tuple[str, ...]:
    last = delivery["last_try"]
    answer = "" if last is None else str(last["status"] or last["failure"] or "")
    reason = delivery["reason"] or ("" if last is None else last["reason"])
    return (
        str(delivery["seq"]), delivery["event"], delivery["status"], str(delivery["tries"]),
        when(delivery["next_try_at"]), answer, reason,
    )  # fmt: skip


def _show_delivery(delivery: DeliveryOut, as_json: bool) -> None:
    if as_json:
        print_json(delivery)
    else:
        print_fields({name.replace("_", " "): value for name, value in delivery.items()})


@app.command()
def redeliver(
    webhook_id: Id,
    seq: Annotated[int | None, typer.Argument(metavar="SEQ", help="One delivery.", min=1)] = None,
    after: Annotated[int | None, typer.Option("--after", min=0, help="All after this seq.")] = None,
    through: Annotated[int | None, typer.Option("--through", min=1, help="And through this one.")] = None,
    as_json: Json = False,
) -> None:
    """Send once more: the delivery SEQ, or what comes after a seq."""
    if (seq is None) == (after is None):
        raise typer.BadParameter("give either SEQ or --after")
    with connect() as client:
        asked = client.redeliver(webhook_id, seq, after=after, through=through)
    if as_json:
        print_json(asked)
    else:
        say(f"{asked['webhook_id']} is sent it once more")


def _given(
    name: str | None,
    project: list[str] | None,
    type_: list[str] | None,
    label: list[str] | None,
    status: list[str] | None,
    header: list[str] | None,
    ca_file: Path | None,
) -> Given:
    return {
        "name": name,
        "projects": _values(project),
        "types": _values(type_),
        "labels": _pairs(label, "=", "--label"),
        "statuses": _values(status),
        "headers": _pairs(header, ":", "--header"),
        "ca": None if ca_file is None else ca_file.read_text(),
    }


def _values(given: Sequence[str] | None) -> list[str] | None:
    return None if given is None else [each for each in given if each]


def _pairs(given: Sequence[str] | None, between: str, option: str) -> dict[str, str] | None:
    if given is None:
        return None
    pairs = {}
    for text in filter(None, given):
        name, found, value = text.partition(between)
        if not found or not name.strip():
            raise typer.BadParameter(f"must be NAME{between}VALUE", param_hint=option)
        pairs[name.strip()] = value.strip()
    return pairs


def _secret(file: Path | None) -> str | None:
    return None if file is None else file.read_text().rstrip("\n")


def _show(webhook: WebhookOut, as_json: bool) -> None:
    if as_json:
        print_json(webhook)
    else:
        print_fields({name.replace("_", " "): value for name, value in webhook.items()})


def _show_signed(made: WebhookSignedOut, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    say(f"{made['id']} for {made['url']}; its signing secret is not shown again")
    if made["signing_secret"] is not None:
        put(made["signing_secret"])
