"""Memory or history shows nowhere: through every door, every question and order about a task is answered as
before after the task has left memory, word for word.

Two tasks with the same story stand for one: the first is asked about while it is in memory, the second when
only the history has it. Time stands still, so that nothing else tells them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from helix_ray.client import Client, HelixError
from helix_ray.cluster.api import Cluster
from helix_ray.core.errors import Refused
from helix_ray.core.orders import (
    AttemptReport,
    CancelTask,
    ReportAttempts,
)
from helix_ray.ports import Batch
from helix_ray.views.history import History
from tests.http.past_world import (
    EXTERNAL,
    FAILED,
    NODE,
    RUN,
    STORIES,
    World,
    compared,
    completed,
    dependant,
    failed,
    serving_world,
)
from tests.http.running_node import Helix


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Serve it for the whole file."""
    with serving_world(tmp_path_factory.mktemp("history")) as served:
        yield served


# ------------------------------------------------------------------------------------------------------ doors

Verb = Callable[[httpx.Client, str, str], httpx.Response]
REST: dict[str, Verb] = {
    "get": lambda c, i, p: c.get(f"/tasks/{i}"),
    "get a shard": lambda c, i, p: c.get(f"/tasks/{i}-s0"),
    "result": lambda c, i, p: c.get(f"/tasks/{i}/result"),
    "result of a shard": lambda c, i, p: c.get(f"/tasks/{i}-s1/result"),
    "result, waiting": lambda c, i, p: c.get(f"/tasks/{i}/result", params={"wait_s": 1}),
    "logs": lambda c, i, p: c.get(f"/tasks/{i}/logs", headers={"Accept": "application/json"}),
    "logs, followed": lambda c, i, p: c.get(f"/tasks/{i}/logs", params={"follow": "true"}),
    "list": lambda c, i, p: c.get("/tasks", params={"project_id": p}),
    "list by status": lambda c, i, p: c.get("/tasks", params={"project_id": p, "status": "failed"}),
    "list by priority": lambda c, i, p: c.get("/tasks", params={"project_id": p, "priority": "high"}),
    "list by type": lambda c, i, p: c.get("/tasks", params={"project_id": p, "type": "design"}),
    "list by worker": lambda c, i, p: c.get("/tasks", params={"project_id": p, "assigned_worker": NODE}),
    "list, second": lambda c, i, p: c.get("/tasks", params={"project_id": p, "limit": 2, "offset": 1}),
    "explain": lambda c, i, p: c.get(f"/tasks/{i}/explain"),
    "distribute": lambda c, i, p: c.post("/harmony/distribute", json={"task_id": i}),
    "distribute, dry": lambda c, i, p: c.post("/harmony/distribute", json={"task_id": i, "dry_run": True}),
    "distribute a shard": lambda c, i, p: c.post("/harmony/distribute", json={"task_id": f"{i}-s0"}),
    "edit": lambda c, i, p: c.put(f"/tasks/{i}", json={"title": "other"}),
    "progress": lambda c, i, p: c.put(f"/tasks/{i}", json={"progress": 10}),
    "complete": lambda c, i, p: c.put(f"/tasks/{i}", json={"status": "completed"}),
    "fail": lambda c, i, p: c.put(f"/tasks/{i}", json={"status": "failed"}),
    "report late": lambda c, i, p: c.put(f"/tasks/{i}", json={"status": "completed", "attempt": 1}),
    "report of a worker": lambda c, i, p: c.put(f"/tasks/{i}", json={"progress": 9, "worker_id": EXTERNAL}),
    "cancel": lambda c, i, p: c.post(f"/tasks/{i}/cancel"),
    "cancel a shard": lambda c, i, p: c.post(f"/tasks/{i}-s0/cancel"),
    "retry": lambda c, i, p: c.post(f"/tasks/{i}/retry"),
    "retry all": lambda c, i, p: c.post(f"/tasks/{i}/retry", json={"dependants": True}),
    "retry oddly": lambda c, i, p: c.post(f"/tasks/{i}/retry", json={"dependants": 7}),
    "retry a shard": lambda c, i, p: c.post(f"/tasks/{i}-s0/retry"),
    "depends_on": lambda c, i, p: _depending(c, i),
    "batch with depends_on": lambda c, i, p: _batch(c, i),
    "delete": lambda c, i, p: c.delete(f"/tasks/{i}"),
    "delete a shard": lambda c, i, p: c.delete(f"/tasks/{i}-s0"),
}  # fmt: skip
# Each of these has twins of its own, and then the task is looked at once more: it must stand where it would.
CHANGES = ("cancel", "retry", "retry all", "depends_on", "batch with depends_on", "delete")


def _depending(client: httpx.Client, task_id: str) -> httpx.Response:
    return client.post("/tasks", json={"title": "after", "type": "testing", "depends_on": [task_id]})


def _batch(client: httpx.Client, task_id: str) -> httpx.Response:
    task = {"title": "after", "type": "testing", "depends_on": [task_id]}
    return client.post("/tasks/batch", json={"tasks": [task, {**task, "depends_on": ["#0"]}]})


