"""Synced devices over HTTP: enrolled once, allowed to sync and nothing else, gone within a second."""

from __future__ import annotations

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from zlib import crc32

import httpx
import pytest

from helix_ray.config import Settings
from helix_ray.core.limits import LOGIN, POLICIES
from helix_ray.security.device_codes import make_code
from helix_ray.wire.devices import (
    DeviceCodeOut,
    DeviceEnrolledOut,
    DocumentsOut,
    EnrolledDevicesOut,
    MutationsOut,
    SyncConflictsOut,
)
from tests.http.api_server import PLENTY, TASK, Api, error_of, serving_api
from tests.http.shapes import shaped

REVOKED_S_MAX = 1.0
JSON = {"content-type": "application/json"}


def enrolled(api: Api, user: httpx.Client, **fields: Any) -> tuple[str, httpx.Client]:
    """Enrol a device of a user; return its id, and a client that comes as it."""
    code = shaped(DeviceCodeOut, user.post("/devices/codes").json())["code"]
    device = api.anonymous()
    answer = device.post("/devices", json={"code": code, "name": "phone", "type": "phone", **fields})
    assert answer.status_code == 201, answer.text
    made = shaped(DeviceEnrolledOut, answer.json())
    device.headers["Authorization"] = f"Bearer {made['credential']}"
    return made["device_id"], device


def stamp() -> int:
    """Return the milliseconds of the epoch."""
    return round(time.time() * 1000)


def put(number: int, key: str, seen: int = 0, **fields: Any) -> dict[str, Any]:
    """Return a mutation of a note."""
    return {
        "id": number, "op": "put", "kind": "notes", "key": key, "fields": fields, "stamp": stamp(),
        "base_version": seen,
    }  # fmt: skip


def push(device: httpx.Client, *mutations: dict[str, Any]) -> MutationsOut:
    """Send mutations that are carried out; return the answer."""
    answer = device.post("/harmony/sync/mutations", json={"mutations": mutations})
    assert answer.status_code == 200, answer.text
    return shaped(MutationsOut, answer.json())


def test_a_code_enrols_one_device_and_its_credential_is_shown_once(api: Api) -> None:
    """However the code is typed; no trace of either secret stands in the journal or the state."""
    user = api.add("enrolling", "viewer")
    code = user.post("/devices/codes").json()["code"]
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{5}-[0-9A-HJKMNP-TV-Z]{5}", code)
    typed = {"code": code.lower().replace("-", " "), "name": "Ada's phone"}
    key = {"Idempotency-Key": "once"}
    first = api.anonymous().post("/devices", json=typed, headers=key)
    made = shaped(DeviceEnrolledOut, first.json())
    again = api.anonymous().post("/devices", json=typed, headers=key).json()
    assert (again["device_id"], again["credential"]) == (made["device_id"], made["credential"])
    used = error_of(api.anonymous().post("/devices", json=typed), 401, "UNAUTHORIZED")
    assert used["details"]["reason"] == "code"
    (listed,) = shaped(EnrolledDevicesOut, user.get("/devices").json())["devices"]
    assert (listed["id"], listed["name"], listed["type"]) == (made["device_id"], "Ada's phone", "other")
    assert user.get("/auth/tokens").json() == {"tokens": []}
    kept = repr(api.plane.engine.facts(0, 1_000_000).facts) + repr(api.plane.engine.state)
    assert code not in kept
    assert made["credential"][14:] not in kept


def test_guesses_of_codes_are_limited_for_each_address() -> None:
    """As many as passwords; the limit is not that of listing devices."""
    policies = tuple(p._replace(limit=3) if p.name == LOGIN.name else p for p in PLENTY)
    with serving_api(policies=policies) as api:
        admin = api.client()
        body = {"name": "phone", "type": "phone"}
        statuses = [
            api.anonymous().post("/devices", json={**body, "code": make_code()}).status_code for _ in range(3)
        ]
        # The login was one of the three.
        assert statuses == [401, 401, 429]
        assert [admin.get("/devices").status_code for _ in range(5)] == [200] * 5
    assert {p.name for p in POLICIES} >= {"login", "devices"}


