"""The client: one method for each call. Tasks, workers and users are the dicts of docs/api.md."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

import httpx

from helix_ray.client.acceleration import AccelerationCalls
from helix_ray.client.api_tokens import TokenCalls
from helix_ray.client.datasets import DatasetCalls
from helix_ray.client.erasures import ErasureCalls
from helix_ray.client.errors import NotFound, NotSignedIn
from helix_ray.client.events import EventCalls
from helix_ray.client.logs import LogCalls
from helix_ray.client.models import ModelCalls
from helix_ray.client.monitoring import MonitoringCalls
from helix_ray.client.nodes import NodeCalls
from helix_ray.client.placement import PlacementCalls
from helix_ray.client.projects import ProjectCalls
from helix_ray.client.quotas import QuotaCalls
from helix_ray.client.session import ClientSession
from helix_ray.client.synced import SyncedDeviceCalls
from helix_ray.client.tokens import MemoryTokens, SessionTokens, TokenStore
from helix_ray.client.transport import Answered, Request, Retries, Timeouts, Transport
from helix_ray.client.users import UserCalls
from helix_ray.client.waiting import wait_for_tasks
from helix_ray.client.webhooks import WebhookCalls

if TYPE_CHECKING:
    from helix_ray.wire.task_answers import (
        ResultOut,
        TaskCreated,
        TaskLine,
        TaskOut,
        TaskPage,
        TaskRefused,
        TaskRetried,
        TaskUpdated,
    )
    from helix_ray.wire.users import UserBrief, UserOut
    from helix_ray.wire.workers import DrainOut, WorkerOut

    # Aliases, because the class below has a method called list.
    Submitted = list[TaskCreated | TaskRefused]
    Workers = list[WorkerOut]

API = "/api/v1"
DEFAULT_URL = "http://127.0.0.1:8080"
PAGE_TASKS_MAX = 1000
BATCH_TASKS_MAX = 10_000
TASK_TYPE = "building"


class Client(
    LogCalls, NodeCalls, AccelerationCalls, MonitoringCalls, PlacementCalls, QuotaCalls,
    ProjectCalls, UserCalls, TokenCalls, ErasureCalls, ModelCalls, DatasetCalls, EventCalls,
    SyncedDeviceCalls,
    WebhookCalls,
):  # fmt: skip
    """A client of one Helix Ray server; safe to share between threads; close it, or use it with `with`.

    Every method raises HelixError (helix_ray/client/errors.py draws the tree). `verify` is True, or the path
    of a file with CA certificates to trust; `cert` are the paths of a client certificate and its key.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        store: TokenStore | None = None,
        timeouts: Timeouts | None = None,
        retries: Retries | None = None,
        verify: bool | str = True,
        cert: tuple[str, str] | None = None,
        http: httpx.Client | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        root = self.url if self.url.endswith(API) else self.url + API
        self._transport = Transport(root, timeouts, retries, http, verify=verify, cert=cert)
        self._session = ClientSession(
            self._transport, store or MemoryTokens(SessionTokens(token) if token else None)
        )
        self._call = self._session.call

    @classmethod
    def from_environment(cls, **options: Any) -> Client:
        """Return a client for programs, from HELIX_URL (default http://127.0.0.1:8080) and HELIX_TOKEN.

        Raises NotSignedIn when there is no token in the environment.
        """
        token = os.environ.get("HELIX_TOKEN")
        if not token:
            raise NotSignedIn(
                "UNAUTHORIZED", "HELIX_TOKEN is not set; make one with: helix token create NAME"
            )
        return cls(os.environ.get("HELIX_URL") or DEFAULT_URL, token, **options)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; safe to call twice."""
        self._transport.close()

    @property
    def answered(self) -> Answered | None:
        """Which call was answered last; None before the first answer."""
        return self._transport.answered

    # ------------------------------------------------------------------------------------ the session

    def login(self, username: str, password: str) -> UserBrief:
        """Open a session and use it for all calls; returns the user. Its token is
        refreshed before it expires."""
        return self._session.login(username, password)["user"]

    def logout(self) -> None:
        """End the session."""
        self._session.logout()

    def whoami(self) -> UserOut:
        """Return the user who is logged in."""
        answer: UserOut = self._call("GET", "/auth/me")
        return answer

    def change_password(self, current: str, new: str) -> None:
        """Change one's own password; all other sessions of the user end."""
        self._call("PUT", "/auth/password", {"current_password": current, "new_password": new})

    def full_id(self, kind: str, text: str) -> str:
        """Return the one id that begins with a text; the text itself where none does.

        `kind` is task, worker, node, project, model, user, token, device or erasure.
        Methods that take one id do that by themselves. Raises NotFound with `matches` where several begin so.
        """
        return self._session.full_id(kind, text)

    def full_ids(self, kind: str, texts: Iterable[str]) -> list[str]:
        """Return `full_id` of each text, before anything is done with any of them."""
        return [self.full_id(kind, text) for text in texts]

    # ------------------------------------------------------------------------------------------ tasks

    def submit(
        self,
        title: str,
        *,
        type: str = TASK_TYPE,
        run: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        **fields: Any,
    ) -> TaskCreated:
        """Submit a task; `run` comes from helix_ray.client.runs, `fields` are the other fields of a task."""
        body = {"title": title, "type": type, **{k: v for k, v in fields.items() if v is not None}}
        if run is not None:
            body["run"] = run
        task: TaskCreated = self._session.send(
            Request("POST", "/tasks", body=body, idempotency_key=idempotency_key)
        ).data
        return task

    def submit_batch(
        self, tasks: Iterable[Mapping[str, Any]], *, idempotency_key: str | None = None
    ) -> Submitted:
        """Submit many tasks; returns the task or `{"error": {...}}` for each, in order.

        More than BATCH_TASKS_MAX are sent in several requests; `#3` in depends_on means
        number 3 of its request.
        """
        every = [*tasks]
        answers: Submitted = []
        for start in range(0, len(every), BATCH_TASKS_MAX):
            key = f"{idempotency_key}.{start}" if idempotency_key and start else idempotency_key
            body = {"tasks": every[start : start + BATCH_TASKS_MAX]}
            request = Request("POST", "/tasks/batch", body=body, idempotency_key=key)
            answers.extend(self._session.send(request).data["tasks"])
        return answers

    def get(self, task_id: str) -> TaskOut:
        """Return one task."""
        task: TaskOut = self._call("GET", f"/tasks/{task_id}")
        return task

    def page(self, *, limit: int = 50, offset: int = 0, **filters: Any) -> TaskPage:
        """Return one page of tasks, newest first: `tasks`, `total`, `limit`, `offset`.

        Filters: status, priority, type, project_id, assigned_worker, id_prefix, created_since, created_until.
        """
        page: TaskPage = self._call("GET", "/tasks", limit=limit, offset=offset, **filters)
        return page

    def list(self, *, page_tasks: int = PAGE_TASKS_MAX, **filters: Any) -> Iterator[TaskLine]:
        """Iterate over all tasks that match the filters, newest first, a page at a time.

        Tasks submitted meanwhile shift the pages; no task is returned twice.
        """
        offset, seen = 0, set[str]()
        while True:
            tasks = self.page(limit=page_tasks, offset=offset, **filters)["tasks"]
            for task in tasks:
                if task["id"] not in seen:
                    seen.add(task["id"])
                    yield task
            offset += len(tasks)
            if len(tasks) < page_tasks:
                return

    def update(self, task_id: str, **changes: Any) -> TaskUpdated:
        """Change a task: status, progress, result, error, or fields such as title and priority."""
        task: TaskUpdated = self._call("PUT", f"/tasks/{task_id}", changes)
        return task

    def cancel(self, task_id: str) -> TaskUpdated:
        """Cancel an unfinished task."""
        task: TaskUpdated = self._call("POST", f"/tasks/{task_id}/cancel")
        return task

    def retry(self, task_id: str, *, dependants: bool = False) -> TaskRetried:
        """Queue a failed or cancelled task again; with `dependants` also the tasks that failed because of it.

        The answer then has `queued` (ids, the nearest first) and `not_queued` (`{"id", "error"}` each).
        """
        body = {"dependants": True} if dependants else None
        task: TaskRetried = self._call("POST", f"/tasks/{task_id}/retry", body)
        return task

    def delete(self, task_id: str) -> None:
        """Delete a task; a running attempt is ended."""
        try:
            self._call("DELETE", f"/tasks/{task_id}")
        except NotFound as error:
            # An earlier try may have deleted it, though its response was lost.
            if error.attempts == 1:
                raise

    def result(self, task_id: str) -> ResultOut:
        """Return a finished task's `status`, `result` and `error`; raises Conflict while it is unfinished."""
        result: ResultOut = self._call("GET", f"/tasks/{task_id}/result")
        return result

    def wait(self, task_ids: str | Iterable[str], timeout_s: float | None = None) -> dict[str, TaskLine]:
        """Wait until all of the tasks have ended and return them by id; raises WaitTimeout, NotFound."""
        ids = [task_ids] if isinstance(task_ids, str) else [*task_ids]
        return dict(wait_for_tasks(self, ids, timeout_s))

    def as_completed(self, task_ids: Iterable[str], timeout_s: float | None = None) -> Iterator[TaskLine]:
        """Yield each task as it ends; raises WaitTimeout, NotFound."""
        for _, task in wait_for_tasks(self, [*task_ids], timeout_s):
            yield task

    # --------------------------------------------------------------------------------------- workers

    def workers(self) -> Workers:
        """Return all workers."""
        workers: Workers = self._call("GET", "/workers")["workers"]
        return workers

    def worker(self, worker_id: str) -> WorkerOut:
        """Return one worker."""
        worker: WorkerOut = self._call("GET", f"/workers/{worker_id}")
        return worker

    def remove_worker(self, worker_id: str) -> None:
        """Remove a worker; raises Conflict for a live node that is not drained."""
        try:
            self._call("DELETE", f"/workers/{worker_id}")
        except NotFound as error:
            # An earlier try may have removed it, though its response was lost.
            if error.attempts == 1:
                raise

    def drain(self, worker_id: str, draining: bool = True) -> DrainOut:
        """Drain a worker, or undrain it."""
        worker: DrainOut = self._call("POST", f"/workers/{worker_id}/drain", {"draining": draining})
        return worker
