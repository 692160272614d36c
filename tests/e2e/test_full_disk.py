"""A disk that is full, has no inodes, or is read-only under one running server, or has another journal: reads
go on, writes are 503 with the reason within a second, and all is as before when it is mended, with nothing
restarted by hand. `make chaos` has it last STORE_AWAY_S seconds under webhooks."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import ADMIN_PASSWORD, leave_out
from tests.e2e.live import HISTORIAN, MASTER, Live, ended, serving, shell, submit
from tests.own_time import OwnTime
from tests.ray.signals import until
from tests.receivers import Received, receiving_beside

SIZE_MB, RESERVE_BYTES, INODES = 160, 32 << 20, 4000
REFUSED_S_MAX = 1.0
SAID = "waiting for master: the disk of the data directory is full"
STORE_AWAY_S = float(os.environ.get("STORE_AWAY_S", "60"))
# Receivers of webhooks on this machine.
RECEIVERS = {"webhook_allow_http": "true", "webhook_allow_networks": "127.0.0.0/8"}
TASK = {"title": "t", "type": "planning", "priority": "high"}


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory, require: Callable[[str], str]) -> Iterator[Path]:
    """Mount a small file system for the module; that takes root, which CI has."""
    mount, umount = require("mount"), require("umount")
    folder = tmp_path_factory.mktemp("disk")
    options = f"size={SIZE_MB}m,nr_inodes={INODES},mode=0700"
    mounted = subprocess.run(
        [mount, "-t", "tmpfs", "-o", options, "helix-test", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        leave_out(f"cannot mount: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run([umount, "-l", str(folder)], check=True)


@pytest.fixture(scope="module")
def live(disk: Path) -> Iterator[Live]:
    """Serve from it, with finished tasks leaving memory at once; the first start finds
    less room than its reserve."""
    filler = disk / "filler"
    filler.write_bytes(b"\0" * ((SIZE_MB << 20) - RESERVE_BYTES // 2))
    room = threading.Thread(target=_make_room, args=(disk / "data.stderr", filler), daemon=True)
    room.start()
    with serving(disk / "data", disk_reserve_bytes=RESERVE_BYTES, retention_s=0, **RECEIVERS) as server:
        room.join()
        yield server


def _make_room(stderr: Path, filler: Path) -> None:
    """Wait until the server says what its start waits for; then make room."""
    with contextlib.suppress(AssertionError):  # the start fails the test, with all that it said
        until(lambda: stderr.exists() and SAID in stderr.read_text(), 60.0)
    filler.unlink()


@contextlib.contextmanager
def full(disk: Path) -> Iterator[None]:
    """Fill every byte."""
    filler = disk / "filler"
    try:
        with contextlib.suppress(OSError), filler.open("wb") as file:
            while True:
                file.write(b"\0" * (1 << 16))
                file.flush()
        yield
    finally:
        filler.unlink()


@contextlib.contextmanager
def no_inodes(disk: Path) -> Iterator[None]:
    """Use every inode up."""
    folder = disk / "many"
    folder.mkdir()
    made: list[Path] = []
    try:
        with contextlib.suppress(OSError):
            for number in range(2 * INODES):
                path = folder / str(number)
                path.touch()
                made.append(path)
        yield
    finally:
        for path in made:
            path.unlink()
        folder.rmdir()


@contextlib.contextmanager
def read_only(disk: Path) -> Iterator[None]:
    """Lay the folder over itself, read-only; what is open already stays open, as after
    an error of the real disk."""
    data = str(disk / "data")
    subprocess.run(["mount", "--bind", data, data], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", data], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", data], check=True)


@contextlib.contextmanager
def journal_replaced(disk: Path) -> Iterator[None]:
    """Rename the files of the journal, and put copies of them in their place."""
    names = ("journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm")
    for name in names:
        (disk / "data" / name).rename(disk / name)
        shutil.copy(disk / name, disk / "data" / name)
    yield
    for name in names:
        (disk / name).rename(disk / "data" / name)


@contextlib.contextmanager
def journal_cut(disk: Path) -> Iterator[None]:
    """Empty the log, as programs that clean up logs do, and put its bytes back into the same file."""
    path = disk / "data" / "journal.sqlite-wal"
    whole = path.read_bytes()
    os.truncate(path, 0)
    yield
    with path.open("r+b") as file:
        file.write(whole)


STATES = {
    "disk_full": full,
    "no_inodes": no_inodes,
    "read_only": read_only,
    "journal_replaced": journal_replaced,
    "journal_cut": journal_cut,
}


def ready(live: Live) -> httpx.Response:
    """Ask whether it is ready."""
    return httpx.get(f"{live.url}/readyz", timeout=30)


def hindered(live: Live) -> float:
    """Return what /metrics says of it."""
    text = httpx.get(f"{live.url}/metrics", timeout=30).text
    families = text_string_to_metric_families(text)
    return next(each.samples[0].value for each in families if each.name == "helix_journal_hindered")


def check_reads(client: httpx.Client, task_id: str) -> None:
    """Check that everything that only reads is answered."""
    for path in (
        f"/tasks/{task_id}",
        "/tasks",
        f"/tasks/{task_id}/logs",
        f"/tasks/{task_id}/result",
        "/workers",
    ):
        answer = client.get(path)
        assert answer.status_code == 200, (path, answer.text)


def check_refused(client: httpx.Client, reason: str, key: str) -> None:
    """Check that a write is refused in time, with the reason; the first may meet a look
    at the disk from before."""
    with OwnTime() as own_time:
        answer = client.post("/tasks", json=TASK, headers={"Idempotency-Key": key})
    assert answer.status_code == 503, answer.text
    assert answer.json()["error"]["details"]["reason"] == reason
    assert int(answer.headers["retry-after"]) >= 1
    assert own_time.seconds < REFUSED_S_MAX


def check_login(live: Live, *, goes_on: bool) -> None:
    """Check that somebody can still log in, or hears why not: a session that cannot be recorded is none."""
    body = {"username": "admin", "password": ADMIN_PASSWORD}
    answer = live.anonymous().post("/auth/login", json=body)
    assert answer.status_code == (200 if goes_on else 503), answer.text


def test_a_start_waits_for_room_and_says_so(live: Live, disk: Path) -> None:
    """With less room than the reserve, `helix up` names the master and the disk, and is
    ready when there is room."""
    assert (disk / "data.stderr").read_text().count(SAID) == 1
    assert ready(live).status_code == 200


@pytest.mark.parametrize("reason", STATES)
def test_reads_go_on_and_writes_wait(live: Live, disk: Path, reason: str) -> None:
    """From trouble to trouble: reads, refusals, /readyz; then all is as before, and what
    ran meanwhile has ended."""
    client = live.client()
    (done,) = submit(client, shell("echo before"))
    assert ended(client, done)
    (running,) = submit(client, shell("sleep 4"))
    until(lambda: client.get(f"/tasks/{running}").json()["status"] == "running")
    before = client.get("/tasks").json()["total"]
    with STATES[reason](disk):
        for number in range(3):
            check_refused(client, reason, f"{reason}-{number}")
        check_reads(client, done)
        check_login(live, goes_on=reason in ("disk_full", "no_inodes"))
        until(lambda: ready(live).status_code == 503)
        assert hindered(live) == 1.0
        assert client.get("/tasks").json()["total"] == before
    until(lambda: ready(live).status_code == 200)
    assert hindered(live) == 0.0
    answer = client.post("/tasks", json=TASK, headers={"Idempotency-Key": f"{reason}-0"})
    assert answer.status_code == 201, answer.text
    again = client.post("/tasks", json=TASK, headers={"Idempotency-Key": f"{reason}-0"})
    assert again.json()["id"] == answer.json()["id"]
    assert client.get("/tasks").json()["total"] == before + 1
    assert ended(client, running)
    assert client.get(f"/tasks/{running}").json()["status"] == "completed"


@pytest.mark.parametrize("reason", ["disk_full", "read_only"])
def test_what_comes_up_meanwhile_reads(live: Live, disk: Path, reason: str) -> None:
    """Killed while nothing can be written, the master and the history serve what they can read, and open
    their files whole afterwards."""
    client = live.client()
    (done,) = submit(client, shell("echo before"))
    assert ended(client, done)
    with STATES[reason](disk):
        killed = {title: live.kill(title) for title in (MASTER, HISTORIAN)}
        for title, pid in killed.items():
            live.pid(title, other_than=pid)
        # Callers wait for a master; the history says that it is starting.
        until(lambda: client.get(f"/tasks/{done}").status_code == 200)
        check_reads(client, done)
        check_refused(client, reason, f"meanwhile-{reason}")
    until(lambda: client.post("/tasks", json=TASK).status_code == 201)
    (after,) = submit(client, shell("echo after"))
    assert ended(client, after)


@pytest.mark.chaos
@pytest.mark.parametrize("reason", ["disk_full", "read_only"])
def test_webhooks_outlast_a_store_that_is_away(live: Live, disk: Path, reason: str) -> None:
    """Neither the journal nor the outbox can be written for a minute, from the middle of a crowd of messages
    on: afterwards what was acknowledged has arrived, nothing else, numbered in the order of the events."""
    client = live.client()
    with receiving_beside() as receiver:
        body = {"url": receiver.url("/ok"), "events": ["task.created"], "secret": "your-webhook-secret"}
        made = client.post("/webhooks", json=body)
        assert made.status_code == 201, made.text
        ids = submit(client, *[TASK] * 20)
        until(lambda: len(receiver.of("/ok")) >= 20, 60.0)
        ids += submit(client, *[TASK] * 500)
        refused = 0
        with STATES[reason](disk):
            back_at = time.monotonic() + STORE_AWAY_S

            def is_over() -> bool:
                nonlocal refused
                answer = client.post("/tasks", json=TASK)
                if answer.status_code == 201:
                    ids.append(answer.json()["id"])
                refused += answer.status_code == 503
                return time.monotonic() >= back_at

            until(is_over, STORE_AWAY_S + 30.0)
        assert refused > 0
        until(lambda: ready(live).status_code == 200)
        ids += submit(client, *[TASK] * 50)
        until(lambda: {told(each) for each in receiver.of("/ok")} >= set(ids), 120.0)
        client.delete(f"/webhooks/{made.json()['id']}")
        got = receiver.of("/ok")
    tasks = {int(each.headers["helix-number"]): told(each) for each in got}
    assert [tasks[number] for number in sorted(tasks)] == ids
    assert [*sorted(tasks)] == [*range(1, len(ids) + 1)]
    assert len({each.headers["webhook-id"] for each in got}) == len(ids)


def told(request: Received) -> str:
    """Return the task that a message is about."""
    return str(json.loads(request.body)["data"]["task_id"])
