"""Records of the audit in files that other programs load: no record is lost, and every field is there."""

from __future__ import annotations

import csv
import json
import stat
from pathlib import Path
from typing import Any

import duckdb
import pytest

from helix_ray.audit_export.records import ocsf, pages, write
from helix_ray.wire.audit import AuditLogOut, AuditOut


def log(seq: int, **about: Any) -> AuditLogOut:
    """Return a record as the API has it."""
    made: Any = {
        "id": f"audit-{seq}", "seq": seq, "event_type": "config_change", "user_id": "user-ada",
        "action": "set_quota", "result": "success", "ip_address": "192.0.2.7",
        "timestamp": "2025-11-07T10:00:00.250Z",
        "metadata": {
            "user_agent": "curl/8", "credential": "session-1", "request_id": f"req-{seq}",
            "resource": "project", "resource_id": "p", "count": 1, "ids": [], "details": {"weight": 2.0},
            "before": None, "after": {"weight": 2.0}, "erased": False, **about,
        },
    }  # fmt: skip
    return made  # type: ignore[no-any-return]


LOGS = [log(3, user_agent="=cmd|' /C calc'!A0"), log(2, ids=["a", "b"], count=2), log(1, resource_id=None)]


def test_all_pages_are_written() -> None:
    """From the first cursor to the last one."""
    asked: list[int | None] = []

    def ask(cursor: int | None) -> AuditOut:
        asked.append(cursor)
        start = 0 if cursor is None else cursor
        following = start + 1 if start < 2 else None
        return {"logs": LOGS[start : start + 1], "total": 3, "next_cursor": following, "through": 3,
                "removed_through": 0}  # fmt: skip

    assert [found["seq"] for found in pages(ask)] == [3, 2, 1]
    assert asked == [None, 1, 2]


def test_json_lines_are_the_records(tmp_path: Path) -> None:
    """In a file of their own that only its owner reads, and that is not written twice."""
    out = tmp_path / "out"
    assert write(out, "jsonl", LOGS) == 3
    assert [json.loads(line) for line in out.read_text().splitlines()] == LOGS
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        write(out, "jsonl", LOGS)


def test_csv_has_a_column_a_field(tmp_path: Path) -> None:
    """Lists and objects are JSON; the name that a client gives itself never becomes a formula."""
    write(tmp_path / "out", "csv", LOGS)
    with (tmp_path / "out").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["seq"] for row in rows] == ["3", "2", "1"]
    assert rows[0]["user_agent"] == "'=cmd|' /C calc'!A0"
    assert json.loads(rows[1]["ids"]) == ["a", "b"]
    assert (rows[2]["resource_id"], rows[2]["before"]) == ("", "")


def test_parquet_has_the_same_columns(tmp_path: Path) -> None:
    """With their types; no draft is left."""
    write(tmp_path / "out.parquet", "parquet", LOGS)
    with duckdb.connect() as con:
        found = con.read_parquet(str(tmp_path / "out.parquet"))
        assert found.project("seq, count, erased, after").fetchall()[1] == (2, 2, False, '{"weight":2.0}')
        assert found.project("epoch_ms(timestamp)").fetchall()[0] == (1_762_509_600_250,)
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]


@pytest.mark.parametrize(
    ("event_type", "action", "kind", "activity"),
    [
        ("authentication", "login", 3002, 1),
        ("authentication", "close_session", 3002, 2),
        ("authentication", "use_token", 3002, 99),
        ("data_access", "read_results", 6003, 2),
        ("config_change", "set_quota", 6003, 3),
        ("authorization", "create_user", 6003, 1),
        ("data_access", "delete_task", 6003, 4),
        ("authorization", "refused", 6003, 99),
    ],
)
def test_events_of_ocsf_have_class_and_activity(
    event_type: Any, action: str, kind: int, activity: int
) -> None:
    """And the fields that their classes require."""
    event: Any = ocsf({**log(1), "event_type": event_type, "action": action, "result": "denied"})
    assert (event["class_uid"], event["activity_id"]) == (kind, activity)
    assert (event["type_uid"], event["category_uid"]) == (kind * 100 + activity, kind // 1000)
    assert (event["time"], event["status_id"]) == (1_762_509_600_250, 2)
    assert event["actor"]["user"] == {"uid": "user-ada"}
    if kind == 3002:
        assert (event["user"], event["service"]) == ({"uid": "user-ada"}, {"name": "Helix Ray"})
    else:
        assert (event["api"]["operation"], event["resources"]) == (action, [{"type": "project", "uid": "p"}])
    assert ("activity_name" in event) == (activity == 99)
    assert event["metadata"]["version"] == "1.3.0"
    assert event["unmapped"]["after"] == {"weight": 2.0}


def test_an_event_of_ocsf_has_no_nulls() -> None:
    """An attribute that is not known is not there; a part of the system has its name for an address."""
    unknown: Any = dict.fromkeys(("user_agent", "credential", "request_id", "resource_id"))
    record: Any = {**log(1, **unknown), "ip_address": None, "user_id": "system"}
    event: Any = ocsf(record)
    assert "null" not in json.dumps({**event, "unmapped": None}).replace('"unmapped": null', "")
    assert (event["src_endpoint"], event["resources"]) == ({"svc_name": "system"}, [{"name": "project"}])
    assert event["unmapped"]["before"] is None


def test_what_cannot_be_written_leaves_no_file(tmp_path: Path) -> None:
    """Half an export would look like a whole one."""

    def breaking() -> Any:
        yield LOGS[0]
        raise OSError("the server is away")

    with pytest.raises(OSError, match="away"):
        write(tmp_path / "out", "csv", breaking())
    assert list(tmp_path.iterdir()) == []
