"""Work that takes longer than its kind was known to: what was placed behind it goes elsewhere."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle

from helix_ray.core.questions import GetTask
from tests.ray.conftest import CPUS, LiveCluster, function
from tests.ray.signals import until


def call(work: Callable[..., Any], *args: Any) -> dict[str, Any]:
    """Return the spec of a task that calls a pickled function: all of these are one kind."""
    payload = b64encode(cloudpickle.dumps((work, args, {}))).decode()
    return {"title": "call", "type": "building", "run": {"kind": "function", "payload": payload}}


def wait_for(mark: str, go: str) -> str:
    """Say that it runs, and run until it is told to stop."""
    import os
    import time

    with open(mark, "w"):
        while not os.path.exists(go):
            time.sleep(0.02)
    return mark


def test_short_work_that_turns_out_long_keeps_nobody_waiting(cluster: LiveCluster, tmp_path: Path) -> None:
    """A kind known as short is queued ahead on nodes; when it runs on, what is behind it
    runs wherever there is room."""
    until(cluster.idle)
    cluster.outcomes(cluster.submit(*[call(len, ()) for _ in range(200)]))
    go = tmp_path / "go"
    marks = [tmp_path / f"mark{i}" for i in range(CPUS)]
    ids = cluster.submit(*[{**call(wait_for, str(mark), str(go)), "timeout_s": 600} for mark in marks])
    until(lambda: all(mark.exists() for mark in marks), 120.0)
    assert {cluster.ask(GetTask(task_id))["status"] for task_id in ids} == {"running"}
    (other,) = cluster.submit(function("add", 1, 2))
    go.touch()
    outcomes = cluster.outcomes([*ids, other])
    assert {outcome["status"] for outcome in outcomes.values()} == {"completed"}
    views = [cluster.ask(GetTask(task_id)) for task_id in ids]
    assert {(view["failures"], view["losses"]) for view in views} == {(0, 0)}
