"""Devices of the real control plane in memory: what they get is what it has, as their user may see it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.orders import (
    ArchiveTasks,
    CancelTask,
    ChangeDevice,
    ChangeRoles,
    DeleteTask,
    EnrolDevice,
    IssueDeviceCode,
    PushMutations,
    RevokeDevice,
    SubmitTasks,
)
from helix_ray.core.questions import PullChanges, SyncStatus
from helix_ray.testing import MemoryControlPlane, add_user
from tests.unit.sync.worlds import checked

NOTE = {"op": "put", "kind": "notes", "key": "n", "stamp": 1_000}


class Phone:
    """An enrolled device, and what it has."""

    def __init__(self, plane: MemoryControlPlane, user: Principal, name: str = "phone") -> None:
        self.plane, self.user = plane, user
        plane.give(IssueDeviceCode(f"code of {name}"), user)
        enrolled = plane.give(EnrolDevice(f"code of {name}", f"token of {name}", "shown", name, "phone"))
        self.id: str = enrolled.data["id"]
        self.by = Principal(user.id, user.name, ("device",), token=self.id)
        self.cursor: str | None = None
        self.rows: dict[tuple[str, str], Any] = {}
        self.resets = self.last_mutation = 0

    def ask(self, limit: int = 2, wait_s: float = 0.0) -> Any:
        """Ask for one page."""
        return asyncio.run(self.plane.query(PullChanges(self.id, self.cursor, limit), self.by, wait_s))

    def pull(self) -> dict[tuple[str, str], Any]:
        """Pull everything, and check it against the checksum."""
        rows = self.rows
        while True:
            if self.cursor is None:
                rows = {}
            answer = self.ask()
            if isinstance(answer, Rejected):
                assert (answer.code, answer.details["reset"]) == (ErrorCode.GONE, True), answer
                self.cursor, self.resets = None, self.resets + 1
                continue
            for change in answer["changes"]:
                place = change["kind"], change["key"]
                row = None if change["row"] is None else json.loads(change["row"])
                rows = {**rows, place: (change["version"], row)}
            rows = {place: row for place, row in rows.items() if row[1] is not None}
            self.cursor = answer["cursor"]
            if not answer["has_more"]:
                checked(rows, answer)
                self.rows, self.last_mutation = rows, answer["last_mutation"]
                return {place: row for place, (_, row) in rows.items()}

    def push(self, *mutations: dict[str, Any]) -> Any:
        """Send mutations."""
        return self.plane.give(PushMutations(mutations), self.by).data  # type: ignore[arg-type]


def submit(plane: MemoryControlPlane, by: Principal, **fields: Any) -> str:
    """Submit a task and return its id."""
    from helix_ray.core.decide.submit import task_ids

    spec = {"title": "Test Task", "type": "planning", **fields}
    data = plane.give(SubmitTasks((spec,)), by).data  # type: ignore[arg-type]
    assert not data["rejected"], data
    return task_ids(data["seed"], 1)[0]


def world() -> tuple[MemoryControlPlane, Principal, Phone]:
    """A control plane with a developer and her phone."""
    plane = MemoryControlPlane()
    add_user(plane, "root", "password-1", ["admin"])
    anna = add_user(plane, "anna", "password-1", ["developer"])
    return plane, anna, Phone(plane, anna)


def test_a_device_has_its_users_tasks_and_documents_and_nobody_elses() -> None:
    """Submitted, changed, cancelled and deleted tasks, and documents of another device of the same user."""
    plane, anna, phone = world()
    ben = add_user(plane, "ben", "password-1", ["developer"])
    mine, gone = submit(plane, anna, title="Mine", labels={"a": "b"}), submit(plane, anna)
    submit(plane, ben)
    tablet = Phone(plane, anna, "tablet")
    tablet.push({"id": 1, **NOTE, "fields": {"text": "hello"}})
    found = phone.pull()
    assert set(found) == {("task", mine), ("task", gone), ("notes", "n")}
    assert found["notes", "n"] == {"text": "hello"}
    assert found["task", mine]["title"] == "Mine"
    assert found["task", mine]["labels"] == {"a": "b"}
    assert found["task", mine]["created_at"].endswith("Z")
    assert "holder" not in found["task", mine]
    plane.give(CancelTask(mine), anna)
    plane.give(DeleteTask(gone), anna)
    tablet.push({"id": 2, "op": "delete", "kind": "notes", "key": "n", "stamp": 2_000})
    found = phone.pull()
    assert {place: row["status"] for place, row in found.items()} == {("task", mine): "cancelled"}
    assert phone.resets == 0


def test_a_role_that_is_taken_away_takes_what_it_showed() -> None:
    """A viewer's phone follows a project; without the role it has nothing of others, after one restart."""
    plane, anna, _ = world()
    vera = add_user(plane, "vera", "password-1", ["viewer", "developer"])
    phone = Phone(plane, vera, "veras phone")
    follows: Any = {"tasks": [{"project": None, "label": "team=red", "owner": None}], "documents": []}
    plane.give(ChangeDevice(phone.id, follows=follows), vera)
    seen = submit(plane, anna, labels={"team": "red"})
    own = submit(plane, vera, labels={"team": "red"})
    submit(plane, anna, labels={"team": "blue"})
    assert set(phone.pull()) == {("task", seen), ("task", own)}
    plane.give(ChangeRoles("vera", ("developer",)))
    assert set(phone.pull()) == {("task", own)}
    assert phone.resets == 1
    plane.give(ChangeRoles("vera", ("viewer",)))
    assert set(phone.pull()) == {("task", seen), ("task", own)}