def test_a_device_syncs_as_itself_and_does_nothing_else(api: Api) -> None:
    """Its user's tasks, accounts and other devices are closed to it, whatever role the user has."""
    admin = api.client()
    other, _ = enrolled(api, admin, name="other")
    mine, device = enrolled(api, admin)
    for method, path in (
        ("GET", "/tasks"), ("POST", "/tasks"), ("GET", "/users"), ("GET", "/auth/me"), ("GET", "/devices"),
        ("POST", "/devices/codes"), ("POST", "/auth/tokens"), ("GET", "/audit"), ("GET", "/workers"),
    ):  # fmt: skip
        assert device.request(method, path, json={}).status_code in (403, 404, 405), path
    assert device.get(f"/devices/{mine}").json()["name"] == "phone"
    for answer in (
        device.get(f"/devices/{other}"), device.delete(f"/devices/{other}"),
        device.patch(f"/devices/{other}", json={"name": "x"}), device.delete(f"/auth/tokens/{other}"),
    ):  # fmt: skip
        assert answer.status_code in (403, 404)
    error_of(admin.post("/harmony/sync/mutations", json={"mutations": [put(1, "a")]}), 403, "FORBIDDEN")
    error_of(admin.delete(f"/auth/tokens/{mine}"), 404, "NOT_FOUND")


def test_a_revoked_device_is_refused_within_a_second(api: Api) -> None:
    """Others of the user go on; a device may sign itself off."""
    user = api.add("revoking", "developer")
    lost, phone = enrolled(api, user)
    kept, laptop = enrolled(api, user, name="laptop", type="laptop")
    push(phone, put(1, "a", text="x"))
    assert api.add("stranger", "developer").delete(f"/devices/{lost}").status_code == 404
    assert user.delete(f"/devices/{lost}").status_code == 204
    revoked = asked = time.monotonic()
    while phone.get("/harmony/sync/conflicts").status_code != 401:
        asked = time.monotonic()
    assert asked - revoked < REVOKED_S_MAX
    refused = phone.post("/harmony/sync/mutations", json={"mutations": [put(2, "a")]})
    assert error_of(refused, 401, "UNAUTHORIZED")["details"]["reason"] == "revoked"
    assert laptop.get("/harmony/sync/documents").json()["documents"][0]["fields"] == {"text": "x"}
    assert laptop.delete(f"/devices/{kept}").status_code == 204


def test_each_mutation_has_a_verdict_and_is_carried_out_once(api: Api) -> None:
    """A refused one does not hold up the next ones, a repeated one is not done twice and gets its refusal
    again, and a gap is a conflict that says what is expected."""
    user = api.add("pushing", "developer")
    _, device = enrolled(api, user)
    theirs = api.submit(api.add("somebody", "developer"))
    first, second = api.submit(user), api.submit(user)
    mutations = [
        put(1, "list", title="to do", items=[1, {"deep": None}]),
        {**put(2, "list", title="early"), "stamp": stamp() + 3_600_000},
        {"id": 3, "op": "cancel", "stamp": stamp(), "task_id": first},
        {"id": 4, "op": "cancel", "stamp": stamp(), "task_id": theirs},
        {"id": 5, "op": "edit", "stamp": stamp(), "task_id": second, "edits": {"title": "edited"}},
        {"id": 6, "op": "submit", "stamp": stamp(), "task": {**TASK, "title": "from the phone"}},
        {"id": 7, "op": "submit", "stamp": stamp(), "task": {"title": 5}},
        {"id": 8, "op": "delete", "stamp": stamp(), "kind": "nothing", "key": "a"},
        {"id": 9, "op": "cancel", "stamp": stamp(), "task_id": first},
        put(10, "last", done=True),
    ]
    sent = push(device, *mutations)
    verdicts = {each["id"]: (each["verdict"], each["code"]) for each in sent["verdicts"]}
    assert verdicts == {
        1: ("applied", None), 2: ("refused", "clock"), 3: ("applied", None), 4: ("refused", "NOT_FOUND"),
        5: ("applied", None), 6: ("applied", None), 7: ("refused", "VALIDATION_ERROR"),
        8: ("refused", "VALIDATION_ERROR"), 9: ("applied", None), 10: ("applied", None),
    }  # fmt: skip
    assert sent["last_mutation"] == 10
    assert 3_590_000 < sent["verdicts"][1]["details"]["offset_ms"] <= 3_600_000
    tasks = {task["title"]: task["status"] for task in user.get("/tasks").json()["tasks"]}
    assert tasks == {"from the phone": "pending", "edited": "pending", TASK["title"]: "cancelled"}
    seq = api.plane.engine.state.seq
    again = push(device, *mutations)["verdicts"]
    assert [each["verdict"] for each in again if each["id"] not in (2, 4, 7, 8)] == ["already"] * 6
    assert [each for each in again if each["verdict"] == "refused"] == [
        each for each in sent["verdicts"] if each["verdict"] == "refused"
    ]
    assert api.plane.engine.state.seq == seq
    gap = device.post("/harmony/sync/mutations", json={"mutations": [put(12, "a")]})
    assert error_of(gap, 409, "CONFLICT")["details"]["expected"] == 11


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ('{"id": 9007199254740992, "op": "delete", "kind": "notes", "key": "a", "stamp": 1}', 400),
        ('{"id": 9007199254740991, "op": "delete", "kind": "notes", "key": "a", "stamp": 1}', 409),
        ('{"id": 0, "op": "delete", "kind": "notes", "key": "a", "stamp": 1}', 400),
        ('{"id": 1.5, "op": "delete", "kind": "notes", "key": "a", "stamp": 1}', 400),
        ('{"id": true, "op": "delete", "kind": "notes", "key": "a", "stamp": 1}', 400),
        ('{"id": 1, "op": "put", "kind": "notes", "key": "a", "fields": {"a": NaN}, "stamp": 1}', 400),
        ('{"id": 1, "op": "put", "kind": "notes", "key": "a", "fields": {"a": "\\ud800"}, "stamp": 1}', 400),
        ('{"id": 1, "op": "delete", "kind": "notes", "key": "a", "stamp": -1}', 400),
        ('{"id": 1, "op": "delete", "kind": "notes", "key": "a", "stamp": 1e400}', 400),
    ],
)
def test_a_push_that_is_no_push_is_refused_whole(api: Api, text: str, status: int) -> None:
    """Numbers beyond 2^53, NaN, lone surrogates: nothing is carried out, and no number is used."""
    _, device = enrolled(api, api.add(f"odd-{crc32(text.encode())}", "developer"))
    answer = device.post(
        "/harmony/sync/mutations",
        content=f'{{"mutations": [{text}]}}',
        headers=JSON,
    )
    assert answer.status_code == status, answer.text
    assert push(device, put(1, "a", text="x"))["last_mutation"] == 1


