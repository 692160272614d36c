"""A running API whose tasks leave memory when a test says so, and the stories that a
task may have had before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson

from helix_ray.cluster.api import Cluster
from helix_ray.config import Settings
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.lifecycle import TERMINAL
from helix_ray.core.orders import (
    ArchiveTasks,
    AttemptReport,
    CancelTask,
    Heartbeat,
    RegisterWorker,
    ReportAttempts,
    RetryTask,
    StartAttempts,
    SubmitTasks,
    UpdateTask,
)
from helix_ray.plane.control import Plane
from helix_ray.testing import ManualClock, MemoryControlPlane, memory_plane
from helix_ray.views.history import History
from tests.http.actors_here import Links, Ways
from tests.http.api_server import PASSWORD, Api, serving_api

NODE, EXTERNAL = "worker-node1", "worker_bot"

RUN = {"kind": "function", "function": "helix_ray.samples:add", "args": [1, 2]}

FAILED = {"reason": "exit", "type": "ValueError", "message": "no ink"}


@dataclass
class World:
    """A running API on a plane whose history follows when it is told to."""

    api: Api
    plane: MemoryControlPlane
    history: History
    cluster: Cluster
    bot: Principal
    clients: dict[str, httpx.Client] = field(default_factory=dict)
    made: int = 0

    def archive(self) -> None:
        """Let everything that has ended leave memory."""
        while facts := self.plane.engine.facts(self.history.cursor, 1000).facts:
            self.history.ingest(facts)
        self.plane.give(ArchiveTasks(self.history.cursor, 1e12))
        assert not self.plane.engine.state.finished
        while facts := self.plane.engine.facts(self.history.cursor, 1000).facts:
            self.history.ingest(facts)

    def clear(self) -> None:
        """End what an earlier test has left unfinished, which the worker would be given first."""
        state = self.plane.engine.state
        for task_id in [i for i, task in state.tasks.items() if "shard" not in task.spec]:
            if state.tasks[task_id].status not in TERMINAL:
                self.plane.give(CancelTask(task_id))
        self.archive()

    def submit(self, by: Principal = SYSTEM, **fields: Any) -> str:
        """Submit a task in a project of its own."""
        self.made += 1
        spec = {"title": "twin", "type": "testing", "project_id": f"p-{self.made}.", **fields}
        receipt = self.plane.give(SubmitTasks((spec,)), by)
        assert not receipt.data["rejected"], receipt.data
        return f"task-{receipt.data['seed']}"

    def report(self, task_id: str, outcome: str, **more: Any) -> None:
        """Have the node report on the first attempt of a task."""
        if self.plane.engine.state.tasks[task_id].worker is None:
            self.plane.give(StartAttempts(((task_id, NODE),)))
        item = AttemptReport(task_id, 1, outcome, **more)
        answer = self.plane.give(ReportAttempts(NODE, "boot", (item,)))
        assert self.plane.engine.state.tasks[task_id].attempt == 1, answer


@contextmanager
def serving_world(folder: Path) -> Iterator[World]:
    """Serve the API; its history is in the folder."""
    settings = Settings()
    plane = memory_plane(settings, PASSWORD, ManualClock())
    plane.give(
        RegisterWorker("node1", (), {"cpu": 64.0}, worker_id=NODE, kind="node", node_id="n1", boot="boot")
    )
    history = History(folder / "history.duckdb")
    links = Links(Ways(), plane, history)
    with serving_api(settings, plane=plane, control=Plane(links)) as api:
        clients = {"admin": api.client(), "bot": api.add("bot", "worker"), "ann": api.add("ann", "developer")}
        bot_id = clients["bot"].get("/auth/me").json()["id"]
        bot = Principal(bot_id, "bot", ("worker",))
        plane.give(RegisterWorker("box", ("design",), {}, worker_id=EXTERNAL), bot)
        cluster = Cluster(Plane(Links(Ways(), plane, history)))
        yield World(api, plane, history, cluster, bot, clients)
        cluster.close()
    history.close()


def completed(world: World) -> str:
    task_id = world.submit(run=RUN, description="d", labels={"a": "b"}, max_retries=2)
    world.report(task_id, "progressed", progress=40.0, note="half")
    world.report(task_id, "completed", result={"success": True, "value": 3}, duration_s=1.0)
    return task_id


def stored(world: World) -> str:
    """Its result stayed on its node."""
    task_id = world.submit(run=RUN)
    kept = {"success": True, "stored": "object_store", "bytes": 1_000_000}
    world.report(task_id, "completed", result=kept)
    return task_id


def failed(world: World) -> str:
    task_id = world.submit(run=RUN, resources={"cpu": 2.0})
    world.report(task_id, "failed", error=FAILED, result={"exit_code": 1}, retryable=False)
    return task_id


def cancelled(world: World) -> str:
    task_id = world.submit(run=RUN, priority="high")
    world.plane.give(CancelTask(task_id))
    return task_id


def external(world: World) -> str:
    """A worker outside has failed it, after it had given it back once."""
    task_id = world.submit(type="design")
    for status, error in (("pending", None), ("failed", FAILED)):
        world.plane.give(Heartbeat(EXTERNAL, "idle"), world.bot)
        world.plane.give(UpdateTask(task_id, status, error=error), world.bot)
    return task_id


def external_again(world: World) -> str:
    """It was retried while it was in memory, and cancelled: the worker's first leases are remembered."""
    task_id = external(world)
    world.plane.give(RetryTask(task_id))
    world.plane.give(CancelTask(task_id))
    return task_id


