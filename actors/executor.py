"""An executor as a Ray actor: a warm process with CPUs, GPUs or NPUs from Ray, so that
Ray enforces our placement.

It is not detached: it ends with the node worker that started it and owns its socket.
"""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

from helix_ray.execution import acting, handed_on
from helix_ray.execution.allow import Allow
from helix_ray.execution.executor import Executor
from helix_ray.execution.own_folder import OwnFolder
from helix_ray.execution.runtime_env import runtime_env_of, serve_in
from helix_ray.execution.wear import Bounds
from helix_ray.inference.onnx import ModelStore
from helix_ray.plane.ray_objects import keep_result

NICENESS = 10


class ExecutorActor:
    """Runs attempts that it gets over a Unix socket; `serve` blocks as long as the executor exists."""

    def serve(
        self,
        connect_path: str,
        executor_id: str,
        allow: tuple[str, ...],
        models_dir: str,
        cpus: float,
        bounds: Bounds,
        environment: str | None,
        attempts: str,
    ) -> int:
        """Serve the node worker at `connect_path`; return this process's id when the connection has ended.

        `attempts` is the folder that keeps what functions leave.
        """
        serve_in(environment)
        acting.serve()
        handed_on.begin()
        # The control plane has priority over the tasks.
        os.nice(max(0, NICENESS - os.nice(0)))
        # Forks inherit it: with Ray's handler, a SIGTERM that comes while a fork begins is lost, and
        # multiprocessing's pools, which end their workers with it, wait for ever.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        models = ModelStore(Path(models_dir), cpus=cpus)
        allowed = Allow.parse(",".join(allow))
        own = runtime_env_of(environment)
        # Ray has put the process into the job's `working_dir`.
        stay = own is not None and bool(own.fields().get("working_dir"))
        folder = partial(OwnFolder, Path(attempts), executor_id, stay=stay)
        Executor(connect_path, executor_id, allowed, models, bounds, keep_result, folder).serve()
        return os.getpid()
