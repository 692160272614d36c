"""What a benchmark hands back, how it is printed, and how it is kept as JSON."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import orjson
import psutil
from rich.console import Console
from rich.table import Table

PACKAGES = ("ray", "fastapi", "uvicorn", "duckdb", "celery", "redis", "dask", "distributed")
# Wide enough for every table: a report that goes to a file has no terminal to ask.
COLUMNS = 150


@dataclass(frozen=True, slots=True)
class Series:
    """One figure, once a round."""

    name: str
    unit: str
    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Return the median over the rounds."""
        return statistics.median(self.rounds)

    def text(self) -> str:
        """Return the median and, behind it, the lowest and the highest round."""
        shown = f"{number(self.median)} {self.unit}"
        if len(self.rounds) > 1:
            shown += f"  ({number(min(self.rounds))}..{number(max(self.rounds))})"
        return shown


@dataclass(frozen=True, slots=True)
class Goal:
    """What was aimed at, and whether this run held it."""

    text: str
    held: bool


@dataclass(frozen=True, slots=True)
class Line:
    """A figure of ours beside its anchor, measured in the same rounds."""

    what: str
    ours: Series
    anchor: Series | None = None
    goal: Goal | None = None

    @property
    def ratio(self) -> float | None:
        """Return ours over the anchor: the median of the rounds' ratios, so that a
        slow minute counts for both.

        None without an anchor, and beside one that is 0.
        """
        if self.anchor is None or not all(self.anchor.rounds):
            return None
        pairs = zip(self.ours.rounds, self.anchor.rounds, strict=False)
        return statistics.median(ours / anchor for ours, anchor in pairs)


@dataclass(frozen=True, slots=True)
class Report:
    """One benchmark's lines, and what a reader must know to judge them."""

    name: str
    title: str
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = field(default=())


def number(value: float) -> str:
    """Return a figure with three significant digits, thousands set apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def at_most(limit: float, unit: str, series: Series) -> Goal:
    """Return the goal `<= limit`."""
    return Goal(f"<= {number(limit)} {unit}", series.median <= limit)


def at_least(limit: float, unit: str, series: Series) -> Goal:
    """Return the goal `>= limit`."""
    return Goal(f">= {number(limit)} {unit}", series.median >= limit)


def ratio_at_least(limit: float, what: str, ours: Series, anchor: Series) -> Goal:
    """Return the goal `>= limit x anchor`."""
    ratio = Line("", ours, anchor).ratio or 0.0
    return Goal(f">= {limit:g} x {what}", ratio >= limit)


def ratio_at_most(limit: float, what: str, ours: Series, anchor: Series) -> Goal:
    """Return the goal `<= limit x anchor`."""
    ratio = Line("", ours, anchor).ratio or 0.0
    return Goal(f"<= {limit:g} x {what}", ratio <= limit)


def show(report: Report, console: Console) -> None:
    """Print one benchmark's table; one without figures is the line that says why."""
    if not report.lines:
        console.print(f"{report.name}: {'; '.join(report.notes)}", highlight=False)
        return
    table = Table(title=f"{report.name}: {report.title}", title_justify="left", title_style="bold")
    for heading in ("what", "Helix Ray", "anchor", "ratio", "goal", "held"):
        table.add_column(heading)
    for line in report.lines:
        table.add_row(*_cells(line))
    console.print(table)
    for note in report.notes:
        console.print(f"  {note}", highlight=False)
    console.print()


def _cells(line: Line) -> tuple[str, ...]:
    anchor = f"{line.anchor.name}: {line.anchor.text()}" if line.anchor else ""
    ratio = f"{line.ratio:.2f}" if line.ratio is not None else ""
    goal, held = (line.goal.text, "yes" if line.goal.held else "NO") if line.goal else ("", "")
    return line.what, line.ours.text(), anchor, ratio, goal, held


def show_summary(reports: Sequence[Report], console: Console) -> None:
    """Print every line that has a goal."""
    if not any(line.goal for report in reports for line in report.lines):
        return
    table = Table(title="summary", title_justify="left", title_style="bold")
    for heading in ("benchmark", "what", "Helix Ray", "ratio", "goal", "held"):
        table.add_column(heading)
    for report in reports:
        for line in report.lines:
            if line.goal:
                what, ours, _, ratio, goal, held = _cells(line)
                table.add_row(report.name, what, ours, ratio, goal, held)
    console.print(table)


def machine() -> dict[str, Any]:
    """Return what the figures depend on beside the code."""
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "load_average_before": [round(load, 2) for load in os.getloadavg()],
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def save(path: Path, reports: Sequence[Report], about: dict[str, Any]) -> None:
    """Write the run as JSON: each line with every round, its median, ratio and goal."""
    body = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": about,
        "benchmarks": [
            {
                "name": report.name,
                "title": report.title,
                "notes": report.notes,
                "lines": [_line(line) for line in report.lines],
            }
            for report in reports
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(body, option=orjson.OPT_INDENT_2) + b"\n")


def _line(line: Line) -> dict[str, Any]:
    return {
        "what": line.what,
        "ours": {**asdict(line.ours), "median": line.ours.median},
        "anchor": {**asdict(line.anchor), "median": line.anchor.median} if line.anchor else None,
        "ratio": line.ratio,
        "goal": asdict(line.goal) if line.goal else None,
    }
