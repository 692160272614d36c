"""Starts what is measured, as its users do, on free ports and in folders of its own; ends all of it."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import orjson
import psutil

from benchmarks.load import one_by_one, request

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "a-benchmark's-password"
STOP_S_MAX = 30.0
PORT_MIN, PORT_MAX = 20_000, 32_000  # below the range the kernel hands out
REQUESTS_PER_HOUR = "100000000"


class DidNotStart(Exception):
    """A server ended before it was ready; the message ends with what it said."""


def free_port() -> int:
    """Return a port that nobody listens on, with the one above it free as well."""
    while True:
        port = random.randrange(PORT_MIN, PORT_MAX)
        if _is_free(port) and _is_free(port + 1):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@contextmanager
def process(
    command: list[str], environment: Mapping[str, str], ready: str, log: Path
) -> Iterator[subprocess.Popen[str]]:
    """Run a server between its line that has `ready` in it and SIGTERM; raise
    DidNotStart with its last words."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "HELIX_"))}
    with log.open("w") as errors:
        started = subprocess.Popen(
            command, cwd=ROOT, env=kept | dict(environment), stdout=subprocess.PIPE, stderr=errors, text=True
        )
        try:
            assert started.stdout is not None
            _wait_for(started.stdout, ready, log)
            yield started
        finally:
            _stop(started)


def _wait_for(output: IO[str], ready: str, log: Path) -> None:
    said = []
    for line in output:
        if ready in line:
            return
        said.append(line)
    raise DidNotStart("".join(said[-5:]) + log.read_text()[-2000:])


def _stop(started: subprocess.Popen[str]) -> None:
    started.send_signal(signal.SIGTERM)
    try:
        started.wait(STOP_S_MAX)
    except subprocess.TimeoutExpired:
        started.kill()
        started.wait()
    if started.stdout is not None:
        started.stdout.close()


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a folder that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="helix-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Server:
    """A running server: its port, and the processes below it."""

    def __init__(self, port: int, pid: int) -> None:
        self.port = port
        self.pid = pid

    def actor(self, name: str) -> psutil.Process:
        """Return the process of an actor, by what Ray calls it (`Master`,
        `ServeReplica:helix`); raises LookupError."""
        for child in psutil.Process(self.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error, IndexError):
                if re.match(rf"ray::{name}\b", child.cmdline()[0]):
                    return child
        raise LookupError(f"no process of the actor {name}")

    def cpu_by_actor(self) -> dict[str, float]:
        """Return the CPU seconds used so far by the living actors' processes, by what Ray calls their
        classes, and by all other processes below this server as `others`."""
        used: defaultdict[str, float] = defaultdict(float)
        for child in psutil.Process(self.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                named = re.match(r"ray::([\w:]+)", " ".join(child.cmdline()[:1]))
                used[named[1] if named else "others"] += cpu_s(child)
        return used


class Helix(Server):
    """A running `helix up`, logged in as its administrator."""

    def __init__(self, port: int, pid: int) -> None:
        super().__init__(port, pid)
        body = orjson.dumps({"username": "admin", "password": PASSWORD})
        [answer] = one_by_one(port, [request("POST", "/api/v1/auth/login", port=port, body=body)])
        self._token: str = orjson.loads(answer.body)["token"]

    @property
    def token(self) -> str:
        """The administrator's access token."""
        return self._token

    def request(self, method: str, path: str, body: object = None) -> bytes:
        """Return an authorised request under /api/v1; `body` is a JSON value, or JSON as bytes."""
        encoded = body if body is None or isinstance(body, bytes) else orjson.dumps(body)
        return request(method, f"/api/v1{path}", port=self.port, token=self._token, body=encoded)


def cpu_s(process: psutil.Process) -> float:
    """Return the CPU seconds that a process has used so far, in user and kernel mode."""
    times = process.cpu_times()
    return float(times.user + times.system)


def exact_cpu_s(process: psutil.Process) -> float:
    """Return the same to the nanosecond, for short loads: cpu_s counts ticks of 10 ms."""
    # The clock that clock_getcpuclockid(3) names.
    return time.clock_gettime(~process.pid << 3 | 2)


def tree_cpu_s(pid: int) -> float:
    """Return the CPU seconds of all processes below one that live: of a server, those of Ray among them."""
    total = 0.0
    for process in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            total += cpu_s(process)
    return total


@contextmanager
def helix(data_dir: Path | None = None, **settings: str) -> Iterator[Helix]:
    """Run `helix up` with the rate limits out of the way, in a data directory of its
    own unless one is given. `python_path` is where its processes look for modules first."""
    port = free_port()
    python_path = settings.pop("python_path", None)
    environment = {
        "HELIX_ADMIN_PASSWORD": PASSWORD,
        "HELIX_RATE_LIMIT_AUTHENTICATED": REQUESTS_PER_HOUR,
        "HELIX_RATE_LIMIT_UNAUTHENTICATED": REQUESTS_PER_HOUR,
        "HELIX_RATE_LIMIT_STREAMS": REQUESTS_PER_HOUR,
        "HELIX_TOKEN_TTL_S": "86400",
    } | {f"HELIX_{name.upper()}": value for name, value in settings.items()}
    if python_path is not None:
        environment["PYTHONPATH"] = python_path
    with scratch() as folder:
        home = data_dir or folder / "data"
        command = [sys.executable, "-m", "launcher.up", "--port", str(port), "--data-dir", str(home)]
        with process(command, environment, "ready", folder / "up.log") as started:
            yield Helix(port, started.pid)


@contextmanager
def hello() -> Iterator[Server]:
    """Run bare Serve's hello world."""
    port = free_port()
    with scratch() as folder:
        command = [sys.executable, "-m", "benchmarks.hello", str(port), str(folder)]
        with process(command, {}, "ready", folder / "hello.log") as started:
            yield Server(port, started.pid)
