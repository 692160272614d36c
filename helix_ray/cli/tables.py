"""Tables that fit a terminal: pure, rows of text in, lines out.

Three rules, in this order. Columns that the reader can do without go first. Then the column that holds
free text is cut, with a mark, or goes on below. Nothing else is cut: an id that is not whole is of no use, so
a line may be longer than the terminal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from unicodedata import combining, east_asian_width

GAP = "  "
CUT_MARK = "…"
# Less of a free text says nothing; a column goes before its text gets narrower than this.
CUT_WIDTH_MIN = 16


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a table. `spare` are left out in this order where room is short; `cut` has free text,
    which `wraps` where it is what the table is read for: then it is the last column. Those `below` go on a
    line of their own under each row, where one line is too short for all."""

    names: tuple[str, ...]
    spare: tuple[str, ...] = ()
    cut: str | None = None
    wraps: bool = False
    below: tuple[str, ...] = ()

    def of(self, names: tuple[str, ...]) -> Columns:
        """Return some of them, which stand on one line."""
        spare = tuple(name for name in self.spare if name in names)
        return Columns(names, spare, self.cut if self.cut in names else None)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A table as it is shown: the header is the first row, or two; all columns but the last are padded."""

    rows: list[list[str]] = field(default_factory=list)
    heads: int = 1

    def lines(self) -> list[str]:
        """Return the table as text."""
        return [GAP.join(row).rstrip() for row in self.rows]


def cells(text: str) -> int:
    """Return how many columns of a terminal a text takes: two for a wide character, none for an accent."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, width: int) -> str:
    """Return a text that takes at most `width` columns, with a mark where something is missing."""
    if cells(text) <= width:
        return text
    kept, left = [], width - 1
    for character in text:
        left -= cells(character)
        if left < 0:
            break
        kept.append(character)
    return "".join(kept) + CUT_MARK


def wrapped(text: str, width: int) -> list[str]:
    """Return a text as lines of whole words; a word that is wider than `width` has a line of its own."""
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and cells(lines[-1]) + 1 + cells(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    return lines


def fitted(columns: Columns, rows: Sequence[Sequence[str]], width: int | None) -> Fitted:
    """Return a table for a terminal of `width` columns; None: nothing is left out or cut (a pipe)."""
    widths = {
        name: max([cells(name), *(cells(row[i]) for row in rows)]) for i, name in enumerate(columns.names)
    }
    if width is not None and columns.below and _total(widths) > width:
        return _in_two_lines(columns, rows, width)
    if width is not None:
        widths = _narrowed(columns, widths, width)
    shown = [(i, name) for i, name in enumerate(columns.names) if name in widths]
    drawn = [[name for _, name in shown]]
    for row in rows:
        if columns.wraps:
            *before, place = (i for i, _ in shown)
            first, *more = wrapped(row[place], widths[columns.names[place]])
            drawn += [[*(row[i] for i in before), first], *([*("" for _ in before), line] for line in more)]
        else:
            drawn.append([cut(row[i], widths[name]) for i, name in shown])
    last = shown[-1][1]
    for row in drawn:
        for place, (_, name) in enumerate(shown):
            if name != last:
                row[place] += " " * (widths[name] - cells(row[place]))
    return Fitted(drawn)


def _in_two_lines(columns: Columns, rows: Sequence[Sequence[str]], width: int) -> Fitted:
    """Return a table with some columns below the others; a row that has none of them has one line."""
    places = [(i, name in columns.below) for i, name in enumerate(columns.names)]
    halves = []
    for is_below, room in ((False, width), (True, width - len(GAP))):
        shown = [i for i, below in places if below is is_below]
        some = columns.of(tuple(columns.names[i] for i in shown))
        halves.append(fitted(some, [[row[i] for i in shown] for row in rows], room).rows)
    drawn = []
    for above, below in zip(*halves, strict=True):
        drawn.append(above)
        if any(cell.strip() for cell in below):
            drawn.append(["", *below])
    return Fitted(drawn, heads=2)


def _narrowed(columns: Columns, widths: dict[str, int], width: int) -> dict[str, int]:
    """Return the widths of the columns that stay."""
    kept = dict(widths)
    if columns.cut is not None:
        kept[columns.cut] = min(widths[columns.cut], CUT_WIDTH_MIN)
    for name in columns.spare:
        if _total(kept) <= width:
            break
        del kept[name]
    if columns.cut is not None and columns.cut in kept:
        left = width - _total(kept)
        kept[columns.cut] = min(widths[columns.cut], max(kept[columns.cut], kept[columns.cut] + left))
    return kept


def _total(widths: dict[str, int]) -> int:
    return sum(widths.values()) + len(GAP) * (len(widths) - 1)
