"""Processes killed with SIGKILL: a task is completed once, retried, or failed with the reason."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
import ray

from actors import boot, names
from helix_ray import cluster as hx
from helix_ray.core.access import SYSTEM
from helix_ray.core.events import TaskCompleted
from helix_ray.core.orders import CancelTask, DrainWorker, Receipt
from helix_ray.core.questions import Counts, GetTask, ListWorkers, ReadLog
from tests.processes import parent, processes_with, shell_of
from tests.ray.conftest import LiveCluster, command, function
from tests.ray.signals import until


def node_pids(cluster: LiveCluster) -> dict[str, int]:
    """Return the process id of every node worker that answers, by worker id."""
    workers = cluster.ask(ListWorkers())["workers"]
    handles = [names.find(names.node_worker(w["node_id"])) for w in workers if w["status"] != "lost"]
    return {said["worker_id"]: said["pid"] for said in ray.get([h.ping.remote() for h in handles])}


def running(cluster: LiveCluster, task_id: str) -> bool:
    """Say whether a task runs now."""
    return bool(cluster.ask(GetTask(task_id))["status"] == "running")


def completions(cluster: LiveCluster, ids: list[str]) -> Counter[str]:
    """Count the completion facts of tasks in the whole journal."""
    counts: Counter[str] = Counter()

    async def read(plane: Any) -> None:
        cursor = 0
        while True:
            batch = await plane.events(cursor, 10_000, SYSTEM)
            for fact in batch.facts:
                if isinstance(fact.event, TaskCompleted):
                    counts[fact.event.id] += 1
            if not batch.facts:
                return
            cursor = batch.cursor

    cluster.run(read)
    return Counter({task_id: counts[task_id] for task_id in ids})


def test_a_killed_cell_costs_one_loss_and_the_task_is_done(cluster: LiveCluster, tmp_path: Path) -> None:
    """A cell that dies under a command loses the attempt, not the task; the command dies with it."""
    mark = tmp_path / "mark"
    line = f"if [ -e {mark} ]; then echo second; else touch {mark}; sleep 600; fi"
    (task_id,) = cluster.submit(command(line))
    until(mark.exists)
    child = shell_of(line)
    os.kill(parent(child), signal.SIGKILL)
    outcome = cluster.outcomes([task_id])[task_id]
    assert outcome["result"]["output"] == "second\n"
    assert cluster.ask(GetTask(task_id))["losses"] == 1
    assert not Path(f"/proc/{child}").exists()


def test_a_task_that_kills_its_executor_every_time_is_given_up(cluster: LiveCluster) -> None:
    """A poison task fails with the reason after its losses are used up, and harms no neighbour."""
    poison, *others = cluster.submit(function("crash"), *[function("add", i, i) for i in range(30)])
    outcomes = cluster.outcomes([poison, *others])
    assert outcomes[poison]["status"] == "failed"
    assert outcomes[poison]["error"]["reason"] == "lost"
    assert [outcomes[i]["result"]["value"] for i in others] == [2 * i for i in range(30)]


def yield_and_stay(mark: str) -> Iterator[int]:
    """Stay behind the first items, the first time."""
    import time
    from pathlib import Path

    yield from range(3)
    if not Path(mark).exists():
        Path(mark).touch()
        time.sleep(600)
    yield 3


def test_a_killed_node_worker_comes_back_and_its_tasks_are_run_again(
    cluster: LiveCluster, tmp_path: Path
) -> None:
    """The leases of a node worker's old life are revoked at once when its next life registers. The reader of
    a stream waits for it, and gets no item twice."""
    with hx.connect() as connected:
        handle = connected.submit(yield_and_stay, str(tmp_path / "mark"))
        stream = handle.stream(timeout=90.0)
        assert [next(stream), next(stream), next(stream)] == [0, 1, 2]
        until((tmp_path / "mark").exists)
        _kill_node_workers(cluster, tmp_path)
        assert list(stream) == [3]
        assert handle.view()["losses"] == 1


def _kill_node_workers(cluster: LiveCluster, tmp_path: Path) -> None:
    marks = [tmp_path / f"mark{i}" for i in range(5)]
    ids = cluster.submit(
        *[command(f"if [ -e {m} ]; then echo again; else touch {m}; sleep 600; fi") for m in marks]
    )
    until(lambda: all(mark.exists() for mark in marks))
    before = node_pids(cluster)
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    outcomes = cluster.outcomes(ids)
    assert {outcome["result"]["output"] for outcome in outcomes.values()} == {"again\n"}
    after: dict[str, int] = {}

    def all_answer() -> bool:
        # One that takes its time to come back is lost meanwhile, and then it is not.
        with contextlib.suppress(ray.exceptions.RayError):
            after.update(node_pids(cluster))
        return set(after) == set(before)

    until(all_answer)
    assert not set(after.values()) & set(before.values())


def test_a_killed_master_loses_and_doubles_nothing(cluster: LiveCluster) -> None:
    """Orders sent while the master is killed again and again are each carried out once."""
    ids: list[str] = []
    stop = threading.Event()

    def kill_often() -> None:
        for _ in range(4):
            if stop.wait(0.7):
                return
            os.kill(cluster.master_pid(), signal.SIGKILL)

    killer = threading.Thread(target=kill_often)
    killer.start()
    while killer.is_alive():
        ids.extend(cluster.submit(*[function("add", 1, 1) for _ in range(20)]))
    stop.set()
    killer.join()
    outcomes = cluster.outcomes(ids)
    assert all(outcome["status"] == "completed" for outcome in outcomes.values())
    assert set(completions(cluster, ids).values()) == {1}


def test_what_ray_has_given_up_is_made_again(cluster: LiveCluster) -> None:
    """An actor that Ray no longer restarts is created again by the supervisor, and the supervisor by the
    process that watches it."""

    def ready(name: str) -> bool:
        with contextlib.suppress(ray.exceptions.RayError, ValueError):
            return bool(ray.get(names.find(name).health.remote(), timeout=5)["ready"])
        return False

    for name in (names.HISTORIAN, names.MASTER):
        dead = ray.get(names.find(name).health.remote())["pid"]
        ray.kill(names.find(name), no_restart=True)
        until(lambda pid=dead: not Path(f"/proc/{pid}").exists())  # type: ignore[misc]
        until(lambda name=name: ready(name))  # type: ignore[misc]
    watch = boot.Watch(cluster.settings)
    watch.look()
    ray.kill(names.find(names.SUPERVISOR), no_restart=True)

    def made_again() -> bool:
        watch.look()
        return ready(names.SUPERVISOR)

    until(made_again)
    (task_id,) = cluster.submit(function("add", 1, 2))
    assert cluster.outcomes([task_id])[task_id]["result"]["value"] == 3


def test_what_is_stopped_is_ended_where_nobody_has_ray_below(cluster: LiveCluster) -> None:
    """The supervisor sees to the actors of its list, and whoever watches the supervisor sees to that."""

    def pid(name: str) -> int | None:
        with contextlib.suppress(ray.exceptions.RayError, ValueError):
            said = ray.get(names.find(name).health.remote(), timeout=5)
            return int(said["pid"]) if said["ready"] else None
        return None

    watch = boot.Watch(cluster.settings)
    watch.look()
    for some in ((names.HISTORIAN, names.MASTER), (names.SUPERVISOR,)):
        until(lambda some=some: None not in map(pid, some))  # type: ignore[misc]
        before = {name: pid(name) for name in some}
        for stopped in before.values():
            assert stopped is not None
            os.kill(stopped, signal.SIGSTOP)

        def replaced(before: dict[str, int | None] = before) -> bool:
            watch.look()
            return all(pid(name) not in (None, dead) for name, dead in before.items())

        until(replaced)


def test_a_lost_node_gives_its_tasks_to_the_others(cluster: LiveCluster, tmp_path: Path) -> None:
    """A raylet killed with SIGKILL takes its tasks' attempts with it, and they run
    elsewhere within seconds."""
    old = [w["id"] for w in cluster.ask(ListWorkers())["workers"]]
    extra = cluster.ray_cluster.add_node(num_cpus=2, object_store_memory=100 << 20)
    until(lambda: len(cluster.ask(ListWorkers())["workers"]) > len(old))
    (added,) = {w["id"] for w in cluster.ask(ListWorkers())["workers"]} - set(old)
    for worker_id in old:
        cluster.execute(DrainWorker(worker_id))
    marks = [tmp_path / f"node{i}" for i in range(2)]
    ids = cluster.submit(
        *[command(f"if [ -e {m} ]; then echo moved; else touch {m}; sleep 600; fi") for m in marks]
    )
    until(lambda: all(mark.exists() for mark in marks))
    for worker_id in old:
        cluster.execute(DrainWorker(worker_id, draining=False))
    cluster.ray_cluster.remove_node(extra, allow_graceful=False)
    outcomes = cluster.outcomes(ids)
    assert {outcome["result"]["output"] for outcome in outcomes.values()} == {"moved\n"}
    # Its executors may be missed before the node itself is.
    until(lambda: {w["id"]: w["status"] for w in cluster.ask(ListWorkers())["workers"]}[added] == "lost")


def test_cancelling_ends_everything(cluster: LiveCluster, tmp_path: Path) -> None:
    """A cancelled command's grandchildren are gone, those with a session of their own too, and the next
    task runs."""
    mark = tmp_path / "mark"
    (task_id,) = cluster.submit(command(f"setsid sh -c 'touch {mark}; sleep 600; true' & wait"))
    until(mark.exists)
    assert processes_with(str(mark))
    assert isinstance(cluster.execute(CancelTask(task_id)), Receipt)
    assert cluster.outcomes([task_id])[task_id]["status"] == "cancelled"
    until(lambda: not processes_with(str(mark)))


def test_a_function_that_does_not_listen_is_killed_on_cancel(cluster: LiveCluster) -> None:
    """A function that ignores its cancel flag loses its executor after the grace; the node goes on."""
    payload = b64encode(cloudpickle.dumps((sum, (range(10**12),), {}))).decode()
    run = {"kind": "function", "function": "sum", "payload": payload}
    (task_id,) = cluster.submit({"title": "stuck in C", "type": "building", "run": run})
    until(lambda: running(cluster, task_id))
    assert isinstance(cluster.execute(CancelTask(task_id)), Receipt)
    ids = cluster.submit(*[function("noop") for _ in range(20)])
    assert all(outcome["status"] == "completed" for outcome in cluster.outcomes(ids).values())


@pytest.mark.parametrize("options", [{"timeout_s": 0.5}])
def test_a_timeout_fails_the_task_with_its_reason(cluster: LiveCluster, options: dict[str, Any]) -> None:
    """A command that outlives its timeout fails with reason timeout."""
    (task_id,) = cluster.submit(command("sleep 600", **options))
    outcome = cluster.outcomes([task_id])[task_id]
    assert outcome["status"] == "failed"
    assert outcome["error"]["reason"] == "timeout"


def test_logs_can_be_followed_while_a_command_runs(cluster: LiveCluster, tmp_path: Path) -> None:
    """Output is readable before the command ends, and eof comes when it has."""
    go = tmp_path / "go"
    (task_id,) = cluster.submit(command(f"echo first; until [ -e {go} ]; do sleep 0.05; done; echo last"))
    until(lambda: running(cluster, task_id))

    async def follow(plane: Any) -> str:
        text, offset = "", 0
        while True:
            piece = await plane.query(ReadLog(task_id, offset=offset), SYSTEM, 5.0)
            text, offset = text + piece["text"], piece["next_offset"]
            if piece["eof"]:
                return text
            if "first" in text:
                go.touch()

    assert cluster.run(follow) == "first\nlast\n"


def test_nothing_is_left_behind(cluster: LiveCluster) -> None:
    """After all this no task is stuck."""
    until(lambda: cluster.ask(Counts())["tasks"]["running"] == 0)
    counts = cluster.ask(Counts())["tasks"]
    assert counts["pending"] == counts["waiting"] == 0
