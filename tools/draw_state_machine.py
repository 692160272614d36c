"""Draw docs/state_machine.md from helix_ray/core/lifecycle.py. With `--check`: fail when the file is stale.

Run: python tools/draw_state_machine.py
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from helix_ray.core import lifecycle  # noqa: E402
from helix_ray.core.lifecycle import DELETABLE, MOVES, TERMINAL, Status  # noqa: E402

PAGE = ROOT / "docs" / "state_machine.md"


def arrows() -> dict[tuple[str, str], list[str]]:
    """Return the facts on each arrow of the diagram, by (from, to); `[*]` is where tasks come from and go."""
    drawn: dict[tuple[str, str], list[str]] = {
        ("[*]", "pending"): ["TaskSubmitted"],
        ("[*]", "waiting"): ["TaskSubmitted, with unfinished dependencies"],
    }
    for fact, moves in MOVES.items():
        for before, after in moves.items():
            drawn.setdefault((before.value, after.value), []).append(fact)
    return drawn


def diagram() -> str:
    """Return the table as a mermaid state diagram."""
    lines = ["stateDiagram-v2"]
    lines += [f"    {before} --> {after}: {', '.join(facts)}" for (before, after), facts in arrows().items()]
    return "\n".join(lines)


def table() -> str:
    """Return the table as Markdown: a row for each fact, a column for each status."""
    names = [status.value for status in Status]
    rows = [["fact \\ while", *names], ["---"] * (len(names) + 1)]
    for fact, moves in MOVES.items():
        rows.append([fact, *(moves[status].value if status in moves else "" for status in Status)])
    rows.append(["TaskDeleted", *("(gone)" if status in DELETABLE else "" for status in Status)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def page() -> str:
    """Return the whole page."""
    ends = ", ".join(status.value for status in Status if status in TERMINAL)
    return "\n\n".join(
        (
            "# The life of a task",
            "<!-- Drawn by tools/draw_state_machine.py from helix_ray/core/lifecycle.py; do not edit. -->",
            (lifecycle.__doc__ or "").strip(),
            f"```mermaid\n{diagram()}\n```",
            "What each fact makes of a task; an empty field means that the fact cannot happen "
            f"then. Ends: {ends}.",
            table(),
            "TaskDeleted leads out of every status. TasksRetired takes finished tasks out of memory only: the"
            " history goes on answering for them.\n",
        )
    )


def main() -> int:
    """Write the page, or compare it; return the exit status."""
    if sys.argv[1:] == ["--check"]:
        if PAGE.is_file() and PAGE.read_text() == page():
            return 0
        print(f"{PAGE} is stale: run python tools/draw_state_machine.py", file=sys.stderr)
        return 1
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
