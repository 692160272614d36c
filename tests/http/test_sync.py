"""GET /harmony/sync/changes and /harmony/sync/status."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from helix_ray.config import Settings
from helix_ray.core.orders import ChangeDevice, ChangeRoles, RevokeDevice
from helix_ray.devices import DeviceClient, MemoryStore
from tests.http.api_server import Api, error_of, serving_api
from tests.http.enrolled import Enrolled, enrol
from tests.own_time import OwnTime
from tests.ray.signals import WAIT_S_MAX

CHANGES, STATUS = "/harmony/sync/changes", "/harmony/sync/status"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture(scope="module")
def dora(api: Api) -> httpx.Client:
    """A developer."""
    return api.add("dora", "developer")


@pytest.fixture(scope="module")
def phone(api: Api, dora: httpx.Client) -> Enrolled:
    """Her phone."""
    return enrol(api, "dora")


def client_of(api: Api, device: Enrolled, url: str = "") -> DeviceClient:
    """Return the reference client of a device."""
    store = MemoryStore()
    store.save({"device_id": device.id, "credential": device.credential, "replica": {}})
    return DeviceClient(url or f"{api.url}/api/v1", store)


@contextmanager
def pulling(
    api: Api, device: Enrolled, wait_s: float, patch: pytest.MonkeyPatch
) -> Iterator[Future[httpx.Response]]:
    """Begin a pull that waits; the block begins when the service has found no news for it."""
    cursor = device.client.get(CHANGES).json()["cursor"]
    is_news, asked = api.plane.sync.is_news, threading.Event()

    def noted(question: Any, answer: Any) -> bool:
        found = is_news(question, answer)
        asked.set()
        return found

    patch.setattr(api.plane.sync, "is_news", noted)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(device.client.get, CHANGES, params={"cursor": cursor, "wait_s": wait_s})
        assert asked.wait(WAIT_S_MAX)
        yield waiting


def test_a_device_gets_what_it_follows_in_pages_and_then_what_changes(
    api: Api, dora: httpx.Client, phone: Enrolled
) -> None:
    """The documented answer: rows as the API shows tasks, cursor, checksum, server's time."""
    ids = {api.submit(dora, title=f"Task {i}") for i in range(3)}
    page = phone.client.get(CHANGES, params={"limit": 2}).json()
    assert page.keys() == {
        "changes", "cursor", "has_more", "first", "checksum", "rows", "last_mutation", "server_time"
    }  # fmt: skip
    assert (page["has_more"], page["first"], page["checksum"], page["rows"]) == (True, True, None, None)
    assert TIME.fullmatch(page["server_time"])
    last = phone.client.get(CHANGES, params={"cursor": page["cursor"]}).json()
    assert {each["key"] for each in page["changes"] + last["changes"]} == ids
    assert (last["has_more"], last["rows"], last["last_mutation"]) == (False, 3, 0)
    row = last["changes"][0]["row"]
    task = dora.get(f"/tasks/{row['id']}").json()
    assert {name: task[name] for name in ("id", "title", "status", "priority", "type", "created_at")} == {
        name: row[name] for name in ("id", "title", "status", "priority", "type", "created_at")
    }
    gone = ids.pop()
    dora.delete(f"/tasks/{gone}")
    (change,) = phone.client.get(CHANGES, params={"cursor": last["cursor"]}).json()["changes"]
    assert change == {"op": "delete", "kind": "task", "key": gone, "version": change["version"], "row": None}


