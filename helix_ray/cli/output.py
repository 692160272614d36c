"""Standard output: tables for people, JSON for programs. rich is imported when a table is printed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

PIPE_COLUMNS = 200
TITLE_CHARS_MAX = 48

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
COLOURS = {
    "completed": "green",
    "running": "cyan",
    "failed": "red",
    "lost": "red",
    "cancelled": "yellow",
    "draining": "yellow",
    "busy": "cyan",
    "resting": "yellow",
    "active": "green",
    "fits": "green",
    "never": "red",
}


def print_json(value: Any, *, line: bool = False) -> None:
    """Print JSON, indented or as one line of a stream."""
    text = orjson.dumps(value, option=0 if line else orjson.OPT_INDENT_2)
    sys.stdout.write(text.decode() + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """Print a message on standard error; standard output is for results."""
    print(text, file=sys.stderr)


def console() -> Console:
    """Return a console; tables in a pipe are wide, so that ids are not cut."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_COLUMNS)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """Return a table; the first column is never cut."""
    from rich.markup import escape
    from rich.table import Table

    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for index, name in enumerate(columns):
        drawn.add_column(name, no_wrap=True, overflow="fold" if index == 0 else "ellipsis")
    for row in rows:
        drawn.add_row(*(_cell(escape(_text(value))) for value in row))
    return drawn


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table."""
    console().print(table(columns, rows))


def print_fields(fields: Mapping[str, Any]) -> None:
    """Print an object as `name value` lines, without unset fields."""
    from rich.markup import escape
    from rich.table import Table

    drawn = Table(box=None, pad_edge=False, show_header=False)
    drawn.add_column(style="bold", no_wrap=True)
    drawn.add_column(overflow="fold")
    for name, value in fields.items():
        if value not in (None, "", [], {}):
            drawn.add_row(name, _cell(escape(_text(value))))
    console().print(drawn)


def when(text: str | None) -> str:
    """Return an ISO 8601 time in this machine's zone, short."""
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S") if text else ""


def percent(value: float | None) -> str:
    """Return progress as a percentage."""
    return "" if value is None else f"{value:.0f} %"


def amounts(named: Mapping[str, Any]) -> str:
    """Return amounts as `cpu=4 gpu=1`, without zeros."""
    return " ".join(f"{name}={amount(value)}" for name, value in named.items() if value)


def amount(value: Any) -> str:
    """Return a number without meaningless digits, anything else unchanged."""
    return f"{value:.10g}" if isinstance(value, int | float) and not isinstance(value, bool) else _text(value)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict | list):
        return orjson.dumps(value).decode()
    if isinstance(value, float):
        return f"{value:g}"
    return printable(str(value))


def printable(text: str) -> str:
    """Return a text that is safe at a terminal: control characters are escaped, except line ends."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode()


def _cell(text: str) -> str:
    colour = COLOURS.get(text)
    return f"[{colour}]{text}[/]" if colour else text