def test_odd_mutations_have_verdicts_and_wedge_nothing(api: Api) -> None:
    """Deep, large, empty and unknown things, and clocks that are far behind; what follows is carried out."""
    _, device = enrolled(api, api.add("oddities", "developer"))
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    sent = push(
        device,
        put(1, "deep", value=deep),
        put(2, "large", text="x" * 200_000),
        put(3, "k" * 10_000, text="x"),
        put(4, "", text="x"),
        {"id": 5, "op": "put", "stamp": 1},
        {"id": 6, "op": "submit", "stamp": 1},
        {"id": 7, "op": "cancel", "stamp": 1, "task_id": "\x00"},
        {**put(8, "early", text="x"), "stamp": 2**53 - 1, "counter": 2**53 - 1},
        {**put(9, "late", text="x"), "stamp": 0, "counter": 2**53 - 1},
        {**put(10, "ahead", text="x"), "base_version": 2**53 - 1},
        put(11, "end", count=2**53 + 1, name="\u0000\u202e"),
    )
    verdicts = {each["id"]: each["verdict"] for each in sent["verdicts"]}
    assert [verdicts[number] for number in range(1, 9)] == ["refused"] * 8, sent
    assert verdicts[9] == "applied"
    assert sent["last_mutation"] == 11
    endless = json.dumps({"mutations": [put(12, "endless", value="?")]}).replace('"?"', "1e999")
    answer = device.post("/harmony/sync/mutations", content=endless, headers=JSON)
    assert answer.json()["verdicts"][0]["verdict"] == "refused"
    assert push(device, put(13, "end", text="x"))["verdicts"][0]["verdict"] == "applied"


def test_ten_thousand_mutations_in_one_push_are_refused_with_the_limit(api: Api) -> None:
    """Nothing of them is carried out."""
    _, device = enrolled(api, api.add("bulk", "developer"))
    same = {"op": "delete", "kind": "notes", "key": "a", "stamp": 1}
    body = {"mutations": [{"id": number, **same} for number in range(1, 10_001)]}
    error_of(device.post("/harmony/sync/mutations", json=body), 400, "VALIDATION_ERROR")
    assert push(device, put(1, "a", n=1))["last_mutation"] == 1


