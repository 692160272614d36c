"""A node that really runs tasks, and the `helix` program as a test runs it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import uvicorn

import helix_ray
from helix_ray.blobs.places import HEAD_FOLDER
from helix_ray.config import Settings
from helix_ray.core.access import SYSTEM
from helix_ray.core.errors import Rejected
from helix_ray.core.limits import POLICIES
from helix_ray.core.orders import AttemptReport, Heartbeat, RegisterWorker, ReportAttempts
from helix_ray.core.questions import WorkFor
from helix_ray.execution.allow import Allow
from helix_ray.execution.assignment import Assignment, Finished, Outcome, ReportItem
from helix_ray.execution.attempt import AttemptRunner, Running
from helix_ray.execution.log import OUTPUT_TAIL_BYTES_MAX, log_path
from helix_ray.execution.starter.levels import Wanted
from helix_ray.inference.onnx import ModelStore
from helix_ray.security.tokens import KeyRing
from helix_ray.testing import MemoryControlPlane
from serve_app.app import build_asgi
from serve_app.edge.limiter import LeasingLimiter, grant_here
from serve_app.public_port.connection import protocol
from serve_app.public_port.limits import ConnectionLimits
from tests.unit.execution.starter_end import StarterEnd

NODE = "worker-node1"
MODELS = Path(helix_ray.__file__).parent / "models"
PLENTY = tuple(policy._replace(limit=1_000_000) for policy in POLICIES)
STOP_S_MAX = 60
# The node sends no heartbeat while it runs an attempt, which may take long on a busy machine.
UNHEARD_S_MAX = 3_600.0


class Node:
    """A node with one slot: asks for work, runs it with the execution library, reports."""

    def __init__(self, plane: MemoryControlPlane, folder: Path, **labels: str) -> None:
        self._plane = plane
        self._folder = folder
        self._input_dirs = plane.policy.input_dirs
        self._stopped = False
        resources = {"cpu": 4.0, "memory_mb": 4096.0}
        plane.give(
            RegisterWorker(
                "node1",
                ("testing",),
                resources,
                worker_id=NODE,
                kind="node",
                node_id="n1",
                boot="boot",
                labels=labels,
            )
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped = True
        # News wakes the question that the node waits with.
        self._plane.write_log("none", 0, "")
        self._thread.join(STOP_S_MAX)

    def _run(self) -> None:
        finished: list[Finished] = []

        def emit(item: ReportItem) -> None:
            if isinstance(item, Finished):
                finished.append(item)

        allow = Allow.parse("helix_ray.samples:*")
        runner = AttemptRunner(allow, ModelStore(MODELS, cpus=1.0), emit, emit)
        starter = StarterEnd(self._folder / "commands", Wanted("none"))
        after = 0
        while not self._stopped:
            self._plane.give(Heartbeat(NODE, boot="boot"))
            reply = asyncio.run(self._plane.query(WorkFor(NODE, "boot", 0, after), SYSTEM, 0.5))
            assert not isinstance(reply, Rejected), reply
            after = reply["seq"]
            for work in reply["assign"]:
                key = (work["task_id"], work["attempt"])
                place = (work["timeout_s"], str(self._folder))
                given = Assignment(
                    *key,
                    work["run"],
                    *place,
                    shard=work["shard"],
                    input_dirs=self._input_dirs,
                    blobs=tuple(work.get("blobs", ())),
                    # It is the head's as well.
                    blobs_dir=str(self._folder / HEAD_FOLDER),
                    model_files=work.get("model_files"),
                )
                if given.is_command:
                    self._report(key, starter.run_assignment(given).outcome)
                else:
                    runner.run(Running(given, emit))
                    self._report(key, finished.pop().outcome)
        starter.close()
        runner.close()

    def _report(self, key: tuple[str, int], outcome: Outcome) -> None:
        path = log_path(str(self._folder), *key)
        if path.exists():
            self._plane.write_log(*key, path.read_text())
        report = AttemptReport(
            *key, "completed" if outcome.ok else "failed", _result(outcome), _error(outcome)
        )
        self._plane.give(ReportAttempts(NODE, "boot", (report,)))


def _result(outcome: Outcome) -> Any:
    if outcome.exit_code is not None:
        said = {"output": outcome.output_tail, "exit_code": outcome.exit_code, "log_bytes": outcome.log_bytes}
        missing = max(0, outcome.log_bytes - OUTPUT_TAIL_BYTES_MAX)
        return {"success": outcome.ok, "output_cut_bytes": missing, **said}
    if not outcome.ok:
        return None
    is_inference = isinstance(outcome.result, dict) and not {"outputs", "files"}.isdisjoint(outcome.result)
    shown = outcome.result if is_inference else None
    return {"success": True, **(shown or {"value": outcome.result})}


def _error(outcome: Outcome) -> dict[str, Any] | None:
    error = outcome.error
    return None if error is None else {"reason": error.reason, "type": error.type, "message": error.message}


@contextmanager
def serving(plane: MemoryControlPlane, settings: Settings) -> Iterator[str]:
    """Serve the application until the block ends; give its address."""
    limiter = LeasingLimiter(PLENTY, grant_here(PLENTY))
    asgi = build_asgi(plane, settings, KeyRing.fresh(), limiter)
    # The product's own connections: they end event streams with the server.
    http = protocol(ConnectionLimits.of(settings))
    server = uvicorn.Server(uvicorn.Config(asgi, log_config=None, access_log=False, lifespan="on", http=http))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(STOP_S_MAX)
        assert not thread.is_alive(), "the server did not end"


@dataclass(frozen=True)
class Ran:
    """What a run of the program left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return orjson.loads(self.out)


Helix = Callable[..., Ran]
