"""The event stream: everything once, in order, and only to those who may see it; it ends when it must."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

import serve_app.event_stream
import serve_app.notice_ring
from helix_ray.config import Settings
from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM
from helix_ray.core.errors import Refused
from helix_ray.core.notices import EVENTS
from tests.http.api_server import Api, error_of, serving_api
from tests.own_time import OwnTime
from tests.ray.signals import until

PATH = "/events"


class Frames:
    """The frames of a response, one after the other."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.iter_lines()

    def __iter__(self) -> Iterator[dict[str, str]]:
        frame: dict[str, str] = {}
        for line in self._lines:
            if line:
                name, _, value = line.partition(": ")
                frame[name] = value
            else:
                yield frame
                frame = {}

    def until(self, event: str) -> list[dict[str, Any]]:
        """Return the data of frames up to one with this name, without bookmarks."""
        found = []
        for frame in self:
            if "data" in frame and frame["event"] != "bookmark":
                data = json.loads(frame["data"])
                assert (frame["id"], frame["event"]) == (str(data["seq"]), data["event"])
                found.append(data)
            if frame.get("event") == event:
                return found
        raise AssertionError(f"the stream ended before {event}: {found}")

    def rest(self) -> list[dict[str, str]]:
        """Read to the end of the stream."""
        return list(self)


