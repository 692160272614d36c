"""A program: deploys the Serve configuration of deploy/kuberay.yaml on a Ray of its own, as
KubeRay's operator has it done.

Arguments: the port. It prints `ready` when the application runs, and ends with its standard input.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

import ray
import yaml
from ray import serve
from ray.serve.context import _get_global_client
from ray.serve.schema import ServeDeploySchema

FILE = Path(__file__).parents[2] / "deploy" / "kuberay.yaml"
START_S_MAX = 120.0


def main(port: int) -> None:
    """Deploy, wait, stay."""
    documents = yaml.safe_load_all(FILE.read_text())
    (service,) = [document for document in documents if document["kind"] == "RayService"]
    config: dict[str, Any] = yaml.safe_load(service["spec"]["serveConfigV2"])
    config["http_options"] |= {"host": "127.0.0.1", "port": port}
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        serve.start(http_options=config["http_options"])
        # What the dashboard does for the operator's PUT /api/serve/applications/.
        client = _get_global_client()
        assert client is not None
        client.deploy_apps(ServeDeploySchema(**config))
        _wait()
        print("ready", flush=True)
        sys.stdin.read()
        serve.shutdown()
    finally:
        ray.shutdown()


def _wait() -> None:
    give_up, pause = time.monotonic() + START_S_MAX, threading.Event()
    while (status := serve.status().applications["helix"]).status != "RUNNING":
        assert status.status != "DEPLOY_FAILED", status.message
        assert time.monotonic() < give_up, status
        pause.wait(0.2)


if __name__ == "__main__":
    main(int(sys.argv[1]))
