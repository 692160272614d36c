"""The programs that end the API reference run as they stand; where port 8080 is
taken, only the port is ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.http.api_server import PASSWORD, Api
from tests.http.conftest import Require
from tests.three_ways import WAYS, Running, indented_code

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "tests" / "docs" / "reference"
WORKER = ROOT / "examples" / "external_worker.py"
REFERENCE_URL = "http://localhost:8080"
PROGRAM_MAX_S = 240


def run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=PROGRAM_MAX_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def program(name: str, api: Api) -> str:
    return (REFERENCE / name).read_text().replace(REFERENCE_URL, api.url)


def test_python(api: Api) -> None:
    printed = run(sys.executable, "-c", program("login_and_create.py.txt", api))
    for part in ("'title': 'Test Task'", "'status': 'pending'", "'priority': 'high'", "'created_at'"):
        assert part in printed


@pytest.mark.parametrize("way", WAYS)
def test_the_example_of_the_python_client(url: str, way: str, tmp_path: Path) -> None:
    """Of docs/python-api.md, in a script, at a prompt, and in a running event loop."""
    _, _, page = (ROOT / "docs" / "python-api.md").read_text().partition("\n## Over REST\n")
    (example,) = indented_code(page)
    code = f'password = "{PASSWORD}"\n' + example.replace("http://127.0.0.1:8080", url)
    assert "78498" in Running(way, code, tmp_path / "here", os.environ).printed()


def test_curl(api: Api, require: Require) -> None:
    require("curl")
    login, create = program("login_and_create.sh.txt", api).split("# Create task\n")
    answer = json.loads(run("sh", "-c", login))
    task = json.loads(run("sh", "-c", create.replace("TOKEN", answer["token"])))
    assert (task["title"], task["status"], task["priority"]) == ("Test Task", "pending", "high")


def test_the_example_worker_does_its_job(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """examples/external_worker.py in a process of its own takes a task and completes it."""
    admin = api.client()
    task_id = api.submit(admin, type="design", description="to be or not to be")
    for name, value in (("URL", api.url), ("USERNAME", "admin"), ("PASSWORD", "admin123")):
        monkeypatch.setenv(f"HELIX_{name}", value)
    assert run(sys.executable, str(WORKER), "--once").startswith(f"{task_id}: 6 words, 4 different")
    task = admin.get(f"/tasks/{task_id}").json()
    assert (task["status"], task["progress"]) == ("completed", 100)


def test_the_example_worker_needs_no_more_than_a_token(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """With HELIX_TOKEN, of the role `worker` and nothing else, it does a task to its end;
    revoked, it says so and ends."""
    admin = api.client()
    task_id = api.submit(admin, type="design", description="not to be")
    made = admin.post("/auth/tokens", json={"name": "counter", "roles": ["worker"]}).json()
    monkeypatch.setenv("HELIX_URL", api.url)
    monkeypatch.setenv("HELIX_TOKEN", made["token"])
    assert run(sys.executable, str(WORKER), "--once") == f"{task_id}: 3 words, 3 different\n"
    task = admin.get(f"/tasks/{task_id}").json()
    assert (task["status"], task["progress"], task["attempt"]) == ("completed", 100, 1)
    assert admin.delete(f"/auth/tokens/{made['id']}").status_code == 204
    refused = subprocess.run(
        [sys.executable, str(WORKER), "--once"], capture_output=True, text=True, timeout=PROGRAM_MAX_S
    )
    assert refused.returncode == 1
    assert refused.stderr.startswith("POST /workers/register: ")
