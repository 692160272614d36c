"""`python -m benchmarks.markdown FILE ...` prints runs that were kept as JSON as the Markdown
table of docs/benchmarks.md."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from benchmarks.report import number

HEADER = "| benchmark | what | Helix Ray | anchor | ratio | goal | held |\n|---|---|---|---|---|---|---|"


def rows(run: dict[str, Any]) -> Iterator[str]:
    """Give a row a line of the run."""
    for benchmark in run["benchmarks"]:
        for line in benchmark["lines"]:
            anchor, goal, ratio = line["anchor"], line["goal"], line["ratio"]
            cells = (
                benchmark["name"],
                line["what"].strip(),
                _figure(line["ours"]),
                f"{anchor['name']}: {_figure(anchor)}" if anchor else "",
                f"{ratio:.2f}" if ratio is not None else "",
                goal["text"] if goal else "",
                ("yes" if goal["held"] else "**no**") if goal else "",
            )
            yield f"| {' | '.join(cells)} |"


def _figure(series: dict[str, Any]) -> str:
    shown = f"{number(series['median'])} {series['unit']}"
    low, high = min(series["rounds"]), max(series["rounds"])
    return shown if low == high else f"{shown} ({number(low)}..{number(high)})"


def main() -> int:
    """Print one table for all files."""
    print(HEADER)
    for name in sys.argv[1:]:
        for row in rows(orjson.loads(Path(name).read_bytes())):
            print(row)
    return 0


if __name__ == "__main__":
    sys.exit(main())
