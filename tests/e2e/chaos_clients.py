"""Clients of a chaos run: each writes and reads in a thread of its own and records what
it saw (chaos_history.py)."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.e2e.chaos_history import DELETED, History, Kind, Operation, Outcome
from tests.e2e.live import Json, Live, function

# A client sends a request again until it is answered, for as long as a restart of everything takes.
RESEND_S_MAX = 60.0
RESEND_EVERY_S = 0.1
BATCH_TASKS = 10
EXTERNAL_TYPE = "design"
LEASE_S = 2
# Every so many tasks a worker reports after its lease has ended.
LATE_EVERY = 7


Rounds = Callable[["Client", int], None]


@dataclass
class Client:
    """A connection that records; it sends what was not answered again, with the same key."""

    http: httpx.Client
    history: History
    stop: threading.Event
    unanswered: int = 0
    failure: BaseException | None = None
    # Ids of this client's tasks by title.
    ids: dict[str, str] = field(default_factory=dict)

    def send(
        self, kind: Kind, title: str, method: str, path: str, body: object = None, value: str = ""
    ) -> Json:
        """Send one operation until it is answered, and record each try; return the
        answer ({} for a refusal)."""
        headers = {"Idempotency-Key": f"{title}-{kind}"} if method == "POST" else {}
        give_up = time.monotonic() + RESEND_S_MAX
        while True:
            began = time.monotonic()
            status, answer = self._try(method, path, body, headers)
            outcome = _outcome(kind, status, again=self._asked_before(kind, title))
            said = value or _value(kind, status, answer)
            self.history.add(Operation(kind, title, began, time.monotonic(), outcome, said))
            if outcome != "unknown":
                return answer if outcome == "done" else {}
            self.unanswered += 1
            assert time.monotonic() < give_up, f"{method} {path} is not answered: {status} {answer}"
            threading.Event().wait(RESEND_EVERY_S)

    def _try(self, method: str, path: str, body: object, headers: dict[str, str]) -> tuple[int, Any]:
        try:
            answer = self.http.request(method, path, json=body, headers=headers)
        except httpx.TransportError:
            return 0, None
        return answer.status_code, answer.json() if answer.content else None

    def _asked_before(self, kind: Kind, title: str) -> bool:
        return kind == "delete" and any(
            o.kind == kind and o.task == title and o.outcome == "unknown"
            for o in self.history.operations[-50:]
        )

    def ask(self, method: str, path: str, body: object = None, key: str | None = None) -> Json:
        """Send what is not recorded until it is answered; {} for a 404."""
        give_up = time.monotonic() + RESEND_S_MAX
        while True:
            status, answer = self._try(method, path, body, {"Idempotency-Key": key} if key else {})
            if status and status < 500:
                assert status < 300 or status == 404, f"{method} {path}: {status} {answer}"
                found: Json = answer if status < 300 else {}
                return found
            self.unanswered += 1
            assert time.monotonic() < give_up, f"{method} {path} is not answered: {status} {answer}"
            threading.Event().wait(RESEND_EVERY_S)

    def create(self, title: str, task: Json) -> str:
        """Create a task; return its id."""
        self.ids[title] = str(self.send("create", title, "POST", "/tasks", {**task, "title": title})["id"])
        return self.ids[title]

    def read(self, title: str) -> None:
        """Read a task."""
        self.send("read", title, "GET", f"/tasks/{self.ids[title]}")

    def run(self, rounds: Rounds) -> None:
        """Go round until told to stop; what goes wrong is kept for the test."""
        try:
            for number in itertools.count():
                if self.stop.is_set():
                    return
                rounds(self, number)
        except BaseException as error:
            self.failure = error


def _outcome(kind: Kind, status: int, *, again: bool) -> Outcome:
    if status == 0 or status >= 500:
        return "unknown"
    if status < 300 or (status == 404 and (kind == "read" or again)):
        return "done"
    assert status in (404, 409), status
    return "refused"


def _value(kind: Kind, status: int, answer: Any) -> str:
    if kind == "read" and status == 404:
        return DELETED
    if not isinstance(answer, dict):
        return ""
    return str(answer.get("id" if kind == "create" else "status", ""))


# ----------------------------------------------------------------------------------------------- what they do


def functions(name: str) -> Rounds:
    """Create function tasks, read them, and cancel or delete some while they wait, run or have ended."""

    def rounds(client: Client, number: int) -> None:
        titles = [f"{name}-{number}-{i}" for i in range(3)]
        for i, title in enumerate(titles):
            client.create(title, function("add", number, i))
            client.read(title)
        client.send("cancel", titles[1], "POST", f"/tasks/{client.ids[titles[1]]}/cancel", {})
        client.send("delete", titles[2], "DELETE", f"/tasks/{client.ids[titles[2]]}")
        for title in titles:
            client.read(title)
        if number:
            client.read(f"{name}-{number - 1}-0")

    return rounds


def batches(name: str) -> Rounds:
    """Create batches, and read some of what was created."""

    def rounds(client: Client, number: int) -> None:
        titles = [f"{name}-{number}-{i}" for i in range(BATCH_TASKS)]
        body = {"tasks": [{**function("echo", i), "title": title} for i, title in enumerate(titles)]}
        began = time.monotonic()
        entries = client.ask("POST", "/tasks/batch", body, key=f"{name}-{number}")["tasks"]
        for entry in entries:
            client.ids[entry["title"]] = entry["id"]
            made = Operation("create", entry["title"], began, time.monotonic(), "done", entry["id"])
            client.history.add(made)
        client.read(titles[number % BATCH_TASKS])

    return rounds


def leases(name: str) -> Rounds:
    """Create tasks for external workers, take what the heartbeat hands out, and
    report each end under a token."""
    worker = ExternalWorker(name)

    def rounds(client: Client, number: int) -> None:
        client.create(f"{name}-{number}", {"type": EXTERNAL_TYPE})
        late = number % LATE_EVERY == LATE_EVERY - 1
        worker.work(client, f"{name}-token-{number}", wait_s=2 * LEASE_S if late else 0.0)

    return rounds


@dataclass
class ExternalWorker:
    """A worker outside the cluster, with one task at a time."""

    name: str
    worker_id: str = ""

    def work(self, client: Client, token: str, wait_s: float = 0.0) -> bool:
        """Do the task that a heartbeat hands out, reporting it after `wait_s`; say whether there was one."""
        if not self.worker_id:
            body = {"hostname": self.name, "capabilities": [EXTERNAL_TYPE], "resources": {"cpu": 1}}
            self.worker_id = str(client.ask("POST", "/workers/register", body)["worker_id"])
        beat = {"worker_id": self.worker_id, "status": "idle", "current_task": None}
        given = client.ask("POST", "/workers/heartbeat", beat)
        if not given:
            self.worker_id = ""
        task = client.ask("GET", f"/tasks/{given['assigned_task']}") if given.get("assigned_task") else None
        if not task:
            return False
        if wait_s:
            client.stop.wait(wait_s)
        body = {"status": "completed", "progress": 100, "result": {"token": token}}
        fence = {"attempt": given["attempt"], "worker_id": self.worker_id}
        client.ids[task["title"]] = task["id"]
        client.send("report", task["title"], "PUT", f"/tasks/{task['id']}", body | fence, value=token)
        client.read(task["title"])
        return True


def crowd(live: Live, history: History, stop: threading.Event) -> list[tuple[Client, Rounds]]:
    """Return the clients of a run, and what each does."""
    kinds = [functions("f0"), functions("f1"), batches("b0"), leases("outside-0"), leases("outside-1")]
    return [(Client(live.client(), history, stop), rounds) for rounds in kinds]
