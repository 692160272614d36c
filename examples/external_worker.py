"""A worker outside the cluster, in any language: this one counts the words of a task's description.

Run: HELIX_URL=http://localhost:8080 HELIX_USERNAME=admin HELIX_PASSWORD=admin123 python examples/external_worker.py --once
It takes tasks without a `run` object whose type it can do. Without --once it goes on until it is interrupted.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import requests

URL = os.environ.get("HELIX_URL", "http://localhost:8080") + "/api/v1"
HEARTBEAT_INTERVAL_S = 1.0
session = requests.Session()


def call(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Send one request and return the decoded answer; raises requests.HTTPError for anything but success."""
    response = session.request(method, URL + path, json=body, timeout=30)
    response.raise_for_status()
    return response.json()


def work(task_id: str) -> None:
    """Do one task: read it, count, and tell the progress and the end."""
    words = call("GET", f"/tasks/{task_id}")["description"].split()
    call("PUT", f"/tasks/{task_id}", {"progress": 50})
    print(f"{task_id}: {len(words)} words, {len({word.lower() for word in words})} different", flush=True)
    call("PUT", f"/tasks/{task_id}", {"status": "completed", "progress": 100})


def main() -> None:
    """Log in, register, and take what the heartbeats hand out."""
    login = {"username": os.environ["HELIX_USERNAME"], "password": os.environ["HELIX_PASSWORD"]}
    session.headers["Authorization"] = "Bearer " + call("POST", "/auth/login", login)["token"]
    memory_mb = psutil.virtual_memory().total // 2**20
    host = {"cpu": os.cpu_count(), "memory": memory_mb, "gpu": Path("/dev/nvidia0").exists()}
    hello = {"hostname": socket.gethostname(), "capabilities": ["design"], "resources": host}
    worker_id = call("POST", "/workers/register", hello)["worker_id"]
    while True:
        usage = {"cpu_usage": psutil.cpu_percent(), "memory_usage": psutil.virtual_memory().used // 2**20}
        beat = {"worker_id": worker_id, "status": "idle", "current_task": None, "resources": usage}
        task_id = call("POST", "/workers/heartbeat", beat)["assigned_task"]
        if task_id is not None:
            work(task_id)
            if "--once" in sys.argv:
                return
        time.sleep(HEARTBEAT_INTERVAL_S)


if __name__ == "__main__":
    main()
