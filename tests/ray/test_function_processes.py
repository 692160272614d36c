"""Functions and inferences that change their process, stay in C code, or ask for a fresh process, on a real
cluster."""

from __future__ import annotations

from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import cloudpickle

from helix_ray.core.questions import GetTask
from tests.endless_model import ENDLESS
from tests.processes import command_line
from tests.ray.conftest import CPUS, LiveCluster, function
from tests.ray.signals import until
from tests.time_limits import with_time_enough


def called(work: Any, *args: Any, fresh: bool = False, **options: Any) -> dict[str, Any]:
    """Return the spec of a task that calls a pickled function."""
    payload = b64encode(cloudpickle.dumps((work, args, {}))).decode()
    run = {"kind": "function", "function": "f", "payload": payload, "fresh": fresh}
    return {"title": "call", "type": "building", "run": run, **options}


def test_a_time_limit_holds_for_code_that_never_leaves_c(cluster: LiveCluster, tmp_path: Path) -> None:
    """It has timed out, once, and is not lost; a process that it had started is gone with it, and what it had
    written is in its error."""
    mark = tmp_path / "child"

    def stay_in_c(mark: str) -> None:
        import subprocess
        from pathlib import Path

        Path(mark).write_text(str(subprocess.Popen(["sleep", "600"], start_new_session=True).pid))
        print("on my way into C")
        Path(f"{mark}-printed").touch()
        sum(range(10**12))

    def attempt(limit_s: float) -> tuple[str, float]:
        (task_id,) = cluster.submit(called(stay_in_c, str(mark), timeout_s=limit_s))
        cluster.outcomes([task_id])
        return task_id, limit_s

    task_id, limit_s = with_time_enough(attempt, lambda _: Path(f"{mark}-printed").exists())
    outcome = cluster.outcomes([task_id])[task_id]
    told = (outcome["error"]["reason"], outcome["error"]["message"])
    assert told == ("timeout", f"timed out after {limit_s} s")
    assert outcome["error"]["output_tail"] == "on my way into C\n"
    assert cluster.ask(GetTask(task_id))["losses"] == 0
    assert "sleep" not in command_line(int(mark.read_text()))


def test_a_time_limit_holds_for_an_inference(cluster: LiveCluster) -> None:
    """The model's session stays in C code for ever. It has timed out, once, and is not lost. Inferences
    that waited behind it run in another process."""
    images = [[[[0.0] * 32] * 32]]
    good = {"kind": "inference", "model": "digits_resnet20", "inputs": images}
    spec = {"title": "endless", "type": "testing", "resources": {"cpu": 2.0}}
    ids = cluster.submit({**spec, "run": ENDLESS, "timeout_s": 1.0}, *[{**spec, "run": good}] * 3)
    ended, *others = (cluster.outcomes(ids)[task_id] for task_id in ids)
    assert (ended["error"]["reason"], ended["error"]["message"]) == ("timeout", "timed out after 1.0 s")
    assert {outcome["status"] for outcome in others} == {"completed"}
    assert {cluster.ask(GetTask(task_id))["losses"] for task_id in ids} == {0}


def test_a_fresh_process_runs_one_function(cluster: LiveCluster) -> None:
    """Functions of one owner share warm processes; one that asks for it has its own, before and after."""

    def who() -> int:
        import os

        return os.getpid()

    def pids(**options: Any) -> list[int]:
        ids = cluster.submit(*[called(who, **options) for _ in range(3)])
        outcomes = cluster.outcomes(ids)
        return [cloudpickle.loads(b64decode(outcomes[i]["result"]["pickled"])) for i in ids]

    warm = pids()
    fresh = pids(fresh=True)
    again = pids()
    assert set(warm) & set(again)
    assert len(set(fresh)) == 3
    assert not set(fresh) & {*warm, *again}


def test_ray_has_nothing_to_report_when_executors_end(cluster: LiveCluster) -> None:
    """It prints "A worker died or was killed ... by an unexpected system error" for every end that it was not
    told about; 20 fresh functions, and warm executors whose CPUs others need, end as it was told."""
    import ray

    def who() -> int:
        import os

        return os.getpid()

    def pids(count: int, **options: Any) -> set[int]:
        outcomes = cluster.outcomes(cluster.submit(*[called(who, **options) for _ in range(count)]))
        return {cloudpickle.loads(b64decode(o["result"]["pickled"])) for o in outcomes.values()}

    worker = ray._private.worker.global_worker
    reports = ray._raylet.GcsErrorSubscriber(address=worker.gcs_client.address)
    reports.subscribe()
    ended = pids(20, fresh=True) | pids(CPUS, resources={"cpu": 1.0})
    assert len(ended) > 20
    pids(CPUS, resources={"cpu": 0.9})
    until(lambda: not any(map(command_line, ended)))
    worker.core_worker.push_error(ray.JobID.nil(), "test", "the end", 0.0)
    said = []
    while not said or said[-1] != "the end":
        said.append(reports.poll(timeout=30)[1]["error_message"])
    reports.close()
    assert said == ["the end"]


def test_what_cannot_be_put_back_costs_the_process_and_no_task(cluster: LiveCluster) -> None:
    """A thread that is left running ends with its process; the tasks behind it run elsewhere."""

    def leave(seconds: float) -> None:
        import threading
        import time

        threading.Thread(target=time.sleep, args=(seconds,), daemon=True).start()

    ids = cluster.submit(*[called(leave, 600.0) for _ in range(3)], *[function("noop") for _ in range(5)])
    outcomes = cluster.outcomes(ids)
    assert {outcome["status"] for outcome in outcomes.values()} == {"completed"}
    assert all(cluster.ask(GetTask(i))["losses"] == 0 for i in ids)


def test_pools_of_processes_end(cluster: LiveCluster) -> None:
    """A pool ends its workers with SIGTERM, also those that have just been forked."""

    def pools(count: int) -> int:
        import multiprocessing

        for _ in range(count):
            with multiprocessing.get_context("fork").Pool(2) as pool:
                pool.map(abs, [1])
        return count

    (task_id,) = cluster.submit(called(pools, 50))
    outcome = cluster.outcomes([task_id])[task_id]
    assert cloudpickle.loads(b64decode(outcome["result"]["pickled"])) == 50
