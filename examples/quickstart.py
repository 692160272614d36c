"""Log in, submit a task that runs on the cluster, wait for it, print its result.

Run: HELIX_PASSWORD=admin123 python examples/quickstart.py      (HELIX_URL: http://localhost:8080, HELIX_USERNAME: admin)
"""

from __future__ import annotations

import os
import time

import requests

URL = os.environ.get("HELIX_URL", "http://localhost:8080") + "/api/v1"
POLL_INTERVAL_S = 0.1
WAIT_MAX_S = 60
ENDED = {"completed", "failed", "cancelled"}

# Login
response = requests.post(
    f"{URL}/auth/login",
    json={"username": os.environ.get("HELIX_USERNAME", "admin"), "password": os.environ["HELIX_PASSWORD"]},
)
response.raise_for_status()
headers = {"Authorization": f"Bearer {response.json()['token']}"}

# Create task
response = requests.post(
    f"{URL}/tasks",
    headers=headers,
    json={
        "title": "Primes below a million",
        "type": "testing",
        "priority": "high",
        "run": {"kind": "function", "function": "helix_ray.samples:count_primes", "args": [1_000_000]},
    },
)
response.raise_for_status()
task = response.json()

# Wait
deadline = time.monotonic() + WAIT_MAX_S
while task["status"] not in ENDED:
    if time.monotonic() > deadline:
        raise SystemExit(f"{task['id']} is still {task['status']} after {WAIT_MAX_S} s")
    time.sleep(POLL_INTERVAL_S)
    response = requests.get(f"{URL}/tasks/{task['id']}", headers=headers)
    response.raise_for_status()
    task = response.json()

# Result
print(task["id"], task["status"])
print(requests.get(f"{URL}/tasks/{task['id']}/result", headers=headers).json())
raise SystemExit(task["status"] != "completed")
