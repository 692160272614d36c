"""Whoever knows does not respond: that is 503 with Retry-After over every verb, never
404, 400 or a shorter list.

The real plane, engine and history behind the real application; only the links to the actors are the test's,
so that each of them can be dead, hang, or be away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
import orjson
import pytest

from actors.archive import Archive
from helix_ray.config import Settings
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.errors import Refused
from helix_ray.core.inference_result import InferenceResult
from helix_ray.core.orders import (
    ArchiveTasks,
    AttemptReport,
    LoseWorker,
    RegisterWorker,
    ReportAttempts,
    StartAttempts,
    SubmitTasks,
)
from helix_ray.core.questions import GetTask, WaitTasks
from helix_ray.core.result_files import contents, referring
from helix_ray.plane.calls import AnswerTimeouts
from helix_ray.plane.control import Plane
from helix_ray.testing import MemoryControlPlane, memory_plane
from helix_ray.views.history import History
from helix_ray.wire.placement import ExplainOut
from tests.http.actors_here import Files, Links, Ways
from tests.http.api_server import PASSWORD, TASK, Api, error_of, serving_api
from tests.http.shapes import shaped

NODE = "worker-node1"
STORED = {"success": True, "stored": "object_store", "bytes": 1_000_000}
RUN = {"kind": "function", "function": "helix_ray.samples:add", "args": [1, 2]}


SHORT_S, LONG_S = 0.3, 20.0
PATIENCE = AnswerTimeouts(master_s=SHORT_S, master_answer_s_min=SHORT_S, actor_s=SHORT_S)


class Patience:
    """AnswerTimeouts that are short for actors that are away, and long for those that are well: a busy
    machine must not look like a silent actor."""

    def __init__(self, ways: Ways) -> None:
        self._ways = ways

    @property
    def master_s(self) -> float:
        return _patience(self._ways.master)

    @property
    def master_answer_s_min(self) -> float:
        return self.master_s

    @property
    def actor_s(self) -> float:
        return min(map(_patience, (self._ways.historian, self._ways.node, self._ways.files)))


def _patience(way: str) -> float:
    return LONG_S if way == "well" else SHORT_S


@dataclass
class World:
    """A running API whose actors can be made to fail, and tasks in every place where one can be."""

    api: Api
    ways: Ways
    plane: MemoryControlPlane
    history: History
    client: httpx.Client
    archived: str
    kept: str
    files: Files


def _run(plane: MemoryControlPlane, result: Any) -> str:
    task_id = _begin(plane)
    _end(plane, task_id, result)
    return task_id


def _begin(plane: MemoryControlPlane) -> str:
    receipt = plane.give(SubmitTasks(({**TASK, "run": RUN},)))
    task_id = f"task-{receipt.data['seed']}"
    plane.give(StartAttempts(((task_id, NODE),))) if not _worker_of(plane, task_id) else None
    return task_id


def _end(plane: MemoryControlPlane, task_id: str, result: Any) -> None:
    plane.give(ReportAttempts(NODE, "boot", (AttemptReport(task_id, 1, "completed", result),)))


def _worker_of(plane: MemoryControlPlane, task_id: str) -> Any:
    view = plane.ask(GetTask(task_id))
    assert isinstance(view, dict)
    return view["assigned_worker"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Serve it for the whole file, with short patience."""
    # The node sends no heartbeats, so its lease must outlast the file.
    settings = Settings(node_lease_s=3_600.0)
    plane = memory_plane(settings, PASSWORD)
    plane.give(
        RegisterWorker(
            "node1", ("testing",), {"cpu": 4.0}, worker_id=NODE, kind="node", node_id="n1", boot="boot"
        )
    )
    history = History(tmp_path_factory.mktemp("history") / "history.duckdb")
    archived = _run(plane, {"success": True, "value": 3})
    history.ingest(plane.engine.facts(0, 1000).facts)
    assert plane.give(ArchiveTasks(history.cursor, 1e12, 10)).data["archived"] == 1
    kept = _run(plane, STORED)
    history.ingest(plane.engine.facts(0, 1000).facts)
    ways = Ways()
    links = Links(ways, plane, history)
    control = Plane(links, patience=cast(AnswerTimeouts, Patience(ways)))
    with serving_api(settings, plane=plane, control=control) as api:
        yield World(api, ways, plane, history, api.client(), archived, kept, links.files)
    history.close()


@pytest.fixture(autouse=True)
def well_again(world: World) -> Iterator[None]:
    """Have every actor answer again after each test."""
    yield
    world.ways.master = world.ways.historian = world.ways.node = world.ways.files = "well"


