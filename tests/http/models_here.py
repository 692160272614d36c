"""An API with a blob store of its own, a publisher, and a node that reports what a test says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from helix_ray.blobs.places import head_store
from helix_ray.blobs.store import BlobStore
from helix_ray.client import Client
from helix_ray.config import Settings
from helix_ray.core.lifecycle import Status
from helix_ray.core.models import NODE_CLASS_LABEL
from helix_ray.core.orders import AttemptReport, Heartbeat, RegisterWorker, ReportAttempts
from tests.http.api_server import Api, serving_api
from tests.unit.core.model_stage import CLASS, examined, tuned

NODE = "worker-models"


@dataclass
class Models:
    """A running API, its store, and clients of a publisher."""

    api: Api
    store: BlobStore
    http: httpx.Client
    client: Client
    results: dict[str, Any] = field(default_factory=dict)

    def add_node(self, **labels: str) -> None:
        """Register the node."""
        body = RegisterWorker(
            "host", (), {"cpu": 16.0, "memory_mb": 65_536.0}, worker_id=NODE, kind="node", node_id="n1",
            boot="boot", labels={NODE_CLASS_LABEL: CLASS, **labels},
        )  # fmt: skip
        self.api.plane.give(body)

    def work(self) -> int:
        """Complete what the node runs: examinations and tunings with the reports of the stage, the rest with
        success. Return how many it were."""
        plane = self.api.plane
        plane.give(Heartbeat(NODE, boot="boot"))
        running = list(plane.engine.state.workers[NODE].running.items())
        for task_id, attempt in running:
            report = AttemptReport(task_id, attempt, "completed", self._result_of(task_id))
            plane.give(ReportAttempts(NODE, "boot", (report,)))
        return len(running)

    def work_all(self) -> None:
        """Complete everything that is queued."""
        while self.work():
            pass

    def _result_of(self, task_id: str) -> Any:
        run: Any = self.api.plane.engine.state.tasks[task_id].run
        if run["kind"] == "examination":
            return self.results.get("examination") or examined(run["files"][0])
        if run["kind"] == "tuning":
            return self.results.get("tuning") or tuned()
        return {"success": True, "outputs": {}}

    def unfinished(self) -> int:
        """Return how many tasks have not ended."""
        counts = self.api.plane.engine.state.by_status
        return counts[Status.PENDING] + counts[Status.RUNNING] + counts[Status.WAITING]


@contextmanager
def serving_models(folder: Path, **settings: Any) -> Iterator[Models]:
    """Serve the API until the block ends."""
    made = Settings(data_dir=folder, **settings)
    with serving_api(made) as api:
        http = api.add("pub", "publisher", "developer")
        token = http.headers["Authorization"].removeprefix("Bearer ")
        with Client(api.url, token) as client:
            yield Models(api, head_store(made), http, client)