def plain(answer: httpx.Response) -> Any:
    """Return status and body, without the ids of the request and of what it has made."""
    if not answer.headers.get("content-type", "").startswith("application/json"):
        return [answer.status_code, answer.text]
    body = answer.json()
    body.pop("request_id", None)
    if answer.status_code == 201:
        for made in body.get("tasks", [body]):
            made.pop("id", None)
    return [answer.status_code, body]


@pytest.mark.parametrize("story", STORIES)
def test_rest_leaves_it_as_it_is(world: World, story: Callable[[World], str]) -> None:
    """Questions, and orders that are refused: for a stranger, for the user whose worker had
    it, for the administrator."""

    def ask(task_id: str, project: str) -> Any:
        verbs = {name: verb for name, verb in REST.items() if name not in CHANGES}
        return {
            f"{name} by {who}": plain(verb(world.clients[who], task_id, project))
            for name, verb in verbs.items()
            for who in ("ann", "bot", "admin")
        }

    compared(world, story, ask)


@pytest.mark.parametrize("verb", CHANGES)
@pytest.mark.parametrize("story", STORIES)
def test_rest_changes_it(world: World, story: Callable[[World], str], verb: str) -> None:
    """What was answered, and what the task and the listing look like afterwards."""

    def ask(task_id: str, project: str) -> Any:
        client = world.clients["admin"]
        answers = [plain(REST[verb](world.clients[who], task_id, project)) for who in ("ann", "bot", "admin")]
        listed = client.get("/tasks", params={"project_id": project})
        return [*answers, plain(client.get(f"/tasks/{task_id}")), plain(listed)]

    compared(world, story, ask)


