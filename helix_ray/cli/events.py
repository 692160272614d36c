"""helix watch: a line for every event, as it happens."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from helix_ray.cli import spec
from helix_ray.cli import submit_options as options
from helix_ray.cli.connection import connect
from helix_ray.cli.exits import Exit
from helix_ray.cli.output import print_json, printable, put, say, width
from helix_ray.cli.tables import CUT_WIDTH_MIN, GAP, cells, cut
from helix_ray.client.errors import CursorGone, Unavailable

if TYPE_CHECKING:
    from helix_ray.client.events import EventReader
    from helix_ray.wire.events import EventOut

# As wide as the names of the events of tasks, so that their ids stand below each other.
EVENT_WIDTH = 14
# What of the data stands in a line, in this order.
SHOWN = ("title", "username", "name", "user_id", "model", "version", "state", "progress", "note", "reason")


def watch(
    events: Annotated[
        list[str] | None, typer.Argument(metavar="[EVENT]...", help="task.failed, worker.*; default: all.")
    ] = None,
    project: Annotated[list[str] | None, typer.Option(help="Only tasks of this project.")] = None,
    task_type: Annotated[list[str] | None, typer.Option("--type", help="Only tasks of this type.")] = None,
    label: options.Labels = None,
    status: Annotated[list[str] | None, typer.Option(help="Only tasks that have this status then.")] = None,
    after: Annotated[
        int | None, typer.Option(min=0, help="Begin after this seq (0: all that there is); default: now.")
    ] = None,
    from_earliest: Annotated[
        bool, typer.Option("--from-earliest", help="Start over where --after cannot be continued from.")
    ] = False,
    count: Annotated[int | None, typer.Option("--count", "-n", min=1, help="End after so many.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON line for every event.")] = False,
) -> None:
    """Print what happens, until Ctrl-C; to follow tasks to their end, use helix task watch TASK..."""
    _refuse_tasks(events or ())
    with connect(waiting=True) as client:
        try:
            reader = client.events(
                events,
                project=[client.full_id("project", each) for each in project or ()],
                type=task_type,
                labels=spec.pairs("--label", label or ()),
                status=status,
                after=after,
                from_earliest=from_earliest,
            )
        except CursorGone:
            say("helix: --from-earliest begins with the oldest event instead")
            raise
        with reader:
            _print(reader, count, as_json=as_json)


def _refuse_tasks(events: list[str] | tuple[()]) -> None:
    ids = [each for each in events if each.startswith("task-")]
    if ids:
        raise typer.BadParameter(f"{ids[0]} is a task, not an event; use: helix task watch {' '.join(ids)}")


def _print(reader: EventReader, count: int | None, *, as_json: bool) -> None:
    try:
        for event in islice(reader, count):
            print_json(event, line=True) if as_json else put(line_of(event, width()))
    except KeyboardInterrupt:
        _say_where(reader)
        raise typer.Exit(Exit.INTERRUPTED) from None
    except BrokenPipeError:
        # Who reads has enough, as `head` does. Nothing may be written at the end of the program either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(Exit.OK) from None
    except Unavailable:
        _say_where(reader)
        raise


def _say_where(reader: EventReader) -> None:
    say(f"helix: to go on from here, use --after {reader.cursor}")


def line_of(event: EventOut, wide: int | None) -> str:
    """Return an event as one line: time, name, subject and data, cut to `wide` columns.

    In a pipe (None) nothing is cut, and the time has its date; ids are never cut.
    """
    moment = datetime.fromisoformat(event["timestamp"]).astimezone()
    at = moment.strftime("%Y-%m-%d %H:%M:%S" if wide is None else "%H:%M:%S")
    line = GAP.join((at, printable(event["event"].ljust(EVENT_WIDTH)), printable(event["subject"], kept="")))
    text = printable(_shown_of(event), kept="")
    if wide is not None:
        left = wide - cells(line) - len(GAP)
        text = cut(text, left) if left >= CUT_WIDTH_MIN else ""
    return f"{line}{GAP}{text}".rstrip()


def _shown_of(event: EventOut) -> str:
    data = event["data"]
    error = data.get("error")
    shown = [str(data[name]) for name in SHOWN if data.get(name) not in (None, "", event["subject"])]
    if isinstance(error, dict):
        shown.append(str(error.get("message") or error.get("reason") or ""))
    return ": ".join(part for part in shown if part)
