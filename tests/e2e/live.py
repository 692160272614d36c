"""A real `helix up` of a test's own: started with settings, spoken to over HTTP, its
processes found and killed."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import httpx
import orjson
import psutil

from helix_ray.core.codec import FIELDS, named
from helix_ray.journal.rows import SALT_BYTES
from tests.conftest import ADMIN_PASSWORD, REPLICAS, STOP_MAX_S
from tests.processes import command_line
from tests.ray.signals import until

PLENTY = 100_000_000
# These servers speak plain HTTP: clients need not load certificates.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
# A request that meets a dead master waits for the next one: Patience of helix_ray/plane/calls.py, 60 s.
REQUEST_S_MAX = 90.0
# Of administrators whose API other machines can reach, where one of the worst passwords is refused.
NETWORK_PASSWORD = "correct-horse-battery-staple"
UNLIMITED = {
    "rate_limit_authenticated": PLENTY,
    "rate_limit_unauthenticated": PLENTY,
    "rate_limit_workers": PLENTY,
    "rate_limit_streams": PLENTY,
    "login_limit_per_minute": PLENTY,
    "sign_in_failures_max": PLENTY,
}
MASTER, REPLICA = "ray::Master", "ray::ServeReplica"
HISTORIAN = "ray::Historian"
# It counts the rate limits, too.
SUPERVISOR = "ray::Supervisor"
EXECUTOR, NODE_WORKER = "ray::ExecutorActor", "ray::NodeWorker"
FINISHED = frozenset({"completed", "failed", "cancelled"})
PAGE_TASKS = 1000

Json = dict[str, Any]


OF_KIND = "FROM facts WHERE kind IN (SELECT id FROM kinds WHERE name = ?)"


@dataclass
class Live:
    """One running server."""

    process: subprocess.Popen[str]
    data_dir: Path
    url: str
    clients: list[httpx.Client] = field(default_factory=list)
    # The administrator's.
    password: str = ADMIN_PASSWORD

    def anonymous(self) -> httpx.Client:
        """Return a client without a token, with a connection of its own that is kept."""
        client = httpx.Client(base_url=f"{self.url}/api/v1", timeout=REQUEST_S_MAX, verify=NO_TLS)
        self.clients.append(client)
        return client

    def client(self, username: str = "admin", password: str | None = None) -> httpx.Client:
        """Return a client that has logged in."""
        client = self.anonymous()
        login = {"username": username, "password": password or self.password}
        answer = client.post("/auth/login", json=login)
        assert answer.status_code == 200, answer.text
        client.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        return client

    def pids(self, title: str) -> list[int]:
        """Return the processes below this server whose title begins so; Ray's are named
        ray::Class or ray::Class.method."""
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error, OSError):
                words = process.cmdline()  # empty for one that has just ended, so asked for once
                if words and words[0].startswith(title):
                    found.append(process.pid)
        return found

    def starters(self) -> list[int]:
        """Return the processes below this server that start commands."""
        below = psutil.Process(self.process.pid).children(recursive=True)
        return [process.pid for process in below if "starter/program.py" in command_line(process.pid)]

    def pid(self, title: str, *, other_than: int = 0) -> int:
        """Wait until there are as many such processes as there should be, without the one of
        before; return the first."""
        wanted = REPLICAS if title == REPLICA else 1
        found: list[int] = []

        def there() -> bool:
            found[:] = [pid for pid in self.pids(title) if pid != other_than]
            return len(found) == wanted

        until(there)
        return found[0]

    def kill(self, title: str) -> int:
        """Kill the one process of this title with SIGKILL; return its id."""
        pid = self.pid(title)
        os.kill(pid, signal.SIGKILL)
        return pid

    def facts(self, kind: str) -> Counter[str]:
        """Count the facts of a kind by what they are about, from the journal's file itself."""
        rows = self._journal(f"SELECT subject {OF_KIND}", kind)
        return Counter(subject for (subject,) in rows)

    def seqs(self, kind: str) -> dict[str, int]:
        """Return the places in the journal of the facts of a kind, by what they are about."""
        return dict(self._journal(f"SELECT subject, seq {OF_KIND}", kind))

    def bodies(self, kind: str) -> list[Json]:
        """Return what the facts of a kind say, oldest first."""
        rows = self._journal(f"SELECT subject, content {OF_KIND} ORDER BY seq", kind)
        return [named(FIELDS[kind], subject, orjson.loads(body[SALT_BYTES:])) for subject, body in rows]

    def snapshots(self) -> int:
        """Return how many snapshots the journal's file has."""
        return int(self._journal("SELECT count(*) FROM snapshots")[0][0])

    def _journal(self, statement: str, *values: str) -> list[tuple[Any, ...]]:
        uri = f"file:{self.data_dir}/journal.sqlite?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as con:
            return con.execute(statement, values).fetchall()


