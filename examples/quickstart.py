"""Log in, submit a task that runs on the cluster, wait for it, print its result.

Run: HELIX_PASSWORD=admin123 python examples/quickstart.py
(HELIX_URL: http://localhost:8080, HELIX_USERNAME: admin)
"""

from __future__ import annotations

import os
import time
from typing import Any

import requests

URL = os.environ.get("HELIX_URL", "http://localhost:8080") + "/api/v1"
TRIES_MAX = 8
TRY_AGAIN = {429, 502, 503, 504}
WAIT_S = 20
WAITS_MAX = 3


def call(method: str, path: str, **options: Any) -> Any:
    """Send a request, and again where the server asks for it; exit with a message on a refusal."""
    for attempt in range(TRIES_MAX):
        try:
            response = requests.request(method, URL + path, timeout=WAIT_S + 10, **options)
        except requests.RequestException as error:
            raise SystemExit(
                f"{URL} does not respond ({type(error).__name__}); is `helix up` running?"
            ) from None
        if response.status_code not in TRY_AGAIN:
            break
        time.sleep(max(0.5 * 2**attempt, float(response.headers.get("Retry-After", 0))))
    # 409: the task has not ended yet
    if not response.ok and response.status_code != 409:
        raise SystemExit(f"{method} {path}: {response.status_code} {response.text}")
    return response.json()


# Login
login = {"username": os.environ.get("HELIX_USERNAME", "admin"), "password": os.environ.get("HELIX_PASSWORD")}
headers = {"Authorization": f"Bearer {call('POST', '/auth/login', json=login)['token']}"}

# Create task
task = call(
    "POST",
    "/tasks",
    headers=headers,
    json={
        "title": "Primes below a million",
        "type": "testing",
        "priority": "high",
        "run": {"kind": "function", "function": "helix_ray.samples:count_primes", "args": [1_000_000]},
    },
)

# Wait for the result: one request for each WAIT_S seconds
for _ in range(WAITS_MAX):
    answer = call("GET", f"/tasks/{task['id']}/result?wait_s={WAIT_S}", headers=headers)
    if "status" in answer:
        print(task["id"], answer["status"])
        print(answer)
        raise SystemExit(answer["status"] != "completed")
raise SystemExit(f"{task['id']} has not ended after {WAITS_MAX * WAIT_S} s")
