"""The examples, and the programs that end the API reference, run as they stand."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

if TYPE_CHECKING:
    from tests.conftest import Server

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
REFERENCE = Path(__file__).with_name("reference")
REFERENCE_URL = "http://localhost:8080"
PROGRAM_MAX_S = 240

Require = Callable[[str], str]


def run(*argv: str | Path, **options: object) -> str:
    """Run a program and return what it printed; its standard error is part of the failure."""
    done = subprocess.run(
        [str(part) for part in argv],
        capture_output=True,
        text=True,
        timeout=PROGRAM_MAX_S,
        check=False,
        **options,  # type: ignore[call-overload]
    )
    assert done.returncode == 0, f"{argv}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return str(done.stdout)


@pytest.fixture
def api(server: Server) -> Iterator[requests.Session]:
    """Give a session that is logged in."""
    with requests.Session() as session:
        login = {"username": server.username, "password": server.password}
        token = session.post(f"{server.url}/api/v1/auth/login", json=login).json()["token"]
        session.headers["Authorization"] = f"Bearer {token}"
        yield session


def test_wordstat_is_tested_built_and_run_and_leaves_nothing(tmp_path: Path) -> None:
    """The package that a command task builds does build, and only where it is told to."""
    source = EXAMPLES / "pkg_wordstat"
    before = sorted(source.rglob("*"))
    environment = {"PATH": "/usr/bin:/bin", "PYTHON": sys.executable, "WORDSTAT_OUT": str(tmp_path)}
    counts = json.loads(run("sh", source / "build.sh", env=environment))
    assert (counts["words"], counts["sentences"]) == (64, 5)
    assert counts["top"] == {"is": 8, "the": 5, "list": 4}
    assert (tmp_path / "wordstat.pyz").is_file()
    assert sorted(source.rglob("*")) == before


def test_wordstat_cleans_up_its_own_folder(tmp_path: Path) -> None:
    """Without WORDSTAT_OUT it builds in a temporary folder and removes it."""
    environment = {"PATH": "/usr/bin:/bin", "PYTHON": sys.executable, "TMPDIR": str(tmp_path)}
    run("sh", EXAMPLES / "pkg_wordstat" / "build.sh", env=environment)
    assert list(tmp_path.iterdir()) == []


def test_the_external_worker_is_short() -> None:
    """It shows that the documented calls are enough: about 60 lines of code, without
    blank ones and docstrings."""
    source = (EXAMPLES / "external_worker.py").read_text()
    code = re.sub(r'^ *""".*?"""$', "", source, flags=re.DOTALL | re.MULTILINE)
    assert len([line for line in code.splitlines() if line.strip()]) <= 65


def test_an_external_worker_does_a_whole_job(server: Server, api: requests.Session) -> None:
    """A task without `run` is handed to a registered worker, which reads it, does it, and says so."""
    body = {"title": "Count", "description": "to be or not to be", "type": "design", "priority": "critical"}
    task = api.post(f"{server.url}/api/v1/tasks", json=body).json()
    printed = run(sys.executable, EXAMPLES / "external_worker.py", "--once", env=server.environment())
    assert printed.strip() == f"{task['id']}: 6 words, 4 different"
    seen = api.get(f"{server.url}/api/v1/tasks/{task['id']}").json()
    assert (seen["status"], seen["progress"]) == ("completed", 100)


def test_quickstart_gets_its_result(server: Server) -> None:
    """The number of primes below a million comes back from the cluster."""
    printed = run(sys.executable, EXAMPLES / "quickstart.py", env=server.environment())
    assert "completed" in printed
    assert "78498" in printed


def test_curl_gets_its_result(server: Server, require: Require) -> None:
    """The shell example reads the output of its command task."""
    require("curl")
    assert "hello from " in run("sh", EXAMPLES / "curl.sh", env=server.environment())


def test_the_go_client_creates_a_task(server: Server, require: Require, tmp_path: Path) -> None:
    """The Go example compiles with Debian's Go and gets an id."""
    program = tmp_path / "go_client"
    build_go(require("go"), EXAMPLES / "go_client", program, tmp_path)
    identifier, status = run(program, env=server.environment()).split()
    assert identifier.startswith("task-")
    assert status == "pending"


def test_the_reference_python_program_works_as_it_stands(server: Server, tmp_path: Path) -> None:
    """Only the address is ours."""
    program = reference("login_and_create.py.txt", server, tmp_path / "program.py")
    printed = run(sys.executable, program, env=server.environment())
    assert "'title': 'Test Task'" in printed
    assert "'status': 'pending'" in printed


def test_the_reference_curl_lines_work_as_they_stand(
    server: Server, require: Require, tmp_path: Path
) -> None:
    """Only the address is ours, and the token that the reader is to put in."""
    require("curl")
    login, create = (REFERENCE / "login_and_create.sh.txt").read_text().split("# Create task\n")
    token = json.loads(run("sh", "-c", login.replace(REFERENCE_URL, server.url)))["token"]
    task = json.loads(run("sh", "-c", create.replace(REFERENCE_URL, server.url).replace("TOKEN", token)))
    assert (task["title"], task["status"], task["priority"]) == ("Test Task", "pending", "high")


def test_the_reference_go_program_works_as_it_stands(
    server: Server, api: requests.Session, require: Require, tmp_path: Path
) -> None:
    """Only the address is ours. It prints nothing, so the task that it made is looked for."""
    folder = tmp_path / "reference"
    folder.mkdir()
    shutil.copy(EXAMPLES / "go_client" / "go.mod", folder)
    reference("login_and_create.go.txt", server, folder / "main.go")
    tasks = f"{server.url}/api/v1/tasks?limit=1"
    before = api.get(tasks).json()["total"]
    build_go(require("go"), folder, tmp_path / "program", tmp_path)
    run(tmp_path / "program", env=server.environment())
    assert api.get(tasks).json()["total"] == before + 1


def reference(name: str, server: Server, path: Path) -> Path:
    """Write a program of the API reference to path, for the server under test."""
    path.write_text((REFERENCE / name).read_text().replace(REFERENCE_URL, server.url))
    return path


def build_go(go: str, folder: Path, program: Path, tmp_path: Path) -> None:
    """Compile the module in the folder, with a build cache of its own and without any network."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "GOPROXY": "off", "GOFLAGS": "-mod=mod"}
    environment["GOCACHE"] = str(tmp_path / f"cache-{uuid.uuid4().hex[:8]}")
    run(go, "build", "-o", program, ".", cwd=folder, env=environment)