Ask = Callable[[World], httpx.Response]
OF_THE_HISTORY: dict[str, tuple[Ask, int]] = {
    "get": (lambda w: w.client.get(f"/tasks/{w.archived}"), 200),
    "result": (lambda w: w.client.get(f"/tasks/{w.archived}/result"), 200),
    "result, waiting": (lambda w: w.client.get(f"/tasks/{w.archived}/result", params={"wait_s": 1}), 200),
    "list": (lambda w: w.client.get("/tasks"), 200),
    "list of nothing in memory": (lambda w: w.client.get("/tasks", params={"status": "failed"}), 200),
    "logs": (lambda w: w.client.get(f"/tasks/{w.archived}/logs"), 200),
    "explain": (lambda w: w.client.get(f"/tasks/{w.archived}/explain"), 200),
    "distribute": (lambda w: w.client.post("/harmony/distribute", json={"task_id": w.archived}), 409),
    "update": (lambda w: w.client.put(f"/tasks/{w.archived}", json={"progress": 1}), 409),
    "cancel": (lambda w: w.client.post(f"/tasks/{w.archived}/cancel"), 409),
    "retry": (lambda w: w.client.post(f"/tasks/{w.archived}/retry"), 409),
    "depends_on": (lambda w: w.client.post("/tasks", json={**TASK, "depends_on": [w.archived]}), 201),
    "batch with depends_on": (
        lambda w: w.client.post("/tasks/batch", json={"tasks": [{**TASK, "depends_on": [w.archived]}]}),
        201,
    ),
    # Last: with a well historian it forgets the task. Another id of no task is as
    # unknown to a silent history.
    "delete": (lambda w: w.client.delete("/tasks/task-of-old-times"), 404),
}
OF_THE_NODE: dict[str, tuple[Ask, int]] = {
    "result": (lambda w: w.client.get(f"/tasks/{w.kept}/result"), 200),
    "logs": (lambda w: w.client.get(f"/tasks/{w.kept}/logs"), 200),
    "logs as JSON": (
        lambda w: w.client.get(f"/tasks/{w.kept}/logs", headers={"Accept": "application/json"}),
        200,
    ),
}
OF_THE_MASTER: dict[str, tuple[Ask, int]] = {
    **{name: case for name, case in OF_THE_HISTORY.items() if name != "delete"},
    "submit": (lambda w: w.client.post("/tasks", json=TASK), 201),
    "workers": (lambda w: w.client.get("/workers"), 200),
    "quotas": (lambda w: w.client.get("/harmony/quotas"), 200),
}


def check_unavailable(answer: httpx.Response) -> dict[str, Any]:
    """Check that an answer is the envelope of 503 with Retry-After; return its details."""
    error = error_of(answer, 503, "SERVICE_UNAVAILABLE")
    assert int(answer.headers["retry-after"]) >= 1
    details: dict[str, Any] = error["details"]
    return details


@pytest.mark.parametrize("way", ["dead", "hanging"])
@pytest.mark.parametrize("name", OF_THE_HISTORY)
def test_what_only_the_history_knows_is_503_while_it_is_silent(world: World, name: str, way: str) -> None:
    """Every verb on an archived task is 503 while the historian is dead or hangs,
    and answered as ever after."""
    ask, status = OF_THE_HISTORY[name]
    world.ways.historian = way
    assert check_unavailable(ask(world))["unavailable"] == "history"
    world.ways.historian = "well"
    answer = ask(world)
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize("way", ["dead", "hanging"])
@pytest.mark.parametrize("name", OF_THE_NODE)
def test_what_stayed_on_a_node_is_503_while_it_is_silent(world: World, name: str, way: str) -> None:
    """A kept result and a log are 503 while the node's worker is dead or hangs, and there again after."""
    ask, status = OF_THE_NODE[name]
    world.ways.node = way
    assert check_unavailable(ask(world))["unavailable"] == "node"
    world.ways.node = "well"
    assert ask(world).status_code == status


def in_file(world: World, named: str | None = None) -> tuple[str, str]:
    """Return a task whose result is in a file, and the file's digest; `named` is the task of the file."""
    task_id = _begin(world.plane)
    result: InferenceResult = {"rows": 2, "outputs": {"y": [1, 2]}, "shapes": {"y": [2]}}
    data = orjson.dumps(contents(named or task_id, result))
    digest = world.files.put(data)
    _end(world.plane, task_id, referring(result, {"digest": digest, "bytes": len(data)}))
    return task_id, digest


@pytest.mark.parametrize("way", ["dead", "hanging"])
def test_a_result_in_a_file_is_503_while_the_store_is_silent(world: World, way: str) -> None:
    """It is as any other result when the store responds again, and NOT_FOUND once its file is gone."""
    task_id, digest = in_file(world)
    path = f"/tasks/{task_id}/result"
    world.ways.files = way
    assert check_unavailable(world.client.get(path))["unavailable"] == "files"
    world.ways.files = "well"
    for params in ({}, {"wait_s": 1}):
        result = world.client.get(path, params=params).json()["result"]
        assert result == {"success": True, "rows": 2, "outputs": {"y": [1, 2]}, "shapes": {"y": [2]}}
    world.files.of[digest] = world.files.of[digest].replace(b"[1,", b"[7,")
    assert "removed" in error_of(world.client.get(path), 404, "NOT_FOUND")["message"]
    del world.files.of[digest]
    assert "removed" in error_of(world.client.get(path), 404, "NOT_FOUND")["message"]


