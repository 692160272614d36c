"""The programs of docs/events.md run as they stand: they print what happened before they came, and after."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.docs.test_examples import build_go
from tests.http.api_server import Api
from tests.http.conftest import Require
from tests.http.cutting_proxy import cutting
from tests.ray.signals import until

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINE_S_MAX = 200
PROGRAMS = dict(BLOCK.findall((ROOT / "docs" / "events.md").read_text()))

# An event as the programs print it, and as curl does.
EVENT = re.compile(r'^(task\.\w+) (task-\S+) Test Task$|^data: .*"event":"([^"]+)".*"subject":"([^"]+)"')

Command = Callable[[Require, Path], list[str]]


def python(require: Require, folder: Path) -> list[str]:
    return [sys.executable, "-c", PROGRAMS["python"]]


def javascript(require: Require, folder: Path) -> list[str]:
    return [require("node"), "-e", PROGRAMS["javascript"]]


def curl(require: Require, folder: Path) -> list[str]:
    require("curl")
    return ["sh", "-c", f"exec {PROGRAMS['sh']}"]


def go(require: Require, folder: Path) -> list[str]:
    source = folder / "source"
    source.mkdir()
    (source / "main.go").write_text(PROGRAMS["go"])
    (source / "go.mod").write_text((ROOT / "examples" / "go_client" / "go.mod").read_text())
    build_go(require("go"), source, folder / "program", folder)
    return [str(folder / "program")]


@contextmanager
def running(command: list[str], url: str, token: str) -> Iterator[Iterator[str]]:
    """Run a program; gives its lines. It is killed where it takes too long, so that the reader ends."""
    environment = {**os.environ, "HELIX_URL": url, "HELIX_TOKEN": token}
    process = subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE)
    assert process.stdout is not None
    timer = threading.Timer(LINE_S_MAX, process.kill)
    timer.start()
    try:
        yield iter(process.stdout.readline, "")
    finally:
        timer.cancel()
        process.kill()
        process.communicate()


def one_more(api: Api, admin: httpx.Client) -> list[tuple[str, str]]:
    """Submit a task and cancel it; return what a program must print of it."""
    task_id = api.submit(admin)
    assert admin.post(f"/tasks/{task_id}/cancel").status_code == 200
    return [("task.created", task_id), ("task.cancelled", task_id)]


def printed(lines: Iterator[str], count: int) -> list[tuple[str, str]]:
    """Return the next so many events in what a program prints."""
    found = []
    for line in lines:
        event = EVENT.search(line)
        if event is not None:
            found.append((event[1] or event[3], event[2] or event[4]))
        if len(found) == count:
            return found
    raise AssertionError(f"the program ended after {found}")


@pytest.mark.parametrize("program", [python, javascript, go, curl])
def test_a_program_prints_what_was_and_what_comes(
    api: Api, admin: httpx.Client, program: Command, require: Require, tmp_path: Path
) -> None:
    """Each event once and in order, also where the connection breaks (curl ends with it)."""
    command = program(require, tmp_path)
    token = admin.headers["Authorization"].removeprefix("Bearer ")
    one_more(api, admin)
    before = admin.get("/tasks").json()["total"]
    with cutting(api.url, bytes_max=200) as proxy:
        proxy.is_cutting = False
        with running(command, proxy.url, token) as lines:
            assert len(set(printed(lines, 2 * before))) == 2 * before
            proxy.is_cutting = program is not curl
            missed = one_more(api, admin)
            until(lambda: proxy.cuts > 0 or program is curl)
            proxy.is_cutting = False
            assert printed(lines, 2) == missed
            assert one_more(api, admin) == printed(lines, 2)