# Tests put what commands read and write where temporary files go.
OWN = {"api_replicas": REPLICAS, "isolation_writable": gettempdir()}


@contextlib.contextmanager
def serving(data_dir: Path, **settings: object) -> Iterator[Live]:
    """Run `helix up` with these settings (HELIX_* names in lower case) until the block ends."""
    given = {f"HELIX_{name.upper()}": str(value) for name, value in (UNLIMITED | OWN | settings).items()}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HELIX_", "RAY_"))}
    environment = {**kept, "HELIX_ADMIN_PASSWORD": ADMIN_PASSWORD, "HELIX_DATA_DIR": str(data_dir), **given}
    command = [sys.executable, "-m", "launcher.up", "--port", "0"]
    log = data_dir.with_name(f"{data_dir.name}.stderr")
    with log.open("a") as stderr:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True)
    with process:
        live = None
        try:
            assert process.stdout is not None
            # The pipe ends if `helix up` does; a start that hangs meets pytest's own timeout.
            ready = next((line for line in process.stdout if line.startswith("ready ")), None)
            assert ready is not None, log.read_text()[-4000:]
            live = Live(process, data_dir, ready.split()[1])
            yield live
        finally:
            for client in live.clients if live is not None else ():
                client.close()
            process.terminate()
            process.wait(timeout=STOP_MAX_S)


def function(name: str, *args: object, **fields: object) -> Json:
    """Return a task that calls a function of helix_ray.samples on a node."""
    run = {"kind": "function", "function": f"helix_ray.samples:{name}", "args": list(args)}
    return {"title": name, "type": "building", "run": run, **fields}


def shell(line: str, **fields: object) -> Json:
    """Return a task that runs a shell line on a node."""
    return {"title": "shell", "type": "building", "run": {"kind": "command", "shell": line}, **fields}


def submit(client: httpx.Client, *tasks: Json) -> list[str]:
    """Submit tasks, all of which must be taken; return their ids in order."""
    ids: list[str] = []
    for start in range(0, len(tasks), PAGE_TASKS):
        answer = client.post("/tasks/batch", json={"tasks": tasks[start : start + PAGE_TASKS]})
        assert answer.status_code == 201, answer.text
        ids += [task["id"] for task in answer.json()["tasks"]]
    return ids


def ended(client: httpx.Client, task_id: str, wait_s: float = 60.0) -> Json:
    """Wait until a task is finished; return it."""
    seen: Json = {}

    def over() -> bool:
        answer = client.get(f"/tasks/{task_id}")
        assert answer.status_code == 200, answer.text
        seen.update(answer.json())
        return seen["status"] in FINISHED

    until(over, wait_s)
    return seen


def count(client: httpx.Client, **filters: str | int) -> int:
    """Return how many tasks the filters leave."""
    answer = client.get("/tasks", params={**filters, "limit": 1})
    assert answer.status_code == 200, answer.text
    total: int = answer.json()["total"]
    return total


def listed(client: httpx.Client, page_tasks: int = PAGE_TASKS, **filters: str) -> list[Json]:
    """Return all tasks that the filters leave, page by page; to be asked while none are added."""
    tasks: list[Json] = []
    while True:
        page: dict[str, str | int] = {"limit": page_tasks, "offset": len(tasks), **filters}
        answer = client.get("/tasks", params=page)
        assert answer.status_code == 200, answer.text
        tasks += answer.json()["tasks"]
        if not answer.json()["tasks"]:
            assert answer.json()["total"] == len(tasks)
            return tasks


def error_of(answer: httpx.Response, status: int, code: str) -> Json:
    """Check an answer for the documented form of an error; return its details."""
    assert answer.status_code == status, f"{answer.status_code} {answer.text}"
    content = answer.json()
    assert content.keys() == {"error", "request_id"}
    assert content["error"]["code"] == code
    assert content["request_id"] == answer.headers["x-request-id"]
    assert int(answer.headers["x-ratelimit-limit"]) > 0
    details: Json = content["error"]["details"]
    return details


def add_user(admin: httpx.Client, username: str, *roles: str) -> str:
    """Add a user and return the password."""
    password = f"password of {username}"
    answer = admin.post("/users", json={"username": username, "password": password, "roles": list(roles)})
    assert answer.status_code == 201, answer.text
    return password
