"""The audit in the history's file: records in the order of the journal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb

from helix_ray.core.audit.kinds import ACTS
from helix_ray.core.audit.records import AuditRecord
from helix_ray.core.audit.settings import MEMBERS, Settings, SettingsChange
from helix_ray.core.events import ProjectSet, RequestsRefused
from helix_ray.core.views.security import SignInsView
from helix_ray.plain import stored
from helix_ray.views.batch import as_table, insert, stored_text
from helix_ray.views.columns import Column, text_of
from helix_ray.views.generated import is_generated


def _text(name: str) -> Column:
    return Column(name, "VARCHAR NOT NULL", "object")


def _whole(name: str) -> Column:
    return Column(name, "BIGINT NOT NULL", "int64")


AUDIT = (
    _whole("seq"), _whole("last_seq"), Column("moment", "DOUBLE NOT NULL", "float64"), _text("event_type"),
    _text("action"), _text("result"), _text("user_id"), _text("address"), _text("user_agent"),
    _text("credential"), _text("resource"), _whole("things"),
    # All ids of a record (`_ids`). Where some values repeat, DuckDB takes all of a segment apart to show one;
    # where each is different, that one alone. A request has an id of its own.
    _text("ids"),
    _text("details"), Column("erased", "BOOLEAN NOT NULL", "bool"),
    # JSON; NULL for an act that sets nothing, or of which nothing is known before, or left after.
    Column("before", "VARCHAR", "object"), Column("after", "VARCHAR", "object"),
    # Of `ids` those that were not generated (views/generated.py), in the same form; empty where all were.
    _text("named"),
)  # fmt: skip
# What the records so far have set of each thing, by resource and id.
CONFIGURED = (_text("thing"), _text("settings"))
SHOWN = ", ".join(column.name for column in AUDIT if column.name != "named")
# What a text is looked for in: as it is, and as it is in JSON. A part of a generated id is in `ids` and in
# `credential`.
SAID = ("action", "user_id", "address", "user_agent")
SAID_IN_JSON = ("named", "details", "before", "after")
REFUSED = ACTS[RequestsRefused]
# How the keys of what is known of projects begin.
_OF_PROJECTS = f"{ACTS[ProjectSet].resource} "
_LOST = """
EXISTS (SELECT 1 FROM (SELECT unnest(?::BIGINT[]) AS lost) WHERE lost BETWEEN audit.seq AND audit.last_seq)
"""
# What is left is what the journal still says, so that a history that is built anew has the same records:
# which refusals they were, and how many, is erased with them.
_ERASE = rf"""
UPDATE audit SET ids = regexp_replace(ids, '[^\n]*$', '[""]'), details = '{{}}', named = '', erased = true,
                 before = NULL, after = NULL,
                 event_type = if(resource = '{REFUSED.resource}', '{REFUSED.type}', event_type),
                 action = if(resource = '{REFUSED.resource}', '{REFUSED.action}', action),
                 result = if(resource = '{REFUSED.resource}', 'denied', result),
                 things = if(resource = '{REFUSED.resource}', 1, things)
WHERE {_LOST}
"""


def write(con: duckdb.DuckDBPyConnection, records: Sequence[AuditRecord], erased: Sequence[int]) -> None:
    """Write records, and forget what those of erased facts say, in the caller's transaction."""
    if records:
        _compare(con, [record for record in records if record.change or record.leaver])
        insert(con, "audit", AUDIT, [_row(record) for record in records])
    if erased:
        _forget(con, erased)
        con.execute(_ERASE, [list(erased)])


def _forget(con: duckdb.DuckDBPyConnection, erased: Sequence[int]) -> None:
    """Keep nothing of things of which erased facts have set something."""
    lost = con.execute(f"SELECT resource, ids FROM audit WHERE {_LOST}", [list(erased)]).fetchall()
    things = [f"{resource} {ids_of(ids)[1]}" for resource, ids in lost]
    con.execute("DELETE FROM configured WHERE list_contains(?::VARCHAR[], thing)", [things])


def content(record: AuditRecord) -> list[Any]:
    """Return what is stored of a record: the values of AUDIT's columns."""
    return [stored_text(value) if isinstance(value, str) else value for value in _row(record)]