@contextmanager
def reading(client: httpx.Client, *, last: int | None = None, **query: Any) -> Iterator[Frames]:
    """Open a stream and read its first two frames."""
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    with client.stream("GET", PATH, params=query, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        yield Frames(answer)


def open_streams(api: Api) -> int:
    """Return how many streams the replica has open."""
    text = httpx.get(f"{api.url}/metrics", timeout=30).text
    (line,) = [line for line in text.splitlines() if line.startswith("helix_event_streams ")]
    return int(float(line.split()[1]))


def run_through(client: httpx.Client, api: Api, **fields: Any) -> str:
    """Submit a task and complete it; return its id."""
    task_id = api.submit(client, **fields)
    answer = client.put(f"/tasks/{task_id}", json={"status": "completed", "result": {"success": True}})
    assert answer.status_code == 200, answer.text
    return task_id


def test_what_happens_is_streamed_as_it_happens(api: Api, admin: httpx.Client) -> None:
    """The first bytes come at once, then every notice once and in order."""
    with reading(admin, events="task.*") as frames:
        answer = frames.answer
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-accel-buffering"] == "no"
        assert answer.headers["ratelimit-policy"].startswith('"streams"')
        assert "content-encoding" not in answer.headers
        first, second = next(iter(frames)), next(iter(frames))
        assert 1000 <= int(first["retry"]) <= 3000
        assert second == {"id": second["id"], "event": "bookmark", "data": f'{{"seq":{second["id"]}}}'}
        task_id = run_through(admin, api)
        told = frames.until("task.completed")
    assert [each["event"] for each in told] == ["task.created", "task.completed"]
    assert {each["subject"] for each in told} == {task_id}
    completed = told[-1]["data"]
    assert (completed["task_id"], completed["status"]) == (task_id, "completed")
    assert completed["result"] == {"success": True}
    assert told[-1].keys() == {"seq", "event", "timestamp", "subject", "project_id", "data"}


def test_a_reader_goes_on_where_it_stopped(api: Api, admin: httpx.Client) -> None:
    """By `after` or by Last-Event-ID, which goes first; the journal has what the ring has not."""
    start = api.plane.engine.state.seq
    tasks = [run_through(admin, api) for _ in range(3)]
    with reading(admin, after=start, events="task.completed") as frames:
        told = [frames.until("task.completed")[0] for _ in tasks]
    assert [each["subject"] for each in told] == tasks
    with reading(admin, last=told[0]["seq"], after=0, events="task.completed") as frames:
        again = [frames.until("task.completed")[0] for _ in tasks[1:]]
    assert again == told[1:]


def test_everything_is_read_from_the_beginning(
    api: Api, admin: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In small batches and across a ring that drops, as the journal has it."""
    monkeypatch.setattr(serve_app.event_stream, "CATCH_UP_FACTS", 7)
    monkeypatch.setattr(serve_app.notice_ring, "RING_NOTICES_MAX", 4)
    monkeypatch.setattr(serve_app.notice_ring, "PIECE_BYTES_MAX", 600)
    with reading(admin, after=0) as frames:
        for _ in range(20):
            run_through(admin, api)
        admin.post("/projects", json={"id": "end", "name": "end"})
        told = frames.until("project.set")
    seqs = [each["seq"] for each in told]
    assert seqs == sorted(set(seqs))
    facts = api.plane.engine.journal.read_after(0, 100_000)
    untold = {
        "TokenUsed", "SessionRefreshed", "ReceiptKept", "TaskMarked", "TaskRestored", "TasksRetired",
    }  # fmt: skip
    assert seqs == [fact.seq for fact in facts if type(fact.event).__name__ not in untold]


def test_nobody_hears_of_what_they_do_not_see(api: Api, admin: httpx.Client) -> None:
    """A developer gets their own tasks; a token of a project only the project's; secrets are in none."""
    dev, other = api.add("dora", "developer"), api.add("olga", "developer")
    start = api.plane.engine.state.seq
    mine = api.submit(dev)
    api.submit(other, run={"kind": "command", "argv": ["x"], "env": {"KEY": "canary"}})
    last = api.submit(dev)
    with reading(dev, after=start) as frames:
        told = frames.until("task.created") + frames.until("task.created")
    assert [each["subject"] for each in told] == [mine, last]
    with reading(admin, after=start) as frames:
        told = [frames.until("task.created")[-1] for _ in range(3)]
    assert "canary" not in json.dumps(told)


def test_filters_are_of_the_server(api: Api, admin: httpx.Client) -> None:
    """By name, project, type, label and status, all of which must match."""
    start = api.plane.engine.state.seq
    api.submit(admin, labels={"zone": "a"}, project_id="p-9")
    api.submit(admin, labels={"zone": "b"}, project_id="p-9")
    wanted = api.submit(admin, labels={"zone": "a", "rack": "1"}, project_id="p-9", type="testing")
    query = {"project": "p-9,p-8", "label": "zone=a", "type": "testing", "status": "pending,waiting"}
    with reading(admin, after=start, events="task.created", **query) as frames:
        (told,) = frames.until("task.created")
    assert told["subject"] == wanted


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"events": "task.done"}, "events"),
        ({"status": "done"}, "statuses"),
        ({"label": "zone"}, "label"),
        ({"after": "-1"}, "after"),
        ({"topic": "x"}, "topic"),
    ],
)
def test_a_wrong_query_is_refused(admin: httpx.Client, query: dict[str, str], field: str) -> None:
    """Before the first byte, with what may be asked."""
    error = error_of(admin.get(PATH, params=query), 400, "VALIDATION_ERROR")
    assert error["details"]["field"] == field
    if field == "events":
        assert set(EVENTS) <= set(error["details"]["allowed_values"])


@pytest.mark.parametrize("last", ["x1", "-1", "1.5", "1e3", "0x10", "1 2", "9" * 17, "9" * 5_000, "+1"])
def test_a_wrong_id_is_refused(admin: httpx.Client, last: str) -> None:
    """What is no id of a frame is not guessed at."""
    answer = admin.get(PATH, headers={"Last-Event-ID": last})
    assert error_of(answer, 400, "VALIDATION_ERROR")["details"]["field"] == "Last-Event-ID"


def test_odd_filters_select_nothing_and_end_nothing(api: Api, admin: httpx.Client) -> None:
    """Whatever characters they have, and although a reader goes on from somebody else's cursor."""
    start = api.plane.engine.state.seq
    own = api.add("odd", "developer")
    api.submit(admin, project_id="p-8")
    odd = "\u0000\r\ndata: {}\u2028\U0001f600%*'"
    for query in (
        {"project": odd},
        {"type": odd},
        {"label": f"{odd}={odd}"},
        {"label": "=="},
        {"label": "a=="},
    ):
        answer = own.get(PATH, params={**query, "after": 10**16})
        assert answer.status_code in (400, 410), (query, answer.text)
    mine = api.submit(own, labels={"a": "="})
    with reading(own, last=start, label="a==", events="task.created") as frames:
        assert [each["subject"] for each in frames.until("task.created")] == [mine]


