"""The programs of docs/devices.md run as they stand, with only the address changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.http.api_server import Api
from tests.http.conftest import Require
from tests.three_ways import indented_code

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "devices.md").read_text()
ADDRESS = "http://127.0.0.1:8080"
PROGRAM_MAX_S = 240


@pytest.fixture(scope="module")
def user(api: Api) -> httpx.Client:
    """A user who enrols devices."""
    return api.add("dana", "developer")


def program(api: Api, beginning: str) -> str:
    """Return the program of the page that begins so."""
    (found,) = [each for each in indented_code(PAGE) if each.startswith(beginning)]
    return found.replace(ADDRESS, api.url)


def ran(*argv: str, cwd: Path = ROOT, **variables: str) -> str:
    """Run a program to its end; return what it printed."""
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=PROGRAM_MAX_S, check=False, cwd=cwd,
        env={**os.environ, **variables},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def code(user: httpx.Client) -> str:
    """Return a one-time code."""
    made: str = user.post("/devices/codes").json()["code"]
    return made


def test_curl(api: Api, user: httpx.Client, require: Require) -> None:
    """A code, a device, its first pull, and the status."""
    require("curl")
    token = user.headers["Authorization"].removeprefix("Bearer ")
    printed = ran("sh", "-ec", program(api, "URL="), TOKEN=token)
    decoder = json.JSONDecoder()
    changes, end = decoder.raw_decode(printed)
    status, _ = decoder.raw_decode(printed[end:].lstrip())
    assert (changes["changes"], changes["rows"], changes["has_more"]) == ([], 0, False)
    assert status["synced_devices"][-1]["device_type"] == "watch"
    assert status["synced_devices"][-1]["status"] == "synced"


def test_python_and_javascript(api: Api, user: httpx.Client, tmp_path: Path, require: Require) -> None:
    """The note of the first shows at once, and is on the server after a sync; the second has it, and its
    own."""
    source = f"code = {code(user)!r}\n" + program(api, "from helix_ray.devices")
    printed = ran(sys.executable, "-c", source, cwd=tmp_path)
    assert printed.splitlines() == ["{'shopping': {'text': 'milk'}}", "{'text': 'milk'}"]
    assert (tmp_path / "phone.json").exists()
    source = f"const code = {json.dumps(code(user))};\n" + program(api, "const { Device")
    printed = ran(require("node"), "-e", source)
    assert "shopping: { text: 'milk' }" in printed
    assert "garden: { text: 'water' }" in printed
    kept = user.get("/harmony/sync/documents").json()["documents"]
    assert {each["key"]: each["fields"] for each in kept} == {
        "shopping": {"text": "milk"},
        "garden": {"text": "water"},
    }
