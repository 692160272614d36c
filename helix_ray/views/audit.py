"""The audit in the history's file: records in the order of the journal, and their search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb

from helix_ray.core.audit.records import AuditRecord
from helix_ray.core.audit.settings import Settings
from helix_ray.core.audit_questions import ListAudit
from helix_ray.core.views.audit import AuditPageView, AuditRowView
from helix_ray.core.views.security import SignInsView
from helix_ray.plain import stored
from helix_ray.views.batch import as_table
from helix_ray.views.columns import Column, text_of


def _text(name: str) -> Column:
    return Column(name, "VARCHAR NOT NULL", "object")


def _whole(name: str) -> Column:
    return Column(name, "BIGINT NOT NULL", "int64")


AUDIT = (
    _whole("seq"), _whole("last_seq"), Column("moment", "DOUBLE NOT NULL", "float64"), _text("event_type"),
    _text("action"), _text("result"), _text("user_id"), _text("address"), _text("user_agent"),
    _text("credential"), _text("request_id"), _text("resource"), _text("resource_id"), _whole("things"),
    _text("ids"), _text("details"), Column("erased", "BOOLEAN NOT NULL", "bool"),
    # JSON; NULL for an act that sets nothing, or of which nothing is known before, or left after.
    Column("before", "VARCHAR", "object"), Column("after", "VARCHAR", "object"),
    # What a text is looked for in, in small letters.
    _text("says"),
)  # fmt: skip
# What the records so far have set of each thing, by resource and id.
CONFIGURED = (_text("thing"), _text("settings"))
_NAMES = ", ".join(column.name for column in AUDIT if column.name != "says")
_FORGET = """
DELETE FROM configured WHERE thing IN (
    SELECT resource || ' ' || resource_id FROM audit
    WHERE EXISTS (SELECT 1 FROM (SELECT unnest(?::BIGINT[]) AS lost)
                  WHERE lost BETWEEN audit.seq AND audit.last_seq))
"""
_ERASE = """
UPDATE audit SET resource_id = '', ids = '[]', details = '{}', says = '', erased = true, before = NULL,
                 after = NULL
WHERE EXISTS (SELECT 1 FROM (SELECT unnest(?::BIGINT[]) AS lost)
              WHERE lost BETWEEN audit.seq AND audit.last_seq)
"""


def write(con: duckdb.DuckDBPyConnection, records: Sequence[AuditRecord], erased: Sequence[int]) -> None:
    """Write records, and forget what those of erased facts say, in the caller's transaction."""
    if records:
        _compare(con, [record for record in records if record.change is not None])
        with as_table(con, AUDIT, [_row(record) for record in records]):
            con.execute("INSERT INTO audit SELECT * FROM batch")
    if erased:
        con.execute(_FORGET, [list(erased)])
        con.execute(_ERASE, [list(erased)])


def _compare(con: duckdb.DuckDBPyConnection, records: Sequence[AuditRecord]) -> None:
    """Say in records what was there before and after, and keep what is there then."""
    things = list({_thing(record) for record in records})
    if not things:
        return
    found = con.execute("SELECT thing, settings FROM configured WHERE list_contains(?, thing)", [things])
    known: dict[str, Settings] = {thing: stored(settings) for thing, settings in found.fetchall()}
    for record in records:
        if record.change is not None:
            thing = _thing(record)
            before, after, known[thing] = record.change.over(known.get(thing, {}))
            record.before, record.after = before or None, after or None
    con.execute("DELETE FROM configured WHERE list_contains(?, thing)", [things])
    left = [(thing, text_of(settings)) for thing, settings in known.items() if settings]
    if left:
        with as_table(con, CONFIGURED, left):
            con.execute("INSERT INTO configured SELECT * FROM batch")


def _thing(record: AuditRecord) -> str:
    return f"{record.resource} {record.resource_id}"


def prune(con: duckdb.DuckDBPyConnection, before: float) -> None:
    """Remove the records from before a time; the journal still has their facts."""
    [(last,)] = con.execute("SELECT max(last_seq) FROM audit WHERE moment < ?", [before]).fetchall()
    if last is not None:
        con.execute("DELETE FROM audit WHERE moment < ?", [before])
        con.execute("UPDATE position SET audit_removed = greatest(audit_removed, ?)", [last])


def search(con: duckdb.DuckDBPyConnection, question: ListAudit, through: int) -> AuditPageView:
    """Return a page of the records that match: the newest first, or after a seq the oldest first."""
    where, values = _conditions(question)
    counted = con.execute(f"SELECT count(*) FROM audit WHERE {where}", values).fetchall()
    if question.after is None:
        before = question.before if question.before is not None else 1 << 62
        bound, order = ("seq < ?", before), "DESC"
    else:
        # A record of many facts may have been cut differently when the history was built anew.
        bound, order = ("last_seq > ?", question.after), "ASC"
    # The seqs first: rows are wide, and only those of the page are read.
    found = con.execute(
        f"SELECT seq FROM audit WHERE {where} AND {bound[0]} ORDER BY seq {order} LIMIT ?",
        [*values, bound[1], question.limit + 1],
    ).fetchall()
    seqs = [seq for (seq,) in found[: question.limit]]
    page = _rows(con, where, values, seqs, order)
    following = seqs[-1] if len(found) > question.limit else None
    if question.after is not None:
        # Where a follower goes on: behind what it has been given, and behind what matches nothing.
        last = [row["last_seq"] for row in page]
        following = max(
            [question.after, *last] if following is not None else [through, question.after, *last]
        )
    [(removed,)] = con.execute("SELECT audit_removed FROM position").fetchall()
    return {
        "through": through, "rows": page, "total": counted[0][0], "next": following,
        "removed_through": removed,
    }  # fmt: skip


_SIGN_INS = """
SELECT coalesce(sum(things) FILTER (result = 'success'), 0)::BIGINT,
       coalesce(sum(things) FILTER (result = 'failure'), 0)::BIGINT
FROM audit WHERE event_type = 'authentication' AND action = 'login'
"""


def sign_ins(con: duckdb.DuckDBPyConnection) -> SignInsView:
    """Count the sign-ins of the records: a record of several counts as many."""
    [(successful, failed)] = con.execute(_SIGN_INS).fetchall()
    [(newest,)] = con.execute("SELECT max(moment) FROM audit").fetchall()
    return {"successful": successful, "failed": failed, "last_record_at": newest}


def _rows(
    con: duckdb.DuckDBPyConnection, where: str, values: list[Any], seqs: list[int], order: str
) -> list[AuditRowView]:
    if not seqs:
        return []
    found = con.execute(
        f"SELECT {_NAMES} FROM audit WHERE seq BETWEEN ? AND ? AND {where} ORDER BY seq {order}",
        [min(seqs), max(seqs), *values],
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


def _row(record: AuditRecord) -> tuple[Any, ...]:
    origin = record.origin
    ids, details = text_of(record.ids), text_of(record.details)
    before, after = _text_or_none(record.before), _text_or_none(record.after)
    says = " ".join((
        record.action, record.user_id, origin.address, origin.user_agent, record.request_id,
        record.resource_id, ids, details, before or "", after or "",
    )).lower()  # fmt: skip
    return (
        record.seq, record.last_seq, record.at, record.event_type, record.action, record.result,
        record.user_id, origin.address, origin.user_agent, origin.credential, record.request_id,
        record.resource, record.resource_id, record.count, ids, details, record.erased, before, after, says,
    )  # fmt: skip


def _text_or_none(value: Settings | None) -> str | None:
    return None if value is None else text_of(value)


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
