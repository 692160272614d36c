"""The wall clock of a real server is set while work goes on: back, ahead, and back again.

Only the server sees it: a library that is compiled here shifts the clock of its processes (shifted_clock.c).
`make chaos` runs it.
"""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from helix_ray.webhooks.due_clock import NOTED_EVERY_S
from tests.conftest import leave_out
from tests.e2e.live import Json, Live, ended, function, serving, shell, submit
from tests.ray.signals import until
from tests.receivers import Receiver, receiving_beside

pytestmark = pytest.mark.chaos

SOURCE = Path(__file__).with_name("shifted_clock.c")
MINUTE_S, DAY_S = 60, 86_400
# What a step may delay: a moment for loops to notice it, and what a busy machine takes.
SOON_S = 20.0
LEASE_S = 5.0

Clock = Callable[[int], None]


@pytest.fixture(scope="module")
def shift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file by whose content the clock of the server is ahead, in seconds."""
    if shutil.which("gcc") is None:
        leave_out("gcc is not installed")
    folder = tmp_path_factory.mktemp("clock")
    library, file = folder / "shifted_clock.so", folder / "shift"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", str(library), str(SOURCE)], check=True)
    file.write_bytes(struct.pack("q", 0))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("LD_PRELOAD", str(library))
        patched.setenv("SHIFTED_CLOCK", str(file))
        yield file


@pytest.fixture(scope="module")
def live(shift: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server with few seconds for whatever waits for a time."""
    with serving(tmp_path_factory.mktemp("steps") / "data", **SETTINGS) as live:
        yield live


SETTINGS: Json = {
    "lease_s": LEASE_S,
    "webhook_allow_http": "true",
    "webhook_allow_networks": "127.0.0.0/8",
    "rate_limit_workers": 1_000,
    "audit_reads": "all",
}


@pytest.fixture
def step(shift: Path) -> Iterator[Clock]:
    """Set the clock ahead by so many seconds, or back by a negative number."""

    def by(seconds: int) -> None:
        with shift.open("r+b") as file:
            (before,) = struct.unpack("q", file.read())
            file.seek(0)
            file.write(struct.pack("q", before + seconds))

    yield by
    by(-struct.unpack("q", shift.read_bytes())[0])


def server_time(client: httpx.Client) -> float:
    """Return what the server's clock shows, by a task that it creates."""
    (task,) = submit(client, {"title": "now", "type": "building"})
    created = client.get(f"/tasks/{task}").json()["created_at"]
    return time.mktime(time.strptime(created[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone


@pytest.mark.parametrize("by", [-MINUTE_S, -DAY_S, MINUTE_S, DAY_S])
def test_what_waits_goes_on(live: Live, step: Clock, by: int) -> None:
    """Retries, timeouts, leases, webhooks and sign-ins are neither late nor lost, whichever way the clock is
    set in their middle."""
    client = live.client()
    with receiving_beside() as receiver:
        hook = client.post("/webhooks", json={"url": receiver.url("/mode"), "events": ["task.completed"]})
        assert hook.status_code == 201, hook.text
        receiver.mode = "fail"
        retried, timed_out, running = submit(
            client,
            shell("exit 1", max_retries=1, retry_backoff_s=6.0),
            {**shell("sleep 600"), "timeout_s": 8.0},
            shell("sleep 6; echo done"),
        )
        (failing,) = submit(client, function("noop"))
        until(lambda: len(receiver.requests) >= 1, SOON_S)
        until(lambda: client.get(f"/tasks/{timed_out}").json()["status"] == "running", SOON_S)
        before = server_time(client)
        began = time.monotonic()
        step(by)
        failed, receiver.mode = len(receiver.requests), "ok"
        if by < DAY_S:
            assert client.get("/tasks").status_code == 200
        # The ends of sessions follow the wall clock.
        client = live.client()
        assert abs(server_time(client) - before - by) < SOON_S
        assert ended(client, running, SOON_S)["status"] == "completed"
        assert ended(client, timed_out, SOON_S)["status"] == "failed"
        assert ended(client, retried, SOON_S)["status"] == "failed"
        (after,) = submit(client, function("noop"))
        assert ended(client, after, SOON_S)["status"] == "completed"
        until(lambda: told(receiver, failed) >= {failing, running, after}, SOON_S)
        assert time.monotonic() - began < 3 * SOON_S
        client.delete(f"/webhooks/{hook.json()['id']}")
    check_times(client, before)


@pytest.mark.parametrize("by", [-DAY_S, DAY_S])
def test_what_waits_goes_on_after_a_start(shift: Path, step: Clock, tmp_path: Path, by: int) -> None:
    """The clock is set while no server runs."""
    with receiving_beside() as receiver:
        receiver.mode = "fail"
        with serving(tmp_path / "data", **SETTINGS) as first:
            client = first.client()
            hook = {"url": receiver.url("/mode"), "events": ["task.completed"]}
            assert client.post("/webhooks", json=hook).status_code == 201
            retried, done = submit(
                client, shell("exit 1", max_retries=1, retry_backoff_s=10.0), function("noop")
            )
            until(lambda: len(receiver.requests) >= 1, SOON_S)
            until(lambda: client.get(f"/tasks/{retried}").json()["status"] == "pending", SOON_S)
        step(by)
        failed, receiver.mode = len(receiver.requests), "ok"
        with serving(tmp_path / "data", **SETTINGS) as second:
            client = second.client()
            assert ended(client, retried, SOON_S)["status"] == "failed"
            # The clock of webhooks goes on from where it was noted last.
            until(lambda: done in told(receiver, failed), NOTED_EVERY_S + SOON_S)
            (after,) = submit(client, function("noop"))
            assert ended(client, after, SOON_S)["status"] == "completed"


def check_times(client: httpx.Client, before: float) -> None:
    """The node is still there, and what was done is found by its time, also where times go backwards."""
    nodes = client.get("/harmony/nodes")
    assert [node["status"] for node in nodes.json()["nodes"]] == ["active"], nodes.text
    now = server_time(client)
    (task,) = submit(client, function("noop"))

    def found(since: float, until: float) -> bool:
        span = {"start_time": moment(since), "end_time": moment(until), "limit": 100}
        answer = client.get("/aurora/audit", params=span)
        assert answer.status_code == 200, answer.text
        logs = answer.json()["logs"]
        assert all(moment(since) <= log["timestamp"] < moment(until) for log in logs)
        return task in json.dumps(logs)

    until(lambda: found(now - MINUTE_S, now + MINUTE_S), SOON_S)
    assert found(min(before, now) - MINUTE_S, max(before, now) + MINUTE_S)
    for since in (before, now - MINUTE_S):
        if since < now:
            span = {"since": moment(since), "step": 10 if now - since < DAY_S / 2 else 3600}
            system = client.get("/aurora/monitoring/system", params=span)
            assert system.status_code == 200, system.text


def moment(epoch_s: float) -> str:
    """Return a time as the API takes it."""
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def told(receiver: Receiver, failed: int) -> set[str]:
    """Return the tasks of which a receiver was told, but for its first requests."""
    return {json.loads(each.body)["data"]["task_id"] for each in receiver.requests[failed:]}
