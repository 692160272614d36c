"""A worker outside the cluster, in any language: this one counts the words of a task's description.

Run: HELIX_TOKEN=helix_pat_... python examples/external_worker.py      (HELIX_URL: http://localhost:8080)
with a token of the role `worker` (helix token create hands --role worker), or with HELIX_USERNAME and
HELIX_PASSWORD. It takes tasks without a `run` object whose type it can do; --once ends it after one.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from typing import Any

import requests

URL = os.environ.get("HELIX_URL", "http://localhost:8080") + "/api/v1"
TRIES_MAX, PAUSE_S_MAX = 12, 60.0
TRY_AGAIN = {429, 502, 503, 504}
session = requests.Session()


def call(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Send a request until it is answered for good; raises SystemExit with a sentence where it is refused."""
    said = ""
    for attempt in range(TRIES_MAX):
        pause_s = min(0.5 * 2**attempt, PAUSE_S_MAX)
        try:
            answer = session.request(method, URL + path, json=body, timeout=30)
            if answer.ok:
                return answer.json()
            said = answer.json()["error"]["message"]
            if answer.status_code == 401 and path != "/auth/login" and "HELIX_TOKEN" not in os.environ:
                log_in()  # the session or its token has ended
                continue
            if answer.status_code not in TRY_AGAIN:
                raise SystemExit(f"{method} {path}: {said}")
            pause_s = max(pause_s, float(answer.headers.get("Retry-After", 0)))
        except requests.RequestException as error:
            said = f"{URL} does not respond ({type(error).__name__})"
        time.sleep(pause_s)
    raise SystemExit(f"Gave up after {TRIES_MAX} tries: {said}")


def log_in() -> None:
    """Use the token for all further calls, or open a session."""
    login = {"username": os.environ.get("HELIX_USERNAME"), "password": os.environ.get("HELIX_PASSWORD")}
    token = os.environ.get("HELIX_TOKEN") or call("POST", "/auth/login", login)["token"]
    session.headers["Authorization"] = "Bearer " + token


def work(task_id: str, attempt: int) -> None:
    """Do one task: read it, count, and report progress and end of the attempt that the heartbeat gave."""
    words = call("GET", f"/tasks/{task_id}")["description"].split()
    call("PUT", f"/tasks/{task_id}", {"progress": 50, "attempt": attempt})
    print(f"{task_id}: {len(words)} words, {len({word.lower() for word in words})} different", flush=True)
    call("PUT", f"/tasks/{task_id}", {"status": "completed", "progress": 100, "attempt": attempt})


def main() -> None:
    """Register, and take what the heartbeats hand out."""
    log_in()
    hello = {
        "hostname": socket.gethostname(),
        "capabilities": ["design"],
        "resources": {"cpu": os.cpu_count()},
    }
    beat = {"worker_id": call("POST", "/workers/register", hello)["worker_id"], "status": "idle"}
    while True:
        told = call("POST", "/workers/heartbeat", beat)
        if told["assigned_task"] is None:
            time.sleep(told["next_heartbeat_s"])
            continue
        try:
            work(told["assigned_task"], told["attempt"])
        except SystemExit as refused:  # cancelled, or given to another worker meanwhile
            print(refused, file=sys.stderr)
            time.sleep(told["next_heartbeat_s"])
        if "--once" in sys.argv:
            return


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit("Stopped.") from None
