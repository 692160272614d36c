"""Writes records of the audit to a file, in a form that other programs load. Pure but for the file.

    jsonl      a record as the API has it, a line each
    csv        a column a field; lists and objects as JSON
    parquet    the same columns
    ocsf       JSON lines in the Open Cybersecurity Schema Framework: sign-ins and sessions as Authentication
               (3002), all else as API Activity (6003); what these have no field for is in `unmapped`

Records come page by page, the newest first, so a large export needs little memory.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, get_args

import orjson

if TYPE_CHECKING:
    from helix_ray.wire.audit import AuditLogOut, AuditOut

Form = Literal["jsonl", "csv", "parquet", "ocsf"]
FORMS: Final[tuple[Form, ...]] = get_args(Form)
PAGE_RECORDS: Final = 1_000
OCSF_VERSION: Final = "1.3.0"
AUTHENTICATION, API_ACTIVITY = 3002, 6003
OTHER: Final = 99
# What a spreadsheet would take for a formula: user agents are what clients say they are.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
# By the first word of an action.
_ACTIVITIES: Final = {
    **dict.fromkeys(("create", "submit", "issue", "enrol", "add", "register", "push"), 1),
    "read": 2,
    **dict.fromkeys(("set", "change", "update", "edit", "rename", "rotate", "activate", "roll"), 3),
    **dict.fromkeys(("remove", "delete", "revoke", "erase"), 4),
}
_SIGN_INS: Final = {"login": 1, "close_session": 2}
_TOP: Final = ("id", "seq", "timestamp", "event_type", "user_id", "action", "result", "ip_address")
_ABOUT: Final = (
    "user_agent", "credential", "request_id", "resource", "resource_id", "count", "ids", "details", "before",
    "after", "erased",
)  # fmt: skip
_JSON: Final = frozenset({"ids", "details", "before", "after"})
_TYPES: Final = {"seq": "BIGINT", "count": "BIGINT", "erased": "BOOLEAN", "timestamp": "TIMESTAMP"}


def pages(ask: Callable[[int | None], AuditOut]) -> Iterator[AuditLogOut]:
    """Yield the records of all pages; `ask` returns the page at a cursor. Raises ValueError where a server
    that is not ours names the same page again, which would never end."""
    cursor = None
    while True:
        page = ask(cursor)
        yield from page["logs"]
        before, cursor = cursor, page["next_cursor"]
        if cursor is None:
            return
        if cursor == before:
            raise ValueError(f"the server names cursor {cursor!r} as the one that comes after it")


def write(out: Path, form: Form, logs: Iterable[AuditLogOut]) -> int:
    """Write records to a file that is not there yet, of mode 0600; return how many. Raises OSError."""
    handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            count = 0
            if form == "csv":
                file.write(_line([*_TOP, *_ABOUT]))
            for log in logs:
                file.write(_written(form, log))
                count += 1
            file.flush()
            os.fsync(handle)
        if form == "parquet":
            _to_parquet(out)
    except BaseException:
        out.unlink()
        raise
    return count


def _written(form: Form, log: AuditLogOut) -> bytes:
    if form == "csv":
        return _line([_cell(value) for value in _flat(log).values()])
    found = log if form == "jsonl" else ocsf(log) if form == "ocsf" else _flat(log)
    return orjson.dumps(found) + b"\n"


def _flat(log: AuditLogOut) -> dict[str, object]:
    about = log["metadata"]
    top: dict[str, object] = {name: log[name] for name in _TOP}
    for name in _ABOUT:
        value: object = about[name]
        top[name] = orjson.dumps(value).decode() if name in _JSON and value is not None else value
    return top


def _line(cells: list[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _to_parquet(out: Path) -> None:
    """Replace a file of JSON lines by one in Parquet."""
    import duckdb

    draft = out.with_name(f".{out.name}.parquet")
    columns = {name: _TYPES.get(name, "VARCHAR") for name in (*_TOP, *_ABOUT)}
    try:
        with duckdb.connect() as con:
            read = con.read_json(str(out), columns=columns, format="newline_delimited")
            read.write_parquet(str(draft))
        draft.chmod(0o600)
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)


def ocsf(log: AuditLogOut) -> dict[str, object]:
    """Return a record as an event of OCSF."""
    about = log["metadata"]
    is_sign_in = log["event_type"] == "authentication"
    kind = AUTHENTICATION if is_sign_in else API_ACTIVITY
    verb = log["action"].partition("_")[0]
    activity = _SIGN_INS.get(log["action"], OTHER) if is_sign_in else _ACTIVITIES.get(verb, OTHER)
    user = {"uid": log["user_id"]}
    credential, request = about["credential"], about["request_id"]
    things = (*about["ids"],) or (about["resource_id"],)
    unmapped: dict[str, object] = {
        "event_type": log["event_type"], "seq": log["seq"], "details": about["details"],
        "before": about["before"], "after": about["after"], "erased": about["erased"],
    }  # fmt: skip
    made: dict[str, object] = {
        "category_uid": kind // 1000, "class_uid": kind, "activity_id": activity,
        "type_uid": 100 * kind + activity, "time": _milliseconds(log["timestamp"]), "severity_id": 1,
        "status_id": 1 if log["result"] == "success" else 2, "status_detail": log["result"],
        "count": about["count"],
        "metadata": {
            "version": OCSF_VERSION, "uid": log["id"],
            "product": {"name": "Helix Ray", "vendor_name": "Helix Ray"},
        },
        "actor": {"user": user, "session": {"uid": credential} if credential else None},
        # Parts of the system have no address.
        "src_endpoint": {"ip": log["ip_address"]} if log["ip_address"] else {"svc_name": log["user_id"]},
        "http_request": {"user_agent": about["user_agent"], "uid": request},
    }  # fmt: skip
    if is_sign_in:
        made |= {"user": user, "service": {"name": "Helix Ray"}}
        unmapped |= {"action": log["action"], "resource": about["resource"], "ids": [*filter(None, things)]}
    else:
        made["api"] = {"operation": log["action"], "request": {"uid": request} if request else None}
        kind_of = about["resource"]
        made["resources"] = [{"type": kind_of, "uid": uid} if uid else {"name": kind_of} for uid in things]
    if activity == OTHER:
        made["activity_name"] = log["action"]
    # Nulls of `unmapped` say that something was not there.
    return {**_known(made), "unmapped": unmapped}


def _known(value: dict[str, object]) -> dict[str, object]:
    """Return an object without what is not known, which has no attribute in OCSF."""
    shown = {name: _known_in(item) for name, item in value.items() if item is not None}
    return {name: item for name, item in shown.items() if item != {}}


def _known_in(item: object) -> object:
    if isinstance(item, dict):
        return _known(item)
    return [_known_in(each) for each in item] if isinstance(item, list) else item


def _milliseconds(timestamp: str) -> int:
    return round(1000 * datetime.fromisoformat(timestamp).timestamp())