def test_a_cursor_that_the_journal_does_not_have_is_gone(api: Api, admin: httpx.Client) -> None:
    """With where to start instead; no cache keeps that."""
    head = api.plane.engine.state.seq
    answer = admin.get(PATH, params={"after": head + 1_000})
    details = error_of(answer, 410, "GONE")["details"]
    assert details["earliest"] == 0
    assert details["latest"] >= head
    assert answer.headers["cache-control"] == "no-store"


def test_an_idle_cursor_moves(api: Api, admin: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader for whom nothing happens gets bookmarks with the newest seq."""
    monkeypatch.setattr(serve_app.event_stream, "BOOKMARK_S", 0.2)
    with reading(admin, events="model.pushed") as frames:
        api.submit(admin)
        head = api.plane.engine.state.seq
        for frame in frames:
            if int(frame.get("id", 0)) >= head:
                assert frame["event"] == "bookmark"
                break


@pytest.mark.parametrize("end", ["logout", "revoked", "removed"])
def test_a_stream_ends_with_its_session_or_token(api: Api, admin: httpx.Client, end: str) -> None:
    """Within a second, and what happens afterwards is not in it."""
    reader = api.add(f"rita-{end}", "viewer", "developer")
    if end == "revoked":
        made = reader.post("/auth/tokens", json={"name": "ci"}).json()
        reader = api.anonymous()
        reader.headers["Authorization"] = f"Bearer {made['token']}"
    with reading(reader, events="task.created") as frames:
        next(iter(frames))
        if end == "logout":
            reader_too = api.anonymous()
            reader_too.headers["Authorization"] = reader.headers["Authorization"]
            assert reader_too.post("/auth/logout").status_code == 204
        elif end == "revoked":
            assert admin.delete(f"/auth/tokens/{made['id']}").status_code == 204
        else:
            assert admin.delete(f"/users/rita-{end}").status_code == 204
        with OwnTime() as own_time:
            api.submit(admin)
            rest = frames.rest()
    assert own_time.seconds < 1.0
    assert all(frame.get("event") != "task.created" for frame in rest)


def test_a_stream_shows_what_its_reader_may_see_now(api: Api, admin: httpx.Client) -> None:
    """Who is no viewer any more hears from then on what is theirs."""
    reader = api.add("vera", "viewer", "developer")
    with reading(reader, events="task.created") as frames:
        seen = api.submit(admin)
        (told,) = frames.until("task.created")
        assert told["subject"] == seen
        api.plane.give(o.ChangeRoles("vera", ("developer",)), SYSTEM)
        api.submit(admin)
        own = api.submit(reader)
        (told,) = frames.until("task.created")
    assert told["subject"] == own


def test_streams_over_the_cap_are_refused_and_nothing_else_is() -> None:
    """With 503 and when to come again, per user and in all; GET and POST go on."""
    settings = Settings(streams_max=3, streams_per_principal_max=2)
    with serving_api(settings) as api:
        one, two = api.client(), api.add("tom", "developer")
        clients = [api.anonymous() for _ in range(3)]
        for client, owner in zip(clients, (one, one, two), strict=True):
            client.headers["Authorization"] = owner.headers["Authorization"]
        with reading(clients[0]), reading(clients[1]):
            error = error_of(one.get(PATH), 503, "SERVICE_UNAVAILABLE")
            assert error["details"] == {"streams_per_principal_max": 2, "retry_after_s": 5}
            with reading(clients[2]):
                refused = two.get(PATH)
                assert error_of(refused, 503, "SERVICE_UNAVAILABLE")["details"]["streams_max"] == 3
                assert refused.headers["retry-after"] == "5"
                assert api.submit(one)
                assert one.get("/tasks").status_code == 200
        until(lambda: open_streams(api) == 0)
        with reading(one):
            assert open_streams(api) == 1


def test_who_leaves_before_the_first_byte_frees_the_place() -> None:
    """A hundred that send their request and are gone leave nothing behind."""
    with serving_api(Settings(streams_max=200, streams_per_principal_max=200)) as api:
        token = api.client().headers["Authorization"]
        for _ in range(100):
            connection = _connected(api)
            connection.sendall(_request(api, token))
            connection.close()
        until(lambda: open_streams(api) == 0)


def test_a_reader_that_takes_nothing_is_cut_and_comes_back() -> None:
    """Its place is free after HELIX_STREAM_STALL_S; another reader of the same events misses none, and itself
    goes on behind the last whole frame that it got, without a gap."""
    # The limit of all answers is not the one that cuts it.
    with serving_api(Settings(stream_stall_s=0.3, answer_stalled_s_max=600.0)) as api:
        admin = api.client()
        slow = _connected(api)
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        slow.sendall(_request(api, admin.headers["Authorization"]))
        until(lambda: open_streams(api) == 1)
        with reading(admin, events="task.completed") as frames:
            big = {"text": "x" * 60_000}
            writer = api.client()
            told = []
            for _ in range(100):
                task_id = api.submit(writer)
                writer.put(f"/tasks/{task_id}", json={"status": "completed", "result": big})
                told += frames.until("task.completed")
                assert told[-1]["subject"] == task_id
            until(lambda: open_streams(api) == 1)
        got = _ids_of(slow)
        with reading(admin, last=got[-1], events="task.completed") as frames:
            missed = [each["seq"] for each in told if each["seq"] > got[-1]]
            again = [frames.until("task.completed")[0]["seq"] for _ in missed]
        assert missed
        assert again == missed


def test_a_server_does_not_wait_for_its_streams() -> None:
    """It ends with three hundred of them in less than three seconds."""
    with contextlib.ExitStack() as leaving:
        api = leaving.enter_context(serving_api(Settings(streams_per_principal_max=300)))
        token = api.client().headers["Authorization"]
        connections = [_connected(api) for _ in range(300)]
        for connection in connections:
            connection.sendall(_request(api, token))
        until(lambda: open_streams(api) == 300)
        with OwnTime() as own_time:
            leaving.close()
    assert own_time.seconds < 3.0
    for connection in connections:
        connection.close()


def test_a_stream_ends_when_its_time_is_over() -> None:
    """Complete, so that its client connects again."""
    with serving_api(Settings(stream_s_max=0.3)) as api, reading(api.client()) as frames:
        assert [*frames.rest()[0]] == ["retry"]


def test_streams_outlast_a_control_plane_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """What happened meanwhile is told afterwards."""
    with serving_api() as api:
        admin = api.client()
        with reading(admin, events="task.created") as frames:
            next(iter(frames))
            events, away = api.plane.events, threading.Event()

            async def refuse(*arguments: Any, **named: Any) -> Any:
                away.set()
                raise Refused(serve_app.event_stream.AWAY)

            monkeypatch.setattr(api.plane, "events", refuse)
            api.submit(admin)
            assert away.wait(30)
            api.submit(admin)
            monkeypatch.setattr(api.plane, "events", events)
            told = frames.until("task.created") + frames.until("task.created")
    assert len({each["subject"] for each in told}) == 2


def _ids_of(connection: socket.socket) -> list[int]:
    """Read what arrived before a connection was cut; return the ids of its whole frames."""
    read = b""
    with connection, contextlib.suppress(ConnectionResetError):
        while part := connection.recv(1 << 16):
            read += part
    frames = read.split(b"\n\n")[:-1]
    return [int(line[4:]) for frame in frames for line in frame.split(b"\n") if line.startswith(b"id: ")]


def _connected(api: Api) -> socket.socket:
    parts = urlsplit(api.url)
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30)


def _request(api: Api, token: str) -> bytes:
    return f"GET /api/v1{PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n".encode()
