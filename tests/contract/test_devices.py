"""The convergence of synced devices, in Python and in JavaScript, on one server: whatever is lost on the way
and whoever is killed, all devices have the same in the end, and nothing that was acknowledged is lost.

`HELIX_DEVICE_SEEDS` sets how many random histories are tried, and `HELIX_DEVICE_BROWSER=1` adds devices in a
browser, with IndexedDB (`make chaos` does both).
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from helix_ray.core.orders import RevokeDevice
from helix_ray.devices import FileStore
from tests.contract.devices import FAULTS, Killed, Offline, Side, sides
from tests.http.api_server import Api, error_of, serving_api
from tests.http.enrolled import Enrolled, enrol

SEEDS = int(os.environ.get("HELIX_DEVICE_SEEDS", "4"))
STEPS = 60
# Two of each in the random histories.
CLIENTS = {"p": "python", "s": "javascript"}
if os.environ.get("HELIX_DEVICE_BROWSER"):
    CLIENTS["b"] = "browser"
EACH = pytest.mark.parametrize("kind", [*CLIENTS], ids=[*CLIENTS.values()])
Require = Callable[[str], str]


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    """A running API."""
    with serving_api() as running:
        yield running


class Crowd:
    """A user of their own with some devices."""

    def __init__(
        self, api: Api, name: str, devices: list[Side], enrolled: list[Enrolled], client: Any
    ) -> None:
        self.api, self.name, self.devices, self.enrolled, self.client = api, name, devices, enrolled, client

    def until_synced(self) -> None:
        """Sync every device until it gets through; twice, so that each has what the others sent."""
        for _ in range(2):
            for device in self.devices:
                device.fail({})
                device.ask("sync")

    def shown(self, kind: str) -> Any:
        """Return what all devices show, which must be the same."""
        found = [device.ask("shown", kind=kind) for device in self.devices]
        assert all(each == found[0] for each in found), found
        return found[0]

    def documents(self, kind: str) -> Any:
        """Return what the server has."""
        kept = self.api.plane.engine.state.documents.get(self.enrolled[0].user.id)
        everything = {} if kept is None else kept.documents
        return {
            key: each.values() for (of, key), each in everything.items() if of == kind and not each.deleted
        }


@contextmanager
def crowd(api: Api, require: Require, folder: Path, kinds: str) -> Iterator[Crowd]:
    """Enrol devices of a user; their credentials are in their stores."""
    folder.mkdir(exist_ok=True)
    name = f"user{len(api.clients)}"
    client = api.add(name, "developer")
    enrolled = [enrol(api, name, f"{kind}{number}") for number, kind in enumerate(kinds)]
    for number, device in enumerate(enrolled):
        state = {"device_id": device.id, "credential": device.credential, "replica": {}}
        FileStore(folder / f"device-{number}.json").save(state)
    with sides(require, f"{api.url}/api/v1", folder, kinds) as devices:
        yield Crowd(api, name, devices, enrolled, client)


def sync(device: Side) -> None:
    """Sync as far as it goes."""
    with suppress(Offline, Killed):
        device.ask("sync")


@pytest.mark.parametrize("seed", range(SEEDS))
def test_all_devices_converge_and_nothing_acknowledged_is_lost(
    api: Api, require: Require, tmp_path: Path, seed: int
) -> None:
    """Two devices of each client write and delete the same notes, submit tasks, lose requests and answers,
    and are killed in the middle of pushes and pulls."""
    chance = random.Random(seed)
    written: set[str] = set()
    with crowd(api, require, tmp_path, "".join(CLIENTS) * 2) as all_of_them:
        for step in range(STEPS):
            number = chance.randrange(len(all_of_them.devices))
            device, act = all_of_them.devices[number], chance.randrange(10)
            if act < 3:
                key, name = chance.choice("abc"), chance.choice("xy")
                device.ask("put", kind="notes", key=key, fields={name: f"{number} at {step}"})
            elif act < 4:
                device.ask("delete", kind="notes", key=chance.choice("abc"))
            elif act < 6:
                written.add(f"{number}-{step}")
                device.ask("put", kind="settings", key=f"{number}-{step}", fields={"step": step})
            elif act < 7:
                device.ask("act", op="submit", fields={"task": {"title": f"t{step}", "type": "planning"}})
            else:
                if chance.random() < 0.6:
                    device.fail({chance.randrange(1, 4): chance.choice(FAULTS)})
                sync(device)
        all_of_them.until_synced()
        assert set(all_of_them.shown("settings")) == written
        assert all_of_them.shown("settings") == all_of_them.documents("settings")
        assert all_of_them.shown("notes") == all_of_them.documents("notes")
        tasks = all_of_them.client.get("/tasks", params={"limit": 100}).json()
        assert set(all_of_them.shown("task")) == {task["id"] for task in tasks["tasks"]}
        for device, enrolled in zip(all_of_them.devices, all_of_them.enrolled, strict=True):
            state = device.ask("state")
            known = api.plane.engine.state.devices[enrolled.id]
            assert state["queue"] == []
            assert known.last_mutation == state["sent"] == state["next_id"] - 1


@EACH
def test_a_killed_device_sends_again_what_may_have_arrived_and_it_counts_once(
    api: Api, require: Require, tmp_path: Path, kind: str
) -> None:
    """Killed before and after the server has taken a push: one task, whichever it was."""
    with crowd(api, require, tmp_path, kind) as alone:
        (device,) = alone.devices
        for number, fault in enumerate(FAULTS, 1):
            device.ask("act", op="submit", fields={"task": {"title": fault, "type": "planning"}})
            device.fail({1: fault})
            with pytest.raises((Offline, Killed)):
                device.ask("push")
            device.fail({})
            device.ask("sync")
            assert len(device.ask("shown", kind="task")) == number


@EACH
def test_a_device_that_is_killed_in_a_pull_has_all_of_it_or_what_it_had(
    api: Api, require: Require, tmp_path: Path, kind: str
) -> None:
    """What it shows is of one moment, and the next pull completes it without a restart."""
    with crowd(api, require, tmp_path, kind) as alone:
        (device,) = alone.devices
        ids = [api.submit(alone.client) for _ in range(3)]
        device.ask("pull")
        alone.client.delete(f"/tasks/{ids[0]}")
        device.fail({1: "killed after"})
        with pytest.raises(Killed):
            device.ask("pull")
        assert set(device.ask("shown", kind="task")) == set(ids)
        device.ask("pull")
        assert set(device.ask("shown", kind="task")) == set(ids[1:])
        assert device.ask("state")["resets"] == 0


@EACH
def test_a_refused_mutation_does_not_wedge_a_device(
    api: Api, require: Require, tmp_path: Path, kind: str
) -> None:
    """Complaint Y1: the device knows what was refused and why, what follows is applied, pulls go on, and the
    status names the reason."""
    with crowd(api, require, tmp_path, kind) as alone:
        (device,) = alone.devices
        device.ask("put", kind="settings", key="first", fields={"x": 1})
        device.ask("act", op="cancel", fields={"task_id": "task-none"})
        device.ask("sync")
        status = alone.client.get("/harmony/sync/status").json()["synced_devices"][0]
        assert status["reason"].startswith("mutation 2 was refused")
        device.ask("put", kind="settings", key="second", fields={"x": 2})
        device.ask("sync")
        assert device.ask("shown", kind="settings") == {"first": {"x": 1}, "second": {"x": 2}}
        (refused,) = device.ask("state")["refused"]
        assert refused["mutation"]["task_id"] == "task-none"
        assert refused["code"]
        assert refused["reason"]
        status = alone.client.get("/harmony/sync/status").json()["synced_devices"][0]
        assert (status["status"], "reason" in status) == ("synced", False)


@EACH
def test_what_the_server_cannot_read_does_not_wedge_a_device(
    api: Api, require: Require, tmp_path: Path, kind: str
) -> None:
    """Half a character, a value that is too deep, and a note larger than a request may be are refused one by
    one; notes that are too many bytes together arrive all the same."""
    deep: Any = "bottom"
    for _ in range(200):
        deep = {"in": deep}
    bad = {"half": "\ud83d", "deep": deep, "large": "x" * (1 << 20)}
    with crowd(api, require, tmp_path, kind) as alone:
        (device,) = alone.devices
        device.ask("put", kind="settings", key="first", fields={"x": 1})
        if kind == "p":
            # Python says so at once, and keeps nothing of it.
            with pytest.raises(TypeError, match="surrogates"):
                device.ask("put", kind="notes", key="half", fields={"text": bad.pop("half")})
        for key, value in bad.items():
            device.ask("put", kind="notes", key=key, fields={"text": value})
            device.ask("put", kind="settings", key=f"after-{key}", fields={"x": 1})
        for number in range(18):
            device.ask("put", kind="notes", key=f"n{number}", fields={"text": "y" * 60_000})
        device.ask("sync")
        state = device.ask("state")
        assert [each["mutation"]["key"] for each in state["refused"]] == [*bad]
        codes = ["VALIDATION_ERROR"] * (len(bad) - 1) + ["PAYLOAD_TOO_LARGE"]
        assert [each["code"] for each in state["refused"]] == codes
        assert all(each["reason"] for each in state["refused"])
        assert set(alone.documents("settings")) == {"first", *(f"after-{key}" for key in bad)}
        assert set(alone.documents("notes")) == {f"n{number}" for number in range(18)}
        assert state["queue"] == []
        assert state["sent"] == state["next_id"] - 1


@EACH
def test_an_edit_of_what_was_deleted_is_listed_and_revives_nothing(
    api: Api, require: Require, tmp_path: Path, kind: str
) -> None:
    """Complaint Y3: the offline edit of a deleted note is a conflict that the user can see."""
    with crowd(api, require, tmp_path, f"{kind}p") as both:
        first, second = both.devices
        first.ask("put", kind="notes", key="a", fields={"text": "hello"})
        both.until_synced()
        second.ask("put", kind="notes", key="a", fields={"text": "edited offline"})
        first.ask("delete", kind="notes", key="a")
        first.ask("sync")
        both.until_synced()
        assert both.shown("notes") == {}
        (conflict,) = both.client.get("/harmony/sync/conflicts").json()["conflicts"]
        assert conflict["key"] == "a"
        assert conflict["fields"] == {"text": "edited offline"}


@EACH
def test_a_wrong_clock_neither_wins_nor_loses_for_ever(
    api: Api, require: Require, tmp_path: Path, kind: str
) -> None:
    """Complaint Y5: what a clock ten minutes ahead stamps is refused, corrected by the server's time and
    applied; a slow clock's edit of the current version counts."""
    with crowd(api, require, tmp_path, f"{kind}p") as both:
        device, other = both.devices
        device.skew(600.0)
        device.ask("put", kind="notes", key="a", fields={"text": "fast"})
        both.until_synced()
        assert both.shown("notes") == {"a": {"text": "fast"}}
        assert [each["code"] for each in device.ask("state")["refused"]] == ["clock"]
        other.ask("put", kind="notes", key="a", fields={"text": "right"})
        both.until_synced()
        assert both.shown("notes") == {"a": {"text": "right"}}
        device.skew(-86_400.0)
        device.ask("put", kind="notes", key="a", fields={"text": "slow"})
        both.until_synced()
        assert both.shown("notes") == {"a": {"text": "slow"}}


@EACH
def test_a_revoked_device_is_told_so(api: Api, require: Require, tmp_path: Path, kind: str) -> None:
    """It keeps what it has, and says why it gets nothing."""
    with crowd(api, require, tmp_path, kind) as alone:
        (device,) = alone.devices
        device.ask("sync")
        api.plane.give(RevokeDevice(alone.enrolled[0].id), alone.enrolled[0].user)
        answer: httpx.Response = alone.enrolled[0].client.get("/harmony/sync/changes")
        assert error_of(answer, answer.status_code, answer.json()["error"]["code"])
        with pytest.raises(Exception, match=r"UNAUTHORIZED|NOT_FOUND"):
            device.ask("pull")