def test_a_revoked_device_is_unknown_at_once() -> None:
    """The next pull is refused, and the status does not have it."""
    plane, anna, phone = world()
    phone.pull()
    plane.give(RevokeDevice(phone.id), anna)
    answer = plane.sync.answer(PullChanges(phone.id), phone.by)
    assert isinstance(answer, Rejected)
    assert answer.code is ErrorCode.NOT_FOUND
    assert plane.sync.answer(SyncStatus(), anna) == {"devices": []}


def test_archived_tasks_leave_the_device() -> None:
    """What has left the memory of the control plane is taken from the device."""
    plane, anna, phone = world()
    old, young = submit(plane, anna), submit(plane, anna)
    plane.give(CancelTask(old), anna)
    assert len(phone.pull()) == 2
    plane.give(ArchiveTasks(plane.engine.state.seq, 1e12, 10))
    assert set(phone.pull()) == {("task", young)}


def test_a_refused_mutation_wedges_nothing_and_the_status_names_it() -> None:
    """Complaint Y1: what was refused has its verdict, what follows is applied, pulls go on, and the status
    says why until something was accepted."""
    plane, anna, phone = world()
    pushed = phone.push(
        {"id": 1, "op": "put", "kind": "nonsense", "key": "n", "fields": {"x": 1}, "stamp": 1_000}
    )
    assert [each["verdict"] for each in pushed["verdicts"]] == ["refused"]
    assert phone.pull() == {}
    assert phone.last_mutation == 1
    (device,) = plane.sync.answer(SyncStatus(), anna)["devices"]  # type: ignore[index,call-overload]
    assert device["refused"].startswith("mutation 1 was refused")
    phone.push({"id": 2, **NOTE, "fields": {"x": 2}})
    assert phone.pull() == {("notes", "n"): {"x": 2}}
    assert phone.last_mutation == 2
    (device,) = plane.sync.answer(SyncStatus(), anna)["devices"]  # type: ignore[index,call-overload]
    assert device["refused"] is None
    assert device["status"] == "synced"


def test_the_rows_contain_exactly_the_mutations_that_they_say() -> None:
    """`last_mutation` is as of the rows, also when the order was refused in part or repeated."""
    _, _, phone = world()
    for number in range(1, 6):
        phone.push({"id": number, **NOTE, "key": f"n{number}", "fields": {"x": number}})
        phone.push({"id": number, **NOTE, "key": f"n{number}", "fields": {"x": number}})
        assert len(phone.pull()) == phone.last_mutation == number


def test_a_pull_that_waits_is_answered_by_the_change() -> None:
    """A long poll ends with the change, and without one after its time with nothing."""
    plane, anna, phone = world()
    phone.pull()

    async def waited() -> Any:
        waiting = asyncio.create_task(plane.query(PullChanges(phone.id, phone.cursor), phone.by, 20.0))
        await asyncio.sleep(0)
        submit(plane, anna)
        return await waiting

    assert len(asyncio.run(waited())["changes"]) == 1
    phone.pull()
    assert phone.ask(wait_s=0.01)["changes"] == []


def test_administrators_see_the_status_of_all_devices_and_others_their_own() -> None:
    """Each user has a phone; the administrator sees both, with the time of the last complete pull."""
    plane, anna, phone = world()
    ben = add_user(plane, "ben", "password-1", ["developer"])
    other = Phone(plane, ben, "bens phone")
    phone.pull()
    admin = Principal("user-root", "root", ("admin",))
    seen: Any = plane.sync.answer(SyncStatus(), admin)
    by_id = {device["device_id"]: device for device in seen["devices"]}
    assert set(by_id) == {phone.id, other.id}
    assert by_id[phone.id]["last_sync"] is not None
    assert (by_id[other.id]["last_sync"], by_id[other.id]["status"]) == (None, "offline")
    own: Any = plane.sync.answer(SyncStatus(), anna)
    assert [device["device_id"] for device in own["devices"]] == [phone.id]


def test_the_system_is_asked_for_what_concerns_devices_only() -> None:
    """A task that nobody follows is not read, and neither is one that a node gets."""
    plane, anna, phone = world()
    phone.pull()
    plane.sync.answer(SyncStatus(), anna)
    asked: list[Any] = []
    plane.sync._ask = lambda question: asked.append(question) or plane.ask(question, SYSTEM)
    ben = add_user(plane, "ben", "password-1", ["developer"])
    for _ in range(20):
        submit(plane, ben)
    plane.sync.answer(SyncStatus(), anna)
    assert asked == []
    submit(plane, anna)
    plane.sync.answer(SyncStatus(), anna)
    assert len(asked) == 1