def test_two_phones_with_one_credential_share_their_numbers(api: Api) -> None:
    """A copied credential: each number is carried out once, whoever comes first, and both are told."""
    user = api.add("twins", "developer")
    _, device = enrolled(api, user)
    twin = api.anonymous()
    twin.headers["Authorization"] = device.headers["Authorization"]
    bodies = [[put(number, f"{who}-{number}", who=who) for number in range(1, 21)] for who in "ab"]
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(push, (device, twin), *zip(*bodies, strict=True)))
    documents = user.get("/harmony/sync/documents").json()["documents"]
    assert len({each["key"].partition("-")[2] for each in documents}) == len(documents) == 20
    for answer in answers:
        assert answer["last_mutation"] <= 20
        assert {each["verdict"] for each in answer["verdicts"]} <= {"applied", "already"}


def test_conflicts_are_listed_for_their_user_and_decided(api: Api) -> None:
    """By the user in a session, or on any of their devices; nobody else sees them."""
    user = api.add("merging", "developer")
    (_, phone), (laptop_id, laptop) = enrolled(api, user), enrolled(api, user, name="laptop")
    push(phone, put(1, "list", title="to do", text="a"), put(2, "old", text="b"))
    documents = shaped(DocumentsOut, user.get("/harmony/sync/documents").json())["documents"]
    seen = documents[0]["version"]
    push(phone, {**put(3, "old", seen), "op": "delete"}, put(4, "list", seen, title="phone's"))
    verdicts = push(
        laptop, put(1, "old", seen, text="edited"), {**put(2, "list", seen, title="laptop's"), "stamp": 1}
    )["verdicts"]
    assert [(each["verdict"], each["code"]) for each in verdicts] == [
        ("conflict", "deleted"), ("conflict", "overwritten"),
    ]  # fmt: skip
    listed = shaped(SyncConflictsOut, user.get("/harmony/sync/conflicts").json())["conflicts"]
    assert [(each["reason"], each["fields"], each["device_id"]) for each in listed] == [
        ("deleted", {"text": "edited"}, laptop_id), ("overwritten", {"title": "laptop's"}, laptop_id),
    ]  # fmt: skip
    stranger = api.add("curious", "admin")
    assert stranger.get("/harmony/sync/conflicts").json()["conflicts"] == []
    path = "/harmony/sync/conflicts/{}"
    error_of(stranger.post(path.format(listed[0]["id"]), json={"keep": "current"}), 404, "NOT_FOUND")
    assert user.post(path.format(listed[0]["id"]), json={"keep": "listed"}).status_code == 204
    merged = {"keep": "fields", "fields": {"title": "both"}}
    assert phone.post(path.format(listed[1]["id"]), json=merged).status_code == 204
    now = {each["key"]: each["fields"] for each in user.get("/harmony/sync/documents").json()["documents"]}
    assert now == {"old": {"text": "edited"}, "list": {"title": "both", "text": "a"}}
    assert laptop.get("/harmony/sync/conflicts").json()["conflicts"] == []


def test_a_device_is_renamed_and_follows_what_its_user_says(api: Api) -> None:
    """An owner is named as people know them; what is not valid is refused with its place."""
    user = api.add("following", "developer")
    device_id, device = enrolled(api, user)
    assert user.patch(f"/devices/{device_id}", json={"name": "tablet"}).json()["name"] == "tablet"
    wanted = {"tasks": [{"label": "zone=a"}, {"owner": "following"}], "documents": ["notes"]}
    follows = device.put(f"/devices/{device_id}/follows", json=wanted).json()["follows"]
    assert follows["documents"] == ["notes"]
    assert follows["tasks"][0] == {"project": None, "label": "zone=a", "owner": None}
    assert follows["tasks"][1]["owner"].startswith("user-")
    unknown = {"tasks": [{"owner": "nobody"}], "documents": []}
    refused = error_of(user.put(f"/devices/{device_id}/follows", json=unknown), 400, "VALIDATION_ERROR")
    assert refused["details"]["field"] == "tasks.0.owner"


@pytest.mark.parametrize("limit", ["devices_per_user_max", "codes"])
def test_the_number_of_devices_and_codes_is_limited(limit: str) -> None:
    """With the limit in the refusal."""

    with serving_api(Settings(devices_per_user_max=1)) as api:
        admin = api.client()
        if limit == "codes":
            answers = [admin.post("/devices/codes") for _ in range(6)]
            assert error_of(answers[-1], 409, "CONFLICT")["details"]["codes_max"] == 5
            return
        enrolled(api, admin)
        code = admin.post("/devices/codes").json()["code"]
        answer = api.anonymous().post("/devices", json={"code": code, "name": "second"})
        assert error_of(answer, 409, "CONFLICT")["details"]["limit"] == 1