def compare(record: AuditRecord, known: dict[str, Settings]) -> None:
    """Say in a record what was there before and after, and keep what is there then, by thing."""
    if record.change is not None:
        thing = thing_of(record)
        before, after, known[thing] = record.change.over(known.get(thing, {}))
        record.before, record.after = before or None, after or None
    if record.leaver:
        left = SettingsChange(left=record.leaver)
        for thing, settings in known.items():
            if thing.startswith(_OF_PROJECTS) and record.leaver in _members(settings):
                _, _, known[thing] = left.over(settings)


def _members(settings: Settings) -> Sequence[str]:
    members = settings.get(MEMBERS)
    return members if isinstance(members, list) else []


def _compare(con: duckdb.DuckDBPyConnection, records: Sequence[AuditRecord]) -> None:
    """Say in records what was there before and after, and keep what is there then."""
    if not records:
        return
    things = list({thing_of(record) for record in records if record.change is not None})
    found = con.execute("SELECT thing, settings FROM configured WHERE list_contains(?, thing)", [things])
    known: dict[str, Settings] = {thing: stored(settings) for thing, settings in found.fetchall()}
    if leavers := [record.leaver for record in records if record.leaver]:
        known = _projects_with(con, leavers) | known
    for record in records:
        compare(record, known)
    con.execute("DELETE FROM configured WHERE list_contains(?, thing)", [[*{*things, *known}]])
    left = [(thing, text_of(settings)) for thing, settings in known.items() if settings]
    if left:
        with as_table(con, CONFIGURED, left):
            con.execute("INSERT INTO configured SELECT * FROM batch")


def _projects_with(con: duckdb.DuckDBPyConnection, users: Sequence[str]) -> dict[str, Settings]:
    """Return what is known of the projects of which one of some users may be a member."""
    found = con.execute("SELECT thing, settings FROM configured WHERE starts_with(thing, ?)", [_OF_PROJECTS])
    named = [text_of(user) for user in users]
    return {
        thing: stored(settings)
        for thing, settings in found.fetchall()
        if any(user in settings for user in named)
    }


def thing_of(record: AuditRecord) -> str:
    """Return the key of what is known of the thing that a record is about."""
    return f"{record.resource} {record.resource_id}"


_OLD = "moment < ? AND last_seq <= ?"


def has_before(con: duckdb.DuckDBPyConnection, before: float, through: int | None = None) -> bool:
    """Say whether `prune` would remove records."""
    values = [before, 1 << 62 if through is None else through]
    return bool(con.execute(f"SELECT 1 FROM audit WHERE {_OLD} LIMIT 1", values).fetchall())


def prune(con: duckdb.DuckDBPyConnection, before: float, through: int | None = None) -> bool:
    """Remove the records from before a time, of facts up to a seq, and say whether there were any.

    The journal still has their facts.
    """
    values = [before, 1 << 62 if through is None else through]
    [(last,)] = con.execute(f"SELECT max(last_seq) FROM audit WHERE {_OLD}", values).fetchall()
    if last is None:
        return False
    con.execute(f"DELETE FROM audit WHERE {_OLD}", values)
    con.execute("UPDATE position SET audit_removed = greatest(audit_removed, ?)", [last])
    return True


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


def _row(record: AuditRecord) -> tuple[Any, ...]:
    origin = record.origin
    before, after = _text_or_none(record.before), _text_or_none(record.after)
    request, things = record.request_id, [record.resource_id, *record.ids]
    chosen = "" if is_generated(request) else request, [each for each in things if not is_generated(each)]
    return (
        record.seq, record.last_seq, record.at, record.event_type, record.action, record.result,
        record.user_id, origin.address, origin.user_agent, origin.credential, record.resource, record.count,
        _ids(request, things), text_of(record.details), record.erased, before, after,
        _ids(*chosen) if any(chosen) and not record.erased else "",
    )  # fmt: skip


def _ids(request: str, things: Sequence[str]) -> str:
    """Return ids as text: that of the request, and in a line of their own as JSON those of things, of which
    the first is the record's resource."""
    return f"{request}\n{text_of(things)}"


def ids_of(text: str) -> tuple[str, str, list[str]]:
    """Return the ids of a record: the request's, the resource's, and those of more things."""
    request, _, things = text.rpartition("\n")
    resource, *more = stored(things)
    return request, resource, more


def _text_or_none(value: Settings | None) -> str | None:
    return None if value is None else text_of(value)
