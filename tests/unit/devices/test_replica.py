"""A device's own state: what answers do to it, and what survives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from helix_ray.devices import DeviceClient, FileStore, MemoryStore, Replica, StoreTaken
from helix_ray.devices.client import DeviceRefused
from helix_ray.devices.replica import Diverged, checksum_of
from helix_ray.sync import checksum


def page(
    *changes: Any, rows: list[Any], cursor: str = "c1", more: bool = False, last: int = 0
) -> dict[str, Any]:
    """A page of the server, which has these rows."""
    return {
        "changes": list(changes), "cursor": cursor, "has_more": more, "rows": len(rows),
        "checksum": None if more else checksum_of(rows), "last_mutation": last,
    }  # fmt: skip


def note(key: str, version: int, **fields: Any) -> dict[str, Any]:
    """A row, which is also a change."""
    return {"op": "put", "kind": "notes", "key": key, "version": version, "row": fields}


def test_the_checksum_is_that_of_the_server() -> None:
    """Both sides compute the same sum, whatever the order of the rows."""
    rows = [note("ü", 3), note("b", 1), note("c", 2**40)]
    total = 0
    for row in reversed(rows):
        total = checksum.plus(total, checksum.part(row["kind"], row["key"], row["version"]))
    assert checksum_of(rows) == checksum.shown(total)  # type: ignore[arg-type]


def test_pages_show_only_when_they_are_complete() -> None:
    """The rows are those of one moment: a page that is not the last changes nothing that is shown."""
    replica = Replica()
    first, second = note("a", 1, text="one"), note("b", 2, text="two")
    assert not replica.take_page(page(first, rows=[first], more=True))
    assert replica.shown("notes") == {}
    assert replica.cursor is None
    assert replica.take_page(page(second, rows=[first, second], cursor="c2"))
    assert replica.shown("notes") == {"a": {"text": "one"}, "b": {"text": "two"}}
    assert replica.cursor == "c2"


def test_its_own_changes_show_at_once_and_stay_until_the_server_has_them() -> None:
    """A change shows before it is sent, after it is sent, and after it has come back."""
    replica = Replica()
    number = replica.add({"op": "put", "kind": "notes", "key": "a", "fields": {"text": "mine"}})
    assert replica.shown("notes") == {"a": {"text": "mine"}}
    replica.take_verdicts([{"id": number, "verdict": "applied"}])
    assert replica.unsent(10) == []
    replica.take_page(page(rows=[], last=0))
    assert replica.shown("notes") == {"a": {"text": "mine"}}
    row = note("a", 7, text="mine")
    replica.take_page(page(row, rows=[row], last=number))
    assert replica.shown("notes") == {"a": {"text": "mine"}}
    assert replica.queue == []


def test_a_refused_mutation_is_said_and_does_not_hold_up_what_follows() -> None:
    """It leaves the queue with its reason, and the next one is still to be sent (complaint Y1)."""
    replica = Replica()
    bad = replica.add({"op": "put", "kind": "notes", "key": "a", "fields": {}})
    good = replica.add({"op": "put", "kind": "notes", "key": "b", "fields": {"x": 1}})
    refused = replica.take_verdicts([{"id": bad, "verdict": "refused", "code": "invalid", "reason": "empty"}])
    assert [(each["code"], each["reason"]) for each in refused] == [("invalid", "empty")]
    assert replica.refused == refused
    assert [each["id"] for each in replica.unsent(10)] == [good]
    assert replica.shown("notes") == {"b": {"x": 1}}


def test_a_wrong_checksum_begins_a_first_pull_and_a_second_one_is_reported() -> None:
    """The device mends itself once; rows that differ after a first pull are an error, not a loop."""
    replica = Replica({"cursor": "c0", "rows": {"notes/a": note("a", 1)}})
    wrong = {**page(rows=[]), "checksum": "000000000001"}
    assert not replica.take_page(wrong)
    assert replica.place is None
    assert replica.rows
    with pytest.raises(Diverged):
        replica.take_page(wrong)


def test_a_server_that_expects_another_number_gets_it() -> None:
    """What the server has is not sent again; what it lost is numbered again, in the same order."""
    replica = Replica()
    for key in "abc":
        replica.add({"op": "put", "kind": "notes", "key": key, "fields": {"x": 1}})
    replica.expect(2)
    assert [each["key"] for each in replica.unsent(10)] == ["b", "c"]
    replica.queue = [each for each in replica.queue if each["id"] > 1]
    replica.expect(1)
    assert [(each["id"], each["key"]) for each in replica.unsent(10)] == [(1, "b"), (2, "c")]
    assert replica.add({"op": "delete", "kind": "notes", "key": "a"}) == 3


def test_a_file_survives_a_kill_in_the_middle_of_saving(tmp_path: Path) -> None:
    """A draft that was left behind is not read, and does not hinder the next save; the file is private."""
    path = tmp_path / "device.json"
    store = FileStore(path)
    assert store.load() is None
    store.save({"a": 1})
    path.with_name("device.json.draft").write_bytes(b'{"a": 2, "tor')
    store.save({"a": 3})
    assert FileStore(path).load() == {"a": 3}
    path.with_name("device.json.draft").write_bytes(b'{"a": 4, "tor')
    assert FileStore(path).load() == {"a": 3}
    assert path.stat().st_mode & 0o777 == 0o600


def test_only_who_opened_a_file_last_saves_to_it(tmp_path: Path) -> None:
    """Two programs with the same file would give the same numbers to different changes, and lose one."""
    path = tmp_path / "device.json"
    first, second = FileStore(path), FileStore(path)
    first.load()
    first.save({"a": 1})
    assert second.load() == {"a": 1}
    with pytest.raises(StoreTaken, match=r"device\.json was opened by another program"):
        first.save({"a": 2})
    second.save({"a": 3})
    assert first.load() == {"a": 3}
    first.save({"a": 4})


def test_what_could_not_be_saved_is_not_sent(tmp_path: Path) -> None:
    """Neither now nor by a later call; once it can be saved it is sent."""
    sent: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.url.path)
        return httpx.Response(503, json={"error": {"code": "SERVICE_UNAVAILABLE", "message": "later"}})

    store = FileStore(tmp_path / "device.json")
    device = DeviceClient("http://x", store, http=httpx.Client(transport=httpx.MockTransport(answer)))
    FileStore(tmp_path / "device.json").load()
    for _ in range(2):
        with pytest.raises(StoreTaken):
            device.put("notes", "a", text="b")
        with pytest.raises(StoreTaken):
            device.sync()
    assert sent == []
    store.load()
    with pytest.raises(DeviceRefused):
        device.sync()
    assert sent == ["/harmony/sync/mutations"]


def test_a_replica_is_the_same_after_it_was_kept() -> None:
    """The state is JSON, and everything is in it."""
    replica = Replica()
    replica.add({"op": "put", "kind": "notes", "key": "a", "fields": {"x": 1}})
    row = note("b", 2, x=2)
    replica.take_page(page(row, rows=[row]))
    store = MemoryStore()
    store.save(replica.state())
    again = Replica(store.load())
    assert again.state() == replica.state()
    assert again.place == "c1"