def _raised(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except Refused as refused:
        rejected = refused.rejected
        return [rejected.code.value, rejected.message, rejected.details]
    except Exception as error:  # what a task raised, or is said to have raised
        return repr(error)


PYTHON: dict[str, Callable[[Cluster, str], Any]] = {
    "view": lambda hx, i: hx.handle(i).view(),
    "status": lambda hx, i: hx.handle(i).status(),
    "done": lambda hx, i: hx.handle(i).done(),
    "outcome": lambda hx, i: dict(hx.handle(i).outcome(10)),
    "result": lambda hx, i: hx.handle(i).result(10),
    "exception": lambda hx, i: repr(hx.handle(i).exception(10)),
    "logs": lambda hx, i: hx.handle(i).logs(),
    "cancel": lambda hx, i: hx.handle(i).cancel(),
    "cancel all": lambda hx, i: hx.cancel([hx.handle(i)]),
    "distribute": lambda hx, i: hx.distribute(i),
    "depends_on": lambda hx, i: hx.command(["true"], depends_on=[hx.handle(i)]).status(),
    "retry all": lambda hx, i: hx.handle(i).retry(dependants=True),
}


@pytest.mark.parametrize("story", STORIES)
def test_python(world: World, story: Callable[[World], str]) -> None:
    """The Python API of a Ray job; the last of its verbs changes the task."""

    def ask(task_id: str, project: str) -> Any:
        return {
            name: _raised(lambda: verb(world.cluster, task_id))  # noqa: B023
            for name, verb in PYTHON.items()
        }

    compared(world, story, ask)


CLI: dict[str, tuple[str, ...]] = {
    "get": ("get", "TASK", "--json"),
    "result": ("result", "TASK", "--wait", "--json"),
    "logs": ("logs", "TASK"),
    "list": ("list", "--project", "PROJECT", "--json"),
    "explain": ("explain", "TASK", "--json"),
    "distribute": ("distribute", "TASK", "--json"),
    "cancel": ("cancel", "TASK"),
    "retry all": ("retry", "TASK", "--dependants"),
    "delete": ("delete", "TASK"),
}


@pytest.mark.parametrize("story", [completed, failed, dependant])
def test_program(
    world: World, helix: Helix, monkeypatch: pytest.MonkeyPatch, story: Callable[[World], str]
) -> None:
    """The `helix` program: what it prints, and its exit code; the last of its commands change the task."""
    monkeypatch.setenv("HELIX_URL", world.api.url)
    monkeypatch.setenv("HELIX_TOKEN", world.clients["admin"].headers["Authorization"].split()[1])

    def ask(task_id: str, project: str) -> Any:
        names = {"TASK": task_id, "PROJECT": project}
        answers = []
        for words in CLI.values():
            ran = helix("task", *(names.get(word, word) for word in words))
            answers.append([words, ran.code, ran.out, ran.err.partition(" (request")[0]])
        return answers

    compared(world, story, ask)


# --------------------------------------------------------------------------------------- what is worth a word


def test_last_nights_failures_are_retried_in_one_call(world: World) -> None:
    """The client's call queues a chain that only the history has; the program says what was
    queued and what was not."""
    root = world.submit(run=RUN)
    middle = world.submit(run=RUN, depends_on=[root])
    last = world.submit(run=RUN, depends_on=[middle])
    world.report(root, "failed", error=FAILED, retryable=False)
    world.archive()
    client = Client(world.api.url, world.clients["admin"].headers["Authorization"].split()[1])
    answer = client.retry(root, dependants=True)
    assert (answer["queued"], answer["not_queued"]) == ([root, middle, last], [])
    assert [client.get(i)["status"] for i in (middle, last)] == ["waiting", "waiting"]
    with pytest.raises(HelixError, match="Only failed and cancelled"):
        client.retry(root)
    client.close()
    world.archive()
    assert [i for i in (root, middle, last) if i not in world.plane.engine.state.tasks] == []
    assert world.history.get_task(root) is None


def test_a_handle_waits_for_the_new_end(world: World) -> None:
    """What it knew of the old one is over."""
    task_id = failed(world)
    world.archive()
    handle = world.cluster.handle(task_id)
    assert handle.outcome(10)["status"] == "failed"
    handle.retry()
    assert not handle.done()
    state = world.plane.engine.state
    report = AttemptReport(task_id, state.tasks[task_id].attempt, "completed", {"success": True, "value": 4})
    world.plane.give(ReportAttempts(NODE, "boot", (report,)))
    assert handle.result(10) == 4


def test_pages_go_over_the_border_in_the_order_of_submits(world: World) -> None:
    """Some are in memory, some not, turn by turn: every page is the one there was before."""
    project = "p-border."
    ids = [world.submit(run=RUN, project_id=project) for _ in range(12)]
    admin = world.clients["admin"]

    def pages(limit: int) -> list[Any]:
        params = {"project_id": project, "limit": limit}
        found = [admin.get("/tasks", params={**params, "offset": at}).json() for at in range(0, 14, limit)]
        return [([line["id"] for line in page["tasks"]], page["total"]) for page in found]

    for task_id in (ids[1], ids[4], ids[5], ids[8], ids[11]):
        world.report(task_id, "failed", error=FAILED, retryable=False)
    before = {limit: pages(limit) for limit in (1, 3, 5, 20)}
    assert before[20] == [(ids[::-1], 12)]
    world.archive()
    assert {limit: pages(limit) for limit in before} == before
    assert admin.post(f"/tasks/{ids[4]}/retry").status_code == 200
    assert {limit: pages(limit) for limit in before} == before
    world.archive()
    assert {limit: pages(limit) for limit in before} == before


@pytest.mark.parametrize("story", STORIES)
def test_a_history_made_anew_says_the_same(
    world: World, story: Callable[[World], str], tmp_path: Any
) -> None:
    """Every field of a task that was retried from the history and ended again, from
    the journal's facts alone."""
    world.clear()
    task_id = story(world)
    world.archive()
    again = world.clients["admin"].post(f"/tasks/{task_id}/retry")
    if again.status_code == 200 and not world.plane.engine.state.tasks[task_id].spec.get("shards"):
        world.plane.give(CancelTask(task_id))
    world.archive()
    fresh = History(tmp_path / "history.duckdb")
    while facts := world.plane.engine.facts(fresh.cursor, 1000).facts:
        fresh.ingest(facts)
    through = world.plane.engine.state.archived_through
    for each in (task_id, f"{task_id}-s0", f"{task_id}-s1"):
        assert fresh.get_task(each, through) == world.history.get_task(each, through)
        assert fresh.result(each, through) == world.history.result(each, through)
        assert fresh.records([each], through) == world.history.records([each], through)
    fresh.close()


def test_what_the_history_leaves_out_comes_back_from_the_journal(world: World) -> None:
    """A pickled call, a program's secrets: the retried task runs what was submitted, and nobody
    is shown more than before."""
    handles = [
        world.cluster.submit(sum, [1, 2]),
        world.cluster.command(["true"], env={"TOKEN": "s3cret"}),
    ]
    state = world.plane.engine.state
    runs = [state.tasks[handle.id].run for handle in handles]
    views = []
    for handle in handles:
        world.report(handle.id, "failed", error=FAILED, retryable=False)
        views.append(handle.view()["run"])
    world.archive()
    assert [handle.view()["run"] for handle in handles] == views
    for handle in handles:
        handle.retry()
    assert [state.tasks[handle.id].run for handle in handles] == runs
    assert [handle.view()["run"] for handle in handles] == views


def test_what_was_erased_cannot_be_retried(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The history has the task's end and the journal no longer what it ran: a conflict that says so."""
    handle = world.cluster.submit(sum, [1, 2])
    seq = world.plane.engine.state.tasks[handle.id].seq
    world.report(handle.id, "failed", error=FAILED, retryable=False)
    world.archive()
    facts = world.plane.engine.facts

    def without(after: int, limit: int) -> Batch:
        batch = facts(after, limit)
        return replace(batch, facts=tuple(fact for fact in batch.facts if fact.seq != seq))

    monkeypatch.setattr(world.plane.engine, "facts", without)
    with pytest.raises(Refused, match="not kept any more"):
        handle.retry()
