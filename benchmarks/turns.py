"""What others wait while somebody asks for much: ordinary GETs and POSTs beside each heavy
request that is allowed."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson
import uvloop

from benchmarks.load import Connection, one_by_one, request
from benchmarks.processes import Helix, helix
from benchmarks.report import Line, Report, Series, at_most
from benchmarks.scale import Scale

NAME = "turns"
PAUSE_S = 0.005
WAIT_MS_MAX = 250.0
DEPENDENTS = 20_000
BATCH_TASKS, LINKED_TASKS = 10_000, 5_000
ANY_STATUS = range(200, 600)
LONGEST = re.compile(r'helix_loop_turn_longest_seconds\{process="(\w+)",ran="([^"]*)"\} (\S+)')

Task = dict[str, object]


@dataclass(frozen=True, slots=True)
class Beside:
    """How long the heavy requests took, and the longest waits of ordinary ones meanwhile; seconds."""

    heavy_s: float
    get_s: float
    post_s: float


def run(scale: Scale) -> Report:
    """Send each heavy request while two other connections read and submit single tasks."""
    lines: list[Line] = []
    with helix() as server:
        lines += _shown("nothing else", _beside(server, [], lambda: True))
        for name, prepare in CASES.items():
            heavy, done = prepare(server)
            lines += _shown(name, _beside(server, heavy, done))
        # Replicas tell the master every five seconds.
        time.sleep(6.0)
        told = request("GET", "/metrics", port=server.port)
        text = one_by_one(server.port, [told])[0].body.decode()
        for process, ran, seconds in LONGEST.findall(text):
            lines.append(
                Line(f"longest turn of {process} ({ran})", Series("", "ms", (1e3 * float(seconds),)))
            )
    return Report(NAME, "what others wait beside heavy requests", tuple(lines), NOTES)


NOTES = (
    f"ordinary: a GET and a POST of one task each, every {1e3 * PAUSE_S:g} ms, on connections of their own; "
    "the longest is shown",
    "client, server and the cluster's other processes share the cores",
)
Prepared = tuple[Sequence[bytes], Callable[[], bool]]


def _shown(name: str, found: Beside) -> list[Line]:
    get, post = (Series("", "ms", (1e3 * value,)) for value in (found.get_s, found.post_s))
    return [
        Line(f"{name}: by itself", Series("", "ms", (1e3 * found.heavy_s,))),
        Line(f"{name}: longest GET beside", get, goal=at_most(WAIT_MS_MAX, "ms", get)),
        Line(f"{name}: longest POST beside", post, goal=at_most(WAIT_MS_MAX, "ms", post)),
    ]


def _task(**fields: object) -> Task:
    return {"title": "Test Task", "type": "building", **fields}


def _batch(server: Helix, tasks: Sequence[Task]) -> bytes:
    return server.request("POST", "/tasks/batch", {"tasks": list(tasks)})


def _submit(server: Helix, tasks: Sequence[Task]) -> list[str]:
    answer = one_by_one(server.port, [_batch(server, tasks)])[0]
    return [task["id"] for task in orjson.loads(answer.body)["tasks"]]


def _plain(server: Helix) -> Prepared:
    return [_batch(server, [_task()] * BATCH_TASKS)], lambda: True


def _chain(server: Helix) -> Prepared:
    tasks = [_task(), *(_task(depends_on=[f"#{i}"]) for i in range(LINKED_TASKS - 1))]
    return [_batch(server, tasks)], lambda: True


def _layers(server: Helix) -> Prepared:
    """As many dependencies as a batch may have."""
    names = [f"#{i}" for i in range(20)]
    return [_batch(server, [*[_task()] * 20, *[_task(depends_on=names)] * 1000])], lambda: True


def _too_many(server: Helix) -> Prepared:
    """What stopped everybody for 27 s: refused by its size."""
    names = [f"#{i}" for i in range(600)]
    return [_batch(server, [*[_task()] * 600, *[_task(depends_on=names)] * 5400])], lambda: True


def _shards(server: Helix) -> Prepared:
    run = {"kind": "function", "function": "helix_ray.samples:add", "args": [1, 2]}
    return [_batch(server, [_task(run=run, shards=1000, strategy="manual")] * 10)], lambda: True


def _fan(server: Helix) -> tuple[str, str]:
    """Return a task for which DEPENDENTS others wait, and the last of them."""
    [root] = _submit(server, [_task()])
    last = ""
    for _ in range(DEPENDENTS // BATCH_TASKS):
        last = _submit(server, [_task(depends_on=[root])] * BATCH_TASKS)[-1]
    return root, last


def _stands(server: Helix, task_id: str, status: str) -> Callable[[], bool]:
    asked = server.request("GET", f"/tasks/{task_id}")
    return lambda: bool(orjson.loads(one_by_one(server.port, [asked])[0].body)["status"] == status)


def _cancel(server: Helix) -> Prepared:
    root, last = _fan(server)
    return [server.request("POST", f"/tasks/{root}/cancel")], _stands(server, last, "failed")


def _complete(server: Helix) -> Prepared:
    root, last = _fan(server)
    steps = [{"status": "running"}, {"status": "completed"}]
    return [server.request("PUT", f"/tasks/{root}", step) for step in steps], _stands(server, last, "pending")


def _delete(server: Helix) -> Prepared:
    root, last = _fan(server)
    return [server.request("DELETE", f"/tasks/{root}")], _stands(server, last, "failed")


def _listing(server: Helix) -> Prepared:
    paths = ("/tasks?project_id=nobody", "/tasks?limit=1000&offset=90000", "/tasks?limit=1000")
    return [server.request("GET", path) for path in paths * 5], lambda: True


def _result(server: Helix) -> Prepared:
    [task_id] = _submit(server, [_task()])
    done = {"status": "completed", "result": {"text": "x" * 1_000_000}}
    puts = [server.request("PUT", f"/tasks/{task_id}", step) for step in ({"status": "running"}, done)]
    return [*puts, *[server.request("GET", f"/tasks/{task_id}/result")] * 10], lambda: True


AURORA = (
    "/aurora/audit?limit=1000",
    "/aurora/audit?q=cpu&limit=1000",
    "/aurora/audit?after=0&limit=1000",
    "/aurora/metrics/security",
    # As many points as an answer may have: 2.6 MB.
    "/aurora/monitoring/system?since=1970-01-01",
    "/aurora/audit/checkpoints?limit=1000",
    "/aurora/audit/proof/inclusion?seq=1",
    "/aurora/audit/proof/consistency?from=1",
)


def _aurora(server: Helix) -> Prepared:
    """Who looks at audit, security and hosts: each search of the audit is a record, too."""
    return [server.request("GET", path) for path in AURORA * 10], lambda: True


CASES: dict[str, Callable[[Helix], Prepared]] = {
    "batch of 10,000": _plain,
    "chain of 5,000 in one batch": _chain,
    "1,020 tasks with 20,000 dependencies": _layers,
    "6,000 tasks with 600 dependencies each (refused)": _too_many,
    "10 tasks with 1,000 shards each": _shards,
    "cancel with 20,000 dependents": _cancel,
    "completion with 20,000 dependents": _complete,
    "delete with 20,000 dependents": _delete,
    "15 listings over all tasks": _listing,
    "a result of 1 MB, read ten times": _result,
    f"{10 * len(AURORA)} reads of /aurora": _aurora,
}


def _beside(server: Helix, heavy: Sequence[bytes], done: Callable[[], bool]) -> Beside:
    post = server.request("POST", "/tasks", _task())
    task_id = orjson.loads(one_by_one(server.port, [post])[0].body)["id"]
    get = server.request("GET", f"/tasks/{task_id}")

    async def drive() -> Beside:
        over = asyncio.Event()

        async def ordinary(data: bytes) -> float:
            connection = await Connection.open(server.port)
            longest = 0.0
            while not over.is_set():
                longest = max(longest, (await connection.exchange(data)).seconds)
                await asyncio.sleep(PAUSE_S)
            connection.close()
            return longest

        others = [asyncio.create_task(ordinary(data)) for data in (get, post)]
        await asyncio.sleep(0.2)
        started = time.perf_counter()
        connection = await Connection.open(server.port)
        for data in heavy:
            await connection.exchange(data, ANY_STATUS)
        connection.close()
        while not await asyncio.to_thread(done):
            await asyncio.sleep(0.05)
        heavy_s = time.perf_counter() - started
        if not heavy:
            await asyncio.sleep(1.0)
        over.set()
        get_s, post_s = await asyncio.gather(*others)
        return Beside(heavy_s, get_s, post_s)

    return uvloop.run(drive())
