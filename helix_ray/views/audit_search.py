"""The search of the audit: a page of the records that match, and how many match in all.

All that match a filter are counted once. While none is removed or blanked, only records that were written
since are counted again: of 10 million records that takes 1 ms, and counting all takes 20 to 30.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Final, NamedTuple

import duckdb

from helix_ray.core.audit_questions import ListAudit
from helix_ray.core.views.audit import AuditPageView, AuditRowView
from helix_ray.plain import stored
from helix_ray.views.audit import SAID, SAID_IN_JSON, SHOWN, ids_of
from helix_ray.views.columns import text_of
from helix_ray.views.generated import can_be_part, is_generated

FILTERS_MAX: Final = 1_000
# Most pages lie within so many facts: the others are looked at for those that do not.
NEAR_FACTS: Final = 4_096
# Within so many facts, a page's records are found again by a text sooner than by their seqs; by other filters
# always.
CLOSE_FACTS_MAX: Final = 65_536
# So often a search begins anew where records are removed meanwhile; the last time they wait for it.
TRIES_MAX: Final = 3
_Filter = tuple[object, ...]


class _Counted(NamedTuple):
    """So many records of facts up to `through` match, and their first and last seq."""

    total: int = 0
    through: int = 0
    oldest: int = 0
    newest: int = 0

    def and_more(self, total: int, through: int, oldest: int | None, newest: int | None) -> _Counted:
        """Add those of later facts."""
        if oldest is None or newest is None:
            return self._replace(through=through)
        return _Counted(self.total + total, through, self.oldest or oldest, newest)


class _Look(NamedTuple):
    """One search: of records that begin up to fact `through`, with no record up to `removed_through`, and
    after how many removals."""

    con: duckdb.DuckDBPyConnection
    through: int
    removed_through: int
    removals: int
    known: _Counted | None


class _Part(NamedTuple):
    """Which of the records that match are wanted, and in which order: those within `bound` of two seqs."""

    bound: str
    first: int
    last: int
    order: str
    wanted: int

    @classmethod
    def of(cls, question: ListAudit, through: int) -> _Part:
        if question.after is None:
            last = through if question.before is None else min(question.before - 1, through)
            return cls("seq BETWEEN ? AND ?", 0, last, "DESC", question.limit + 1)
        # A record of many facts may have been cut differently when the history was built anew.
        return cls("last_seq > ? AND seq <= ?", question.after, through, "ASC", question.limit + 1)

    def among(self, counted: _Counted) -> _Part:
        """Return the same part of what was counted."""
        if self.order == "DESC":
            return self._replace(first=counted.oldest, last=min(self.last, counted.newest))
        return self._replace(last=min(self.last, counted.newest))

    def beginning(self, counted: _Counted) -> _Part:
        """Return where it begins."""
        if self.order == "DESC":
            return self._replace(first=max(self.first, self.last - NEAR_FACTS))
        return self._replace(last=min(self.last, max(self.first, counted.oldest) + NEAR_FACTS))


class AuditSearch:
    """Searches one history's audit, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._removals = 0
        self._removed_through: int | None = None
        self._counted: OrderedDict[_Filter, _Counted] = OrderedDict()

    @contextmanager
    def removing(self) -> Iterator[None]:
        """Commit within it what removes or blanks records."""
        with self._lock:
            yield
            self._removals += 1
            self._removed_through = None
            self._counted.clear()

    def page(self, con: duckdb.DuckDBPyConnection, question: ListAudit, through: int) -> AuditPageView:
        """Return a page of the records that match, of facts up to `through`, which the tables have: the
        newest first, or after a seq the oldest first."""
        where, values = _conditions(question)
        by: _Filter = (where, *values)
        tries = 0
        while True:
            tries += 1
            # Its statements read one state of those facts unless something is removed between them. A
            # transaction for each search would say so too, and take a fifth of the time of most.
            with self._lock if tries == TRIES_MAX else nullcontext():
                look = self._look(con, by, through)
                counted, page = _page(look, question, where, values)
                if self._is_kept(by, look, counted):
                    return page

    def _look(self, con: duckdb.DuckDBPyConnection, by: _Filter, through: int) -> _Look:
        with self._lock:
            if self._removed_through is None:
                [(gone,)] = con.execute("SELECT audit_removed FROM position").fetchall()
                self._removed_through = int(gone)
            return _Look(con, through, self._removed_through, self._removals, self._counted.get(by))

    def _is_kept(self, by: _Filter, look: _Look, counted: _Counted) -> bool:
        """Keep what was counted, unless something was removed meanwhile; say whether nothing was."""
        with self._lock:
            if look.removals != self._removals:
                return False
            known = self._counted.get(by)
            if known is None or known.through < counted.through:
                self._counted[by] = counted
                self._counted.move_to_end(by)
            while len(self._counted) > FILTERS_MAX:
                self._counted.popitem(last=False)
            return True


def _page(look: _Look, question: ListAudit, where: str, values: list[Any]) -> tuple[_Counted, AuditPageView]:
    part = _Part.of(question, look.through)
    if look.known is None and _is_narrow(question):
        # Reading what is asked for takes longer than keeping a page of what is found: once for both.
        counted, found = _count_and_find(look, where, values, part)
    else:
        counted = _count(look, where, values)
        found = _find(look.con, where, values, part, counted)
    by_seq = question.text is not None or question.resource is not None
    rows = _rows(look.con, where, values, found[: question.limit], by_seq)
    has_more = len(found) > question.limit
    following = found[question.limit - 1] if has_more else None
    if question.after is not None:
        # Where a follower goes on: behind what it has been given, and behind what matches nothing.
        last = [question.after, *(row["last_seq"] for row in rows)]
        following = max(last if has_more else [look.through, *last])
    return counted, {
        "through": look.through, "rows": rows, "total": counted.total, "next": following,
        "removed_through": look.removed_through,
    }  # fmt: skip