def sharded(world: World) -> str:
    """One shard is completed, one has failed, one was cancelled with it."""
    task_id = world.submit(run=RUN, shards={"count": 3})
    world.report(f"{task_id}-s1", "completed", result={"success": True, "value": 1})
    world.report(f"{task_id}-s0", "failed", error=FAILED, retryable=False)
    return task_id


def all_shards(world: World) -> str:
    task_id = world.submit(run=RUN, shards={"count": 2, "gang": True})
    for index in range(2):
        world.report(f"{task_id}-s{index}", "completed", result={"success": True, "value": index})
    return task_id


def dependant(world: World) -> str:
    """It failed because of another."""
    first = world.submit(run=RUN, title="first")
    task_id = world.submit(run=RUN, depends_on=[first], project_id=f"p-{world.made}.")
    world.report(first, "failed", error=FAILED, retryable=False)
    return task_id


STORIES = (completed, stored, failed, cancelled, external, external_again, sharded, all_shards, dependant)


def ids_of(world: World, task_id: str) -> list[tuple[str, str]]:
    """Return the texts by which a task differs from its twin, the longest first."""
    view = world.cluster.handle(task_id).view()
    first = view.get("depends_on") or []
    return [(view["project_id"], "PROJECT"), (task_id, "TASK"), *((name, "FIRST") for name in first)]


def told(value: Any, names: list[tuple[str, str]]) -> str:
    """Return an answer as text without what differs between twins."""
    text = (
        value
        if isinstance(value, str)
        else orjson.dumps(value, option=orjson.OPT_SORT_KEYS, default=str).decode()
    )
    for name, placeholder in names:
        text = text.replace(name, placeholder)
    return text


def compared(world: World, story: Callable[[World], str], ask: Callable[[str, str], Any]) -> None:
    """Ask about one twin in memory and about the other in the history; `ask` has the
    task's id and its project."""
    told_of: list[str] = []
    for archived in (False, True):
        world.clear()
        task_id = story(world)
        names = ids_of(world, task_id)
        if archived:
            world.archive()
            assert task_id not in world.plane.engine.state.tasks
        told_of.append(told(ask(task_id, names[0][0]), names))
    assert told_of[1] == told_of[0]
