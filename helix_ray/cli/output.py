"""Standard output: tables for people, JSON for programs. rich is imported when a table is printed."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from unicodedata import category

import orjson
import typer

from helix_ray.cli.tables import GAP, Columns, fitted

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_RAW_IN_JSON = re.compile(r"[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")

_NUMBER = r"\s+(?:-?\d[\d.eE+-]*|null|true|false)"
# No text of JSON has a raw line break, so this finds whole lists.
_NUMBERS = re.compile(rf"\[{_NUMBER}(?:,{_NUMBER})*\s+\]")

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
    "pass": "green",
    "warn": "yellow",
    "fail": "red",
}


def print_json(value: Any, *, line: bool = False) -> None:
    """Print JSON, indented (a list of numbers stays on one line) or as one line of a stream."""
    text = orjson.dumps(value, option=0 if line else orjson.OPT_INDENT_2).decode()
    if not line:
        text = _NUMBERS.sub(
            lambda found: " ".join(found[0].split()).replace("[ ", "[").replace(" ]", "]"), text
        )
    # orjson leaves control characters above U+007F as they are, and a terminal may obey them.
    sys.stdout.write(_RAW_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")
    sys.stdout.flush()


def put(text: str, end: str = "\n") -> None:
    """Print a text on standard output: as it is in a pipe, its control characters escaped at a terminal."""
    sys.stdout.write((printable(text) if sys.stdout.isatty() else text) + end)
    sys.stdout.flush()


def say(text: str) -> None:
    """Print a message on standard error; standard output is for results."""
    print(printable(text), file=sys.stderr, flush=True)


def console() -> Console:
    """Return a console, which draws colours only where a terminal shows them."""
    from rich.console import Console

    return Console(highlight=False)


def width() -> int | None:
    """Return how wide lines may be: COLUMNS, else the terminal's width; None in a pipe."""
    stated = os.environ.get("COLUMNS", "")
    if stated.isdecimal() and int(stated) > 0:
        return int(stated)
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def drawn_table(columns: Columns, rows: Iterable[Sequence[Any]]) -> Text:
    """Return a table that fits, in colours."""
    from rich.text import Text

    shown = fitted(columns, [[_cell(value) for value in row] for row in rows], width())
    drawn = Text(no_wrap=True)
    for number, line in enumerate(shown.rows):
        for place, cell in enumerate(line):
            text = cell if place < len(line) - 1 else cell.rstrip()
            drawn.append(text, style="bold" if number < shown.heads else COLOURS.get(cell.strip(), ""))
            drawn.append(GAP if place < len(line) - 1 else "\n")
    drawn.right_crop(1)
    return drawn


def print_table(columns: Columns | Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table: fitted to a terminal, whole in a pipe."""
    named = columns if isinstance(columns, Columns) else Columns(tuple(columns))
    console().print(drawn_table(named, rows), soft_wrap=True)


def print_fields(fields: Mapping[str, Any]) -> None:
    """Print an object as `name value` lines, without unset fields; further lines of a value are indented."""
    shown = {
        name: printable(_text(value)) for name, value in fields.items() if value not in (None, "", [], {})
    }
    wide = max(map(len, shown), default=0)
    from rich.text import Text

    for name, value in shown.items():
        text = value.replace("\n", "\n" + " " * (wide + len(GAP)))
        line = Text.assemble((name.ljust(wide), "bold"), GAP, (text, COLOURS.get(value, "")))
        console().print(line, soft_wrap=True)


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
    return str(value)


def _cell(value: Any) -> str:
    """Return a value as one line."""
    return printable(_text(value), kept="")


def printable(text: str, kept: str = "\n\t") -> str:
    """Return a text that is safe at a terminal: control characters are escaped, except those in `kept`."""
    if text.isprintable():
        return text
    text = text.replace("\r\n", "\n")
    return "".join(c if c in kept or _harmless(c) else _escaped(c) for c in text)


def _harmless(character: str) -> bool:
    # Spaces other than U+0020 are not printable to Python, and do nothing to a terminal.
    return character.isprintable() or category(character) == "Zs"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode()