_COUNT: Final = "count(*), min(seq), max(seq)"


def _count(look: _Look, where: str, values: list[Any]) -> _Counted:
    known = look.known or _Counted()
    if known.through >= look.through:
        # Somebody who asked later has counted: theirs is as true.
        return known
    # A record has the seq of its first fact: those of later facts are behind all that were counted.
    [more] = look.con.execute(
        f"SELECT {_COUNT} FROM audit WHERE {where} AND seq BETWEEN ? AND ?",
        [*values, known.through + 1, look.through],
    ).fetchall()
    total, oldest, newest = more
    return known.and_more(total, look.through, oldest, newest)


def _find(
    con: duckdb.DuckDBPyConnection, where: str, values: list[Any], part: _Part, counted: _Counted
) -> list[int]:
    """Return the seqs of the page, and of one more."""
    if counted.total == 0:
        return []
    part = part.among(counted)
    beginning = part.beginning(counted)
    found = _within(con, where, values, beginning)
    if len(found) == part.wanted or beginning == part:
        return found
    return _within(con, where, values, part)


def _within(con: duckdb.DuckDBPyConnection, where: str, values: list[Any], part: _Part) -> list[int]:
    found = con.execute(
        f"SELECT seq FROM audit WHERE {where} AND {part.bound} ORDER BY seq {part.order} LIMIT ?",
        [*values, part.first, part.last, part.wanted],
    ).fetchall()
    return [seq for (seq,) in found]


def _count_and_find(look: _Look, where: str, values: list[Any], part: _Part) -> tuple[_Counted, list[int]]:
    first = "max" if part.order == "DESC" else "min"
    [(total, oldest, newest, seqs)] = look.con.execute(
        f"SELECT {_COUNT}, {first}(seq, {part.wanted}) FILTER ({part.bound}) FROM audit "
        f"WHERE {where} AND seq <= ?",
        [part.first, part.last, *values, look.through],
    ).fetchall()
    counted = _Counted().and_more(total, look.through, oldest, newest)
    return counted, sorted(seqs or (), reverse=part.order == "DESC")


def _rows(
    con: duckdb.DuckDBPyConnection, where: str, values: list[Any], seqs: list[int], by_seq: bool
) -> list[AuditRowView]:
    """Return the records of a page, in its order: rows are wide, and only these are read; `by_seq` where they
    are far apart."""
    if not seqs:
        return []
    first, last = min(seqs), max(seqs)
    if by_seq and last - first > CLOSE_FACTS_MAX:
        where, values = "seq IN (SELECT unnest(?::BIGINT[]))", [seqs]
    rows = con.execute(
        f"SELECT {SHOWN} FROM audit WHERE {where} AND seq BETWEEN ? AND ?", [*values, first, last]
    ).fetchall()
    found = {row["seq"]: row for row in map(_view, rows)}
    # Where one is missing, it was removed meanwhile: the search begins anew.
    return [found[seq] for seq in seqs if seq in found]


def _is_narrow(question: ListAudit) -> bool:
    """Say whether few of all records can be expected to match."""
    narrow = (question.text, question.resource, question.user, question.address)
    return any(value is not None for value in narrow)


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
    ):  # fmt: skip
        if value is not None:
            conditions.append(condition)
            values.append(value)
    for more, texts in (_of_text(question.text), _of_resource(question.resource)):
        conditions += more
        values += texts
    return " AND ".join(conditions), values


def _of_text(text: str | None) -> tuple[list[str], list[str]]:
    """Return the condition that a record says a text, and its values."""
    if text is None:
        return [], []
    # What looks the same is found, however it was typed: e with its accent is one character or two, and a
    # Greek sigma that ends a word has the capital of any other.
    small = "lower({})" if text.isascii() else "replace(nfc_normalize(lower({})), 'ς', 'σ')"
    said = {small.format(column): text for column in SAID}
    said |= {small.format(column): _in_json(text) for column in SAID_IN_JSON}
    # That of an attempt is its task's, and a number.
    if can_be_part(text.partition("#")[0]):
        # Generated ids are in small letters.
        said |= {"ids": text, "credential": text}
    return ["(" + " OR ".join(f"contains({one}, {small.format('?')})" for one in said) + ")"], [
        *said.values()
    ]


def _of_resource(resource: str | None) -> tuple[list[str], list[str]]:
    """Return the condition that a record is about a thing or a kind of things, and its values."""
    if resource is None:
        return [], []
    # In JSON an id stands in quotes, and an id of a request has none.
    quoted = text_of(resource)
    if is_generated(resource):
        return ["contains(ids, ?)"], [quoted]
    return ["(resource = ? OR contains(named, ?))"], [resource, quoted]


def _in_json(text: str) -> str:
    return text_of(text)[1:-1]


def _view(row: tuple[Any, ...]) -> AuditRowView:
    (seq, last_seq, at, event_type, action, result, user_id, address, user_agent, credential, resource, count,
     ids, details, erased, before, after) = row  # fmt: skip
    request_id, resource_id, things = ids_of(ids)
    return {
        "seq": seq, "last_seq": last_seq, "at": at, "event_type": event_type, "action": action,
        "result": result, "user_id": user_id, "address": address, "user_agent": user_agent,
        "credential": credential, "request_id": request_id, "resource": resource,
        "resource_id": resource_id, "count": count, "ids": things, "details": stored(details),
        "erased": erased, "before": stored(before) if before else None,
        "after": stored(after) if after else None,
    }  # fmt: skip
