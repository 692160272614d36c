"""The search of the audit: a page of the records that match, and how many match in all.

All that match a filter are counted once. While none is removed or blanked, only records that were written
since are counted again: of 10 million records that takes 1 ms, and counting all takes 20 to 30.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import duckdb

from helix_ray.core.audit_questions import ListAudit
from helix_ray.core.views.audit import AuditPageView, AuditRowView
from helix_ray.plain import stored
from helix_ray.views.audit import SHOWN
from helix_ray.views.columns import text_of

FILTERS_MAX: Final = 1_000
_Filter = tuple[object, ...]


class _Counted(NamedTuple):
    """So many records of facts up to `through` match."""

    total: int
    through: int


class _Look(NamedTuple):
    """One search: the tables as of fact `through`, with no record up to `removed_through`, and after how many
    removals."""

    con: duckdb.DuckDBPyConnection
    through: int
    removed_through: int
    removals: int
    known: _Counted | None


class _Part(NamedTuple):
    """Which of the records that match are wanted, and in which order."""

    bound: str
    value: int
    order: str
    wanted: int

    @classmethod
    def of(cls, question: ListAudit) -> _Part:
        if question.after is None:
            before = question.before if question.before is not None else 1 << 62
            return cls("seq < ?", before, "DESC", question.limit + 1)
        # A record of many facts may have been cut differently when the history was built anew.
        return cls("last_seq > ?", question.after, "ASC", question.limit + 1)


class AuditSearch:
    """Searches one history's audit, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._removals = 0
        self._counted: OrderedDict[_Filter, _Counted] = OrderedDict()

    @contextmanager
    def removing(self) -> Iterator[None]:
        """Commit within it what removes or blanks records."""
        with self._lock:
            yield
            self._removals += 1
            self._counted.clear()

    def page(self, con: duckdb.DuckDBPyConnection, question: ListAudit) -> AuditPageView:
        """Return a page of the records that match: the newest first, or after a seq the oldest first."""
        where, values = _conditions(question)
        by: _Filter = (where, *values)
        with self._looking(con, by) as look:
            part = _Part.of(question)
            if look.known is None and (question.text is not None or question.resource is not None):
                # These are read as slowly as they are long: once for both.
                total, found = _count_and_find(con, where, values, part)
            else:
                total, found = _count(look, where, values), _find(con, where, values, part)
            rows = _rows(con, found[: question.limit], part.order)
        self._keep(by, look.removals, _Counted(total, look.through))
        has_more = len(found) > question.limit
        following = found[question.limit - 1] if has_more else None
        if question.after is not None:
            # Where a follower goes on: behind what it has been given, and behind what matches nothing.
            last = [question.after, *(row["last_seq"] for row in rows)]
            following = max(last if has_more else [look.through, *last])
        return {
            "through": look.through, "rows": rows, "total": total, "next": following,
            "removed_through": look.removed_through,
        }  # fmt: skip

    @contextmanager
    def _looking(self, con: duckdb.DuckDBPyConnection, by: _Filter) -> Iterator[_Look]:
        """Read everything from one state of the tables, which begins while nothing is removed."""
        with self._lock:
            con.execute("BEGIN")
            [(through, gone)] = con.execute("SELECT ingested, audit_removed FROM position").fetchall()
            look = _Look(con, through, gone, self._removals, self._counted.get(by))
        try:
            yield look
        finally:
            con.execute("ROLLBACK")

    def _keep(self, by: _Filter, removals: int, counted: _Counted) -> None:
        with self._lock:
            if removals == self._removals:
                self._counted[by] = counted
                self._counted.move_to_end(by)
            while len(self._counted) > FILTERS_MAX:
                self._counted.popitem(last=False)


def _count(look: _Look, where: str, values: list[Any]) -> int:
    known = look.known or _Counted(0, 0)
    if known.through == look.through:
        return known.total
    # A record has the seq of its first fact: those of later facts are behind all that were counted.
    [(more,)] = look.con.execute(
        f"SELECT count(*) FROM audit WHERE {where} AND seq > ?", [*values, known.through]
    ).fetchall()
    return known.total + int(more)


def _find(con: duckdb.DuckDBPyConnection, where: str, values: list[Any], part: _Part) -> list[int]:
    """Return the seqs of the page, and of one more."""
    found = con.execute(
        f"SELECT seq FROM audit WHERE {where} AND {part.bound} ORDER BY seq {part.order} LIMIT ?",
        [*values, part.value, part.wanted],
    ).fetchall()
    return [seq for (seq,) in found]


def _count_and_find(
    con: duckdb.DuckDBPyConnection, where: str, values: list[Any], part: _Part
) -> tuple[int, list[int]]:
    first = "max" if part.order == "DESC" else "min"
    [(total, seqs)] = con.execute(
        f"SELECT count(*), {first}(seq, {part.wanted}) FILTER ({part.bound}) FROM audit WHERE {where}",
        [part.value, *values],
    ).fetchall()
    return total, sorted(seqs or (), reverse=part.order == "DESC")


def _rows(con: duckdb.DuckDBPyConnection, seqs: list[int], order: str) -> list[AuditRowView]:
    """Return records by their seqs: rows are wide, and only those of the page are read."""
    if not seqs:
        return []
    found = con.execute(
        f"SELECT {SHOWN} FROM audit WHERE seq BETWEEN ? AND ? AND seq IN (SELECT unnest(?::BIGINT[])) "
        f"ORDER BY seq {order}",
        [min(seqs), max(seqs), seqs],
    ).fetchall()
    return [_view(row) for row in found]


def _conditions(question: ListAudit) -> tuple[str, list[Any]]:
    conditions, values = ["true"], []
    for condition, value in (
        ("event_type = ?", question.event_type),
        ("moment >= ?", question.start),
        ("moment < ?", question.end),
        ("user_id = ?", question.user),
        ("action = ?", question.action),
        ("result = ?", question.result),
        ("address = ?", question.address),
        ("contains(says, ?)", None if question.text is None else question.text.lower()),
    ):  # fmt: skip
        if value is not None:
            conditions.append(condition)
            values.append(value)
    if question.resource is not None:
        # An id among `ids`, which are JSON, stands in quotes.
        conditions.append("(resource_id = ? OR resource = ? OR contains(ids, ?))")
        values += [question.resource, question.resource, text_of(question.resource)]
    return " AND ".join(conditions), values


def _view(row: tuple[Any, ...]) -> AuditRowView:
    (seq, last_seq, at, event_type, action, result, user_id, address, user_agent, credential, request_id,
     resource, resource_id, count, ids, details, erased, before, after) = row  # fmt: skip
    return {
        "seq": seq, "last_seq": last_seq, "at": at, "event_type": event_type, "action": action,
        "result": result, "user_id": user_id, "address": address, "user_agent": user_agent,
        "credential": credential, "request_id": request_id, "resource": resource,
        "resource_id": resource_id, "count": count, "ids": stored(ids), "details": stored(details),
        "erased": erased, "before": stored(before) if before else None,
        "after": stored(after) if after else None,
    }  # fmt: skip