def test_a_result_that_refers_to_the_file_of_another_task_reads_nothing(world: World) -> None:
    """Who may report a result cannot read the results of others with it."""
    theirs, _ = in_file(world)
    task_id, _ = in_file(world, named=theirs)
    error_of(world.client.get(f"/tasks/{task_id}/result"), 404, "NOT_FOUND")


PICKLED: dict[str, dict[str, Any]] = {
    "stored": {**STORED, "format": "pickle"},
    "yielded": {"success": True, "stored": "items", "format": "pickle", "items": 3, "bytes": 70},
}


@pytest.mark.parametrize("params", [{}, {"wait_s": 1}], ids=["at once", "waiting"])
@pytest.mark.parametrize("name", PICKLED)
def test_what_is_no_json_is_a_conflict_without_its_node(
    world: World, name: str, params: dict[str, int]
) -> None:
    """Nobody fetches a large result to find that the caller cannot read it: its node may even be dead."""
    task_id = _run(world.plane, PICKLED[name])
    world.ways.node = "dead"
    answer = world.client.get(f"/tasks/{task_id}/result", params=params)
    assert "only inside the cluster" in error_of(answer, 409, "CONFLICT")["message"]


@pytest.mark.parametrize("way", ["dead", "hanging"])
@pytest.mark.parametrize("name", OF_THE_MASTER)
def test_everything_is_503_while_the_master_is_away(world: World, name: str, way: str) -> None:
    """A master that is dead or hangs is 503 for whatever is asked, and all is as before when it is back."""
    ask, status = OF_THE_MASTER[name]
    world.ways.master = way
    check_unavailable(ask(world))
    world.ways.master = "well"
    answer = ask(world)
    assert answer.status_code == status, answer.text


def test_a_history_that_is_made_again_is_503(world: World, tmp_path: Path) -> None:
    """A file that was lost and does not have the archived tasks yet does not say that there are none."""
    fresh = History(tmp_path / "history.duckdb")
    whole = world.history
    archive = Archive(fresh, world.plane)

    async def ask() -> list[Any]:
        by = Principal("system", "system", ("system",))
        return [
            await archive.find(GetTask(world.archived), by),
            await archive.notice_tasks(by, {"tasks": {}, "unknown": [world.archived]}),
            await archive.wait(WaitTasks((world.archived,)), by, {"done": [], "unknown": [world.archived]}),
        ]

    for told in asyncio.run(ask()):
        assert told.rejected().details["reason"] == "the history is being rebuilt"
    fresh.close()
    assert whole.get_task(world.archived) is not None


def test_a_lost_node_is_404_with_the_reason(world: World) -> None:
    """A node that is known to be gone is no 503: nobody will ever answer."""
    world.plane.give(LoseWorker(NODE, "its node died"))
    try:
        answer = world.client.get(f"/tasks/{world.kept}/result")
        assert "left the cluster" in error_of(answer, 404, "NOT_FOUND")["message"]
    finally:
        world.plane.give(
            RegisterWorker(
                "node1", ("testing",), {"cpu": 4.0}, worker_id=NODE, kind="node", node_id="n1", boot="boot"
            )
        )


def test_a_task_that_has_left_memory_is_explained_by_its_end(world: World) -> None:
    """Its explanation is its status; distributing it is a conflict; what nobody knows is not found."""
    said = world.client.get(f"/tasks/{world.archived}/explain").json()
    shaped(ExplainOut, said)
    assert (said["status"], said["verdict"], said["summary"]) == ("completed", "completed", "it is completed")
    refused = world.client.post("/harmony/distribute", json={"task_id": world.archived})
    assert error_of(refused, 409, "CONFLICT")["details"]["status"] == "completed"
    error_of(world.client.get("/tasks/task-none/explain"), 404, "NOT_FOUND")
    error_of(world.client.post("/harmony/distribute", json={"task_id": "task-none"}), 404, "NOT_FOUND")


def test_events_do_not_pass_for_an_empty_page(world: World) -> None:
    """A reader of facts hears that the master is away; it is not told that there is nothing."""

    async def read() -> None:
        links = Links(Ways(master="dead"), world.plane, world.history)
        plane = Plane(links, patience=PATIENCE)
        with pytest.raises(Refused):
            await plane.events(0, 10, SYSTEM)
        await plane.aclose()

    asyncio.run(read())