def test_a_pull_that_waits_is_answered_by_the_change(
    api: Api, dora: httpx.Client, phone: Enrolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long before its time is over."""
    with pulling(api, phone, 25, monkeypatch) as waiting:
        task_id = api.submit(dora)
        began = time.monotonic()
        assert [each["key"] for each in waiting.result().json()["changes"]] == [task_id]
        assert time.monotonic() - began < 10


def test_only_devices_may_pull_and_only_with_a_valid_query(
    api: Api, dora: httpx.Client, phone: Enrolled
) -> None:
    """A session is refused, as is a request without a token; limits have their bounds."""
    error_of(dora.get(CHANGES), 403, "FORBIDDEN")
    error_of(api.anonymous().get(CHANGES), 401, "UNAUTHORIZED")
    for params, field in (
        ({"limit": 0}, "limit"),
        ({"wait_s": 26}, "wait_s"),
        ({"cursor": "x" * 300}, "cursor"),
    ):
        error = error_of(phone.client.get(CHANGES, params=params), 400, "VALIDATION_ERROR")
        assert error["details"]["field"] == field
    error_of(phone.client.get("/tasks"), 403, "FORBIDDEN")


def test_pulls_count_as_requests_of_devices(phone: Enrolled) -> None:
    """Not as those of the person."""
    assert '"devices"' in phone.client.get(CHANGES).headers["ratelimit-policy"]


def test_a_cursor_that_cannot_be_continued_is_gone_and_may_not_be_cached(phone: Enrolled) -> None:
    """410 with the reason and `reset`, and no-store."""
    answer = phone.client.get(CHANGES, params={"cursor": "made.up.1.2.x"})
    details = error_of(answer, 410, "GONE")["details"]
    assert details == {"reset": True, "reason": "unknown", "cursor": None}
    assert answer.headers["cache-control"] == "no-store"
    assert phone.client.get(CHANGES).headers["cache-control"] == "no-store"


def test_a_cursor_of_somebody_else_shows_nothing(api: Api, phone: Enrolled) -> None:
    """Taken from another user's device, or changed by a character: gone, without a row."""
    stranger = enrol(api, "admin", "other phone")
    cursor = phone.client.get(CHANGES).json()["cursor"]
    body, _, mac = cursor.rpartition(".")
    generation, scope, position, first = body.split(".")
    for tried, reason in (
        # The shard of the other device has a file of its own, or it is the same one.
        (cursor, "scope lost"),
        (f"{generation}.{scope}.0.{first}.{mac}", "unknown"),
        (f"{generation}.{scope}.-{position}.{first}.{mac}", "unknown"),
        ("." * 40, "unknown"), ("\u00e9.\U0001f600.\u0661", "unknown"), ("0", "unknown"),
    ):  # fmt: skip
        answer = stranger.client.get(CHANGES, params={"cursor": tried})
        assert error_of(answer, 410, "GONE")["details"]["reason"] in reason.split(), tried


class CachingProxy(BaseHTTPRequestHandler):
    """Answers a GET from its cache, whatever the status, unless that was forbidden; counts requests."""

    protocol_version = "HTTP/1.1"
    behind = ""
    cache: dict[str, tuple[int, bytes]] = {}  # noqa: RUF012
    asked: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.asked.append(self.path)
        kept = self.cache.get(self.path)
        if kept is None:
            headers = {"authorization": self.headers["authorization"]}
            answer = httpx.get(self.behind + self.path, headers=headers, timeout=60)
            kept = answer.status_code, answer.content
            if "no-store" not in answer.headers.get("cache-control", ""):
                self.cache[self.path] = kept
        self.send_response(kept[0])
        self.send_header("content-length", str(len(kept[1])))
        self.end_headers()
        self.wfile.write(kept[1])

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def caching_proxy(behind: str) -> Iterator[tuple[str, list[str]]]:
    """Run a caching proxy; give its address, and the paths that were asked for."""
    CachingProxy.behind, CachingProxy.cache, CachingProxy.asked = behind, {}, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), CachingProxy)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", CachingProxy.asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_with_a_caching_proxy_in_between_a_device_is_right_again_in_three_requests(api: Api) -> None:
    """Complaint Y2: "start again" is not kept by a cache, and no loop comes of it."""
    vera = api.add("vera", "viewer", "developer")
    device = enrol(api, "vera", "veras phone")
    follows: Any = {"tasks": [{"project": None, "label": "team=red", "owner": None}], "documents": []}
    api.plane.give(ChangeDevice(device.id, follows=follows), device.user)
    others = api.add("otto", "developer")
    theirs, own = (api.submit(each, labels={"team": "red"}) for each in (others, vera))
    with ExitStack() as stack, caching_proxy(api.url) as (url, asked):
        client = stack.enter_context(closing(client_of(api, device, f"{url}/api/v1")))
        for _ in range(3):
            client.pull()
        assert set(client.replica.shown("task")) == {theirs, own}
        for roles, seen in ((("developer",), {own}), (("viewer", "developer"), {theirs, own})):
            api.plane.give(ChangeRoles("vera", roles))
            asked.clear()
            client.pull()
            assert set(client.replica.shown("task")) == seen
            assert len(asked) <= 3


def test_the_status_is_as_documented(api: Api, dora: httpx.Client) -> None:
    """Word for word: interval from the setting, times or null, one entry for each device of the user."""
    anna = api.add("anna", "developer")
    nothing = {"sync_enabled": True, "last_sync": None, "sync_interval": 30, "synced_devices": []}
    assert anna.get(STATUS).json() == nothing
    tablet = enrol(api, "anna", "tablet", "tablet")
    entry = {"device_id": tablet.id, "device_type": "tablet", "last_sync": None, "status": "offline"}
    assert anna.get(STATUS).json() == {**nothing, "synced_devices": [entry]}
    tablet.client.get(CHANGES)
    shown = anna.get(STATUS).json()
    assert TIME.fullmatch(shown["last_sync"])
    assert shown["synced_devices"] == [{**entry, "last_sync": shown["last_sync"], "status": "synced"}]
    api.submit(anna)
    assert anna.get(STATUS).json()["synced_devices"][0]["status"] == "behind"
    assert tablet.id in {each["device_id"] for each in api.client().get(STATUS).json()["synced_devices"]}
    assert tablet.id not in {each["device_id"] for each in dora.get(STATUS).json()["synced_devices"]}


def test_a_revoked_device_is_refused_within_a_second(
    api: Api, dora: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that waits: it gets no change that came after."""
    device = enrol(api, "dora", "lost phone")
    with pulling(api, device, 20, monkeypatch) as waiting:
        api.plane.give(RevokeDevice(device.id), device.user)
        began = time.monotonic()
        with OwnTime() as own_time:
            assert waiting.result().status_code in (401, 404)
        assert own_time.seconds < 2
    asked = began
    while device.client.get(CHANGES).status_code != 401:
        asked = time.monotonic()
    assert asked - began < 1.0
    error_of(device.client.get(CHANGES), 401, "UNAUTHORIZED")
    assert device.id not in dora.get(STATUS).text


def test_where_sync_is_off_devices_get_nothing_and_the_status_says_so() -> None:
    """`HELIX_SYNC_ENABLED=false`, and another interval."""
    with serving_api(Settings(sync_enabled=False, sync_interval_s=90)) as api:
        device = enrol(api, "admin")
        details = error_of(device.client.get(CHANGES), 409, "CONFLICT")
        assert "HELIX_SYNC_ENABLED" in details["message"]
        shown = api.client().get(STATUS).json()
        assert (shown["sync_enabled"], shown["sync_interval"]) == (False, 90)
