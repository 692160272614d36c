"""Three API replicas on one port, as `helix up` runs them: killed, stopped, and asked one after another."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from random import Random

import httpx
import psutil
import pytest

from benchmarks import revocations
from helix_ray.client import Client
from helix_ray.client.events import EventReader
from tests.asking import Asking
from tests.contract.crowd import by_door
from tests.e2e.live import HISTORIAN, MASTER, REPLICA, Live, error_of, function, serving
from tests.e2e.live_histories import Kills, crowd_over
from tests.own_time import OwnTime
from tests.ray.signals import until

REPLICAS = 3
ASKERS = 4
HUNG_S_MAX = 5.0
REVOKED_S_MAX = 1.0
REVOCATIONS = int(os.environ.get("HELIX_TEST_REVOCATIONS", "32"))
TASK = {"title": "t", "type": "planning"}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    data_dir = tmp_path_factory.mktemp("replicas") / "data"
    # Tasks leave memory while the crowd looks on; its workers outside are never lost.
    with serving(data_dir, api_replicas=REPLICAS, retention_s=1, lease_s=600) as server:
        yield server


def three(live: Live) -> list[int]:
    """Wait until Serve has three replicas; return their process ids."""
    until(lambda: len(live.pids(REPLICA)) == REPLICAS)
    return live.pids(REPLICA)


def asking(live: Live) -> Asking:
    """Ask all the time whether there is anybody."""
    url = httpx.URL(live.url)

    def ask() -> int:
        connection = HTTPConnection(url.host, url.port, timeout=60)
        with contextlib.closing(connection):
            connection.request("GET", "/healthz")
            status = connection.getresponse().status
        assert status == 200
        return status

    return Asking(ask, ASKERS)


def test_a_read_sees_every_write_that_was_answered_before(live: Live) -> None:
    """What one connection has written, ten others read: created, changed as a side effect, deleted."""
    writer = live.client()
    readers = [live.anonymous() for _ in range(10)]
    for reader in readers:
        reader.headers["Authorization"] = writer.headers["Authorization"]
    for _ in range(10):
        first = writer.post("/tasks", json=TASK).json()["id"]
        second = writer.post("/tasks", json={**TASK, "depends_on": [first]}).json()["id"]
        assert {reader.get(f"/tasks/{second}").json()["status"] for reader in readers} == {"waiting"}
        writer.post(f"/tasks/{first}/cancel")
        assert "waiting" not in {reader.get(f"/tasks/{second}").json()["status"] for reader in readers}
        writer.delete(f"/tasks/{second}")
        assert {reader.get(f"/tasks/{second}").status_code for reader in readers} == {404}


def test_a_session_that_ended_has_ended_at_each(live: Live) -> None:
    """After a logout no replica takes the token for longer than a second."""
    client = live.client()
    others = [live.anonymous() for _ in range(12)]
    for other in others:
        other.headers["Authorization"] = client.headers["Authorization"]
        assert other.get("/tasks").status_code == 200
    client.post("/auth/logout")
    ended = time.monotonic()
    open_ones = set(range(len(others)))
    while open_ones:
        asked = time.monotonic()
        open_ones = {i for i in open_ones if others[i].get("/tasks").status_code != 401}
        assert not open_ones or asked - ended < REVOKED_S_MAX


def test_a_revoked_api_token_has_ended_at_each(live: Live) -> None:
    """All three know it, and none takes it for longer than a second."""
    session = live.client().headers["Authorization"].removeprefix("Bearer ")
    accepted_s = revocations.measure(httpx.URL(live.url).port or 80, session, three(live), REVOCATIONS)
    assert len(accepted_s) == REPLICAS * REVOCATIONS
    assert max(accepted_s) < REVOKED_S_MAX


def test_what_is_refused_below_the_application_has_all_headers(live: Live) -> None:
    """An endless header is 431 in the envelope with the address's rate limit, and
    two Host headers are 400."""
    url = httpx.URL(live.url)
    for raw, status, code in (
        (b"GET / HTTP/1.1\r\nhost: t\r\nx-a: ".ljust(65_536, b"a"), 431, "HEADERS_TOO_LARGE"),
        (b"GET / HTTP/1.1\r\nhost: t\r\nhost: t\r\n\r\n", 400, "VALIDATION_ERROR"),
    ):
        with socket.create_connection((url.host, url.port or 80), timeout=60) as client:
            client.sendall(raw)
            with contextlib.closing(HTTPResponse(client)) as got:
                got.begin()
                answer = httpx.Response(got.status, headers=dict(got.getheaders()), content=got.read())
        error_of(answer, status, code)
        assert answer.headers["connection"] == "close"


def ports_of(process: psutil.Process) -> set[int]:
    """Return the ports of this machine that a process is connected to, or from."""
    return {
        place.port
        for each in process.net_connections("tcp")
        if each.status == psutil.CONN_ESTABLISHED
        for place in (each.laddr, each.raddr)
    }


@contextlib.contextmanager
def reading(live: Live) -> Iterator[tuple[EventReader, int]]:
    """Read what tasks are created; gives the reader, and the process id of the replica that serves it."""
    token = live.client().headers["Authorization"].removeprefix("Bearer ")
    before = ports_of(psutil.Process())
    with Client(live.url, token) as client, client.events("task.created") as events:
        ours = ports_of(psutil.Process()) - before
        (server,) = (pid for pid in three(live) if ours & ports_of(psutil.Process(pid)))
        yield events, server


def test_a_killed_one_is_not_noticed_and_replaced(live: Live) -> None:
    """kill -9 of one of three under load: nobody is refused, few requests break, Serve starts another, and a
    reader whose events came from it goes on at another, with each event once."""
    with reading(live) as (events, victim), asking(live) as load:
        client = live.client()
        created = [client.post("/tasks", json=TASK).json()["id"]]
        assert next(events)["subject"] == created[0]
        until(lambda: load.came["ok"] > 50)
        os.kill(victim, signal.SIGKILL)
        until(lambda: victim not in live.pids(REPLICA))
        client = live.client()
        created += [client.post("/tasks", json=TASK).json()["id"] for _ in range(3)]
        assert [event["subject"] for event in itertools.islice(events, 3)] == created[1:]
        until(lambda: len(live.pids(REPLICA)) == REPLICAS)
        until(lambda: load.came["ok"] > 200)
    assert load.came["refused"] == 0
    assert load.came["broken"] <= ASKERS


def test_a_stopped_one_is_ended_and_replaced(live: Live) -> None:
    """SIGSTOP of one of three: it is killed within 5 s, and meanwhile the others serve whoever comes."""
    victim = three(live)[0]
    with asking(live) as load:
        until(lambda: load.came["ok"] > 50)
        with OwnTime() as own_time:
            os.kill(victim, signal.SIGSTOP)
            until(lambda: victim not in live.pids(REPLICA))
        assert own_time.seconds < HUNG_S_MAX + 1
        until(lambda: len(live.pids(REPLICA)) == REPLICAS)
    assert load.came["refused"] == 0
    assert load.came["broken"] <= ASKERS
    client = live.client()
    assert client.post("/tasks", json=function("add", 20, 1)).status_code == 201


CROWD_S = 10.0
KILLS: Kills = ((1.5, REPLICA), (3.5, MASTER), (6.0, REPLICA), (6.5, MASTER))


def check_histories(live: Live, seconds: float, kills: Kills, seed: int) -> dict[str, int]:
    """Run a crowd and check what it saw; return how many answers came through each door,
    and how many never came."""
    three(live)
    crowd = asyncio.run(crowd_over(live, seconds, kills, seed))
    told = crowd.violations()
    assert not told, f"seed {seed}:\n" + "\n".join(told)
    return {**by_door(crowd), "none": crowd.answered["nothing"], "families": len(crowd.families)}


def test_histories_of_all_doors_are_linearizable(live: Live) -> None:
    """REST to three replicas and the Python API, while replicas and the master are killed: whoever asks sees
    every write that was answered before, whoever wrote it, in memory or out of it."""
    answers = check_histories(live, CROWD_S, KILLS, seed=1)
    assert all(answers.get(door, 0) > 10 for door in ("hx", "http0", "http1")), answers


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_histories_are_linearizable_for_long(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    """The same for minutes: CHAOS_S seconds, CHAOS_SEED."""
    seconds, seed = float(os.environ.get("CHAOS_S", "140")), int(os.environ.get("CHAOS_SEED", "7"))
    chance, at_s, kills = Random(seed), 0.0, []
    while (at_s := at_s + chance.uniform(1, 6)) < seconds - 5:
        kills.append((at_s, chance.choice((REPLICA, REPLICA, MASTER, HISTORIAN))))
    with capsys.disabled():
        print(f"\nhistories: {check_histories(live, seconds, kills, seed)}, killed {len(kills)}, seed {seed}")
