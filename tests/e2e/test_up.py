"""`python -m launcher.up` as its users run it: it starts, passes everything through,
and ends without a trace.

The application served is tests/e2e/hello_app.py: what is tested is the life cycle and the serving layer.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import psutil
import pytest

from launcher.up.data_dir import DATA_DIR
from tests.conftest import free_port
from tests.e2e.hello_app import STREAM_S
from tests.own_time import OwnTime
from tests.processes import command_line

MARKER = "HELIX_UP_ID"
GONE_S_MAX = ANSWER_S_MAX = 60.0
START_S_MAX = 200.0
CONNECTIONS = 500
CTRL_C = b"\x03"
# Promised are 3 s; the machine of a test may be busy with other tests.
DOWN_S_MAX = 3 * 3.0
HERE = Path(__file__).parent
PASSWORD = "correct horse battery staple"
get = partial(httpx.get, timeout=ANSWER_S_MAX)


@dataclass
class Up:
    """One `helix up` and what it printed."""

    process: subprocess.Popen[str]
    data_dir: Path
    port: int
    url: str

    def state(self) -> dict[str, str]:
        found: dict[str, str] = json.loads((self.data_dir / "up.json").read_bytes())
        return found

    def marker(self) -> str:
        return self.state()["id"]


def environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "HELIX_ADMIN_PASSWORD": PASSWORD}


def command(data_dir: Path, port: int, *flags: str) -> list[str]:
    up = [sys.executable, "-m", "launcher.up", "--data-dir", str(data_dir), "--port", str(port)]
    return [*up, "--app", "hello_app:app", *flags]


@contextlib.contextmanager
def started(data_dir: Path, *flags: str, before: Callable[[], object] | None = None) -> Iterator[Up]:
    """Start one, wait until it is ready, and end it at last however the test went; `before` runs first in its
    process."""
    port = free_port()
    errors_file = data_dir.parent / f"{data_dir.name}.stderr"
    with errors_file.open("w") as errors:
        process = subprocess.Popen(
            command(data_dir, port, *flags),
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            preexec_fn=before,
        )
    with process:
        try:
            assert process.stdout is not None
            ready = next((line for line in process.stdout if line.startswith("ready ")), None)
            assert ready is not None, errors_file.read_text()
            yield Up(process, data_dir, port, ready.split()[1])
        finally:
            process.terminate()


def marked(marker: str) -> list[psutil.Process]:
    """Return the processes that carry a `helix up`'s marker in their environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARKER) == marker and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> float:
    """Poll until it holds; return the seconds it took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, what
        with contextlib.suppress(TimeoutError):
            signal.sigtimedwait([], 0.05)
    return time.monotonic() - started


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    resources = '[{},{"GPU":1},{"GPU":2,"NPU":1}]'
    data_dir = tmp_path_factory.mktemp("up") / "data"
    with started(data_dir, "--nodes", "3", "--node-resources", resources) as up:
        yield up


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with it."""
    process = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    yield process
    process.kill()
    process.wait()


# ------------------------------------------------------------------------------------------ the serving layer


def test_what_the_application_says_is_what_the_caller_gets(running: Up) -> None:
    """Status, body and headers of an error pass unchanged, with one X-Request-ID; none names the program."""
    answer = get(running.url + "/refused", headers={"X-Request-ID": "not well-formed!"})
    assert answer.status_code == 429
    assert answer.json() == {"error": {"code": "RATE_LIMITED"}}
    assert answer.headers.get_list("x-request-id") == ["req-ours"]
    assert (answer.headers["retry-after"], answer.headers.get("server")) == ("7", None)


def test_a_stream_arrives_in_pieces(running: Up) -> None:
    """Server-sent events are passed on as they are made, not when the answer ends."""
    with httpx.stream("GET", running.url + "/stream", timeout=ANSWER_S_MAX) as answer:
        pieces = [(time.monotonic(), piece) for piece in answer.iter_raw()]
    assert b"".join(piece for _, piece in pieces) == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
    assert len(pieces) == 3
    assert pieces[-1][0] - pieces[0][0] > STREAM_S / 2


def test_a_chunked_body_arrives_whole(running: Up) -> None:
    """A request body without a length is taken."""
    answer = httpx.post(running.url + "/echo", content=iter([b"a" * 70_000, b"b"]), timeout=ANSWER_S_MAX)
    assert answer.content == b"a" * 70_000 + b"b"


def test_a_connection_is_kept(running: Up) -> None:
    """The client address is the peer's and stays the same port: X-Forwarded-For does not change it."""
    with httpx.Client(headers={"X-Forwarded-For": "203.0.113.9"}, timeout=ANSWER_S_MAX) as client:
        first, second = (client.get(running.url + "/seen").json()["client"] for _ in range(2))
    assert first == second
    assert first[0] == "127.0.0.1"


def test_serve_takes_no_orders_from_callers(running: Up) -> None:
    """Headers that Serve obeys do not reach it, and its own paths are unknown paths."""
    slow = get(running.url + "/stream", headers={"X-Request-Timeout-Seconds": "0.001"})
    assert slow.status_code == 200
    for path in ("/-/healthz", "/-/routes"):
        answer = get(running.url + path)
        assert (answer.status_code, answer.json()) == (404, {"error": {"code": "NOT_FOUND"}})


@pytest.mark.parametrize(
    "raw", [b"GARBAGE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n"]
)
def test_what_is_not_http_gets_the_envelope(running: Up, raw: bytes) -> None:
    """Even an answer from below the application has the documented form."""
    place = ("127.0.0.1", running.port)
    with contextlib.closing(socket.create_connection(place, timeout=ANSWER_S_MAX)) as connection:
        connection.sendall(raw)
        head, _, body = b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["error"]["code"] == "VALIDATION_ERROR"
    assert json.loads(body)["request_id"].encode() in head


def test_nothing_listens_where_others_could_reach_it(running: Up) -> None:
    """Every socket of every process is bound to 127.0.0.1."""
    listening = set()
    for process in marked(running.marker()):
        with contextlib.suppress(psutil.Error, OSError):
            found = process.net_connections("tcp")
            listening |= {seen.laddr.ip for seen in found if seen.status == psutil.CONN_LISTEN}
    assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}


def test_serve_runs_no_proxy(running: Up) -> None:
    """Of Serve there are the controller and the API's replica: clients are answered without a proxy."""
    titles = [command_line(process.pid) for process in marked(running.marker())]
    assert sum(title.startswith("ray::ServeReplica") for title in titles) == 1
    assert not any(title.startswith("ray::ProxyActor") for title in titles)


def test_the_password_is_in_no_environment(running: Up) -> None:
    """Tasks run in processes that inherit Ray's environment; the administrator's password is not in it."""
    below = []
    for process in marked(running.marker()):
        with contextlib.suppress(psutil.Error, OSError):
            below += [process.environ()] if process.name() != "python" else []
    assert below
    assert not any(PASSWORD in found.values() for found in below)


def test_nodes_say_which_of_their_resources_are_simulated(running: Up) -> None:
    """Each raylet offers what --node-resources asked for, and its label names what is logical."""
    program = (
        "import os, json, ray; ray.init(address=os.environ['HELIX_RAY'], log_to_driver=False, "
        "logging_level='ERROR');"
        "print(json.dumps([[n['Resources'], n['Labels']] for n in ray.nodes()]))"
    )
    joined = environment() | {
        "HELIX_RAY": running.state()["ray_address"],
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(running.data_dir / "ray.token"),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }
    done = subprocess.run(
        [sys.executable, "-c", program], env=joined, capture_output=True, text=True, timeout=60
    )
    nodes = sorted(json.loads(done.stdout), key=lambda node: node[1]["helix-node-index"])
    assert [node[0].get("GPU", 0) for node in nodes] == [0, 1, 2]
    assert [node[1].get("helix-simulated") for node in nodes] == [None, "GPU", "GPU.NPU"]
    stranger = joined | {"RAY_AUTH_TOKEN_PATH": "/dev/null", "RAY_AUTH_TOKEN": "0" * 64}
    refused = subprocess.run(
        [sys.executable, "-c", program], env=stranger, capture_output=True, text=True, timeout=60
    )
    assert refused.returncode != 0
    assert "AuthenticationError" in refused.stderr


def test_a_killed_replica_is_back_on_its_port(running: Up) -> None:
    """kill -9 of the API replica costs a few seconds."""

    def pid() -> int | None:
        with contextlib.suppress(httpx.HTTPError):
            found: int = httpx.get(running.url + "/seen", timeout=5).json()["pid"]
            return found
        return None

    for _ in range(2):
        before = pid()
        assert before is not None
        os.kill(before, signal.SIGKILL)
        # Seconds on a machine of its own: a replica has to be noticed and started,
        # whoever else uses the cores.
        wait_for(lambda dead=before: pid() not in (None, dead), GONE_S_MAX, "the API did not come back")


# -------------------------------------------------------------------------------------------- what is refused


def refused(arguments: list[str]) -> str:
    """Run one that cannot start; return its one line."""
    done = subprocess.run(arguments, env=environment(), capture_output=True, text=True, timeout=ANSWER_S_MAX)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_a_second_one_on_the_same_data_is_refused(running: Up) -> None:
    """The error names the process that holds the data directory."""
    line = refused(command(running.data_dir, free_port()))
    assert f"pid {running.process.pid}" in line
    assert get(running.url + "/hello").status_code == 200


def test_a_taken_port_is_refused(running: Up, tmp_path: Path) -> None:
    """Nothing is started for a port that somebody listens on."""
    assert f"127.0.0.1:{running.port}" in refused(command(tmp_path / "other", running.port))


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--node-resources", "[{"], "must be valid JSON"),
        (["--node-resources", "[{},{}]"], "--nodes is 1"),
        (["--nodes", "none"], "NODES"),
        (["--tls-cert", "/nowhere.pem", "--tls-key", "/nowhere.key"], "/nowhere.pem"),
        (["--tls-cert", "/nowhere.pem"], "--tls-key"),
        (["--host", "203.0.113.1"], "203.0.113.1"),
    ],
)
def test_settings_that_cannot_work_are_one_line(tmp_path: Path, flags: list[str], named: str) -> None:
    """A mistake is said plainly, before anything is started."""
    assert named in refused(command(tmp_path / "data", free_port(), *flags))


# ---------------------------------------------------------------------------------------------------- its end


def take_terminal(terminal: int) -> None:
    """Have a terminal send this process the signals of its keys."""
    os.setsid()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


def outlive_the_terminal() -> None:
    """Do what `nohup` does."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_it_ends_with_all_it_started_and_nothing_else(
    tmp_path: Path, bystander: subprocess.Popen[bytes], how: signal.Signals
) -> None:
    """No process is left, daemons of tasks included, and a stranger is untouched; the data directory is free
    again, and after a kill another one starts on it (after orderly ends: test_retention_live.py).

    SIGINT is Ctrl-C in a terminal, hit twice; SIGHUP ends nothing that was started by `nohup`.
    """
    keyboard, terminal = pty.openpty()
    in_terminal = how == signal.SIGINT
    before = partial(take_terminal, terminal) if in_terminal else outlive_the_terminal
    with started(tmp_path / "data", before=before) as up:
        marker = up.marker()
        daemon = int(httpx.post(up.url + "/daemon", timeout=ANSWER_S_MAX).text)
        assert len(marked(marker)) >= 5
        if in_terminal:
            os.write(keyboard, CTRL_C * 2)
        else:
            up.process.send_signal(signal.SIGHUP)
            assert get(up.url + "/hello").text == "hello"
            up.process.send_signal(how)
        wait_for(lambda: not marked(marker), GONE_S_MAX, "processes are left")
        wait_for(lambda: not psutil.pid_exists(daemon), GONE_S_MAX, "a daemon is left")
        code = up.process.wait(timeout=GONE_S_MAX)
    assert code == (-signal.SIGKILL if how == signal.SIGKILL else 0)
    assert bystander.poll() is None
    for descriptor in (keyboard, terminal):
        os.close(descriptor)
    # The keeper of one that was killed has the folder until it has looked once more for what is left.
    assert DATA_DIR.wait_until_free(tmp_path / "data", GONE_S_MAX)
    if how == signal.SIGKILL:
        with started(tmp_path / "data") as again:
            assert get(again.url + "/hello").text == "hello"


def test_a_killed_keeper_takes_all_with_it(tmp_path: Path) -> None:
    """The process that ends the others may be killed itself."""
    with started(tmp_path / "data") as up:
        marker = up.marker()
        (keeper,) = psutil.Process(up.process.pid).children()
        keeper.kill()
        assert up.process.wait(timeout=GONE_S_MAX) == 1
        wait_for(lambda: not marked(marker), GONE_S_MAX, "processes are left")


def test_a_detached_one_is_ended_by_down(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    """--detach shows its stages and returns when it serves HTTPS, on a port that it
    chose itself with --port 0.

    --down ends it and waits, whoever is connected; a second --down finds nothing.
    """
    cert, key = certificate
    data_dir = tmp_path / "data"
    arguments = command(data_dir, 0, "--detach", "--tls-cert", str(cert), "--tls-key", str(key))
    down = [sys.executable, "-m", "launcher.up", "--down", "--data-dir", str(data_dir)]
    try:
        done = subprocess.run(
            arguments, env=environment(), capture_output=True, text=True, timeout=START_S_MAX
        )
        url = done.stdout.splitlines()[-1].removeprefix("ready ")
        port = int(url.removeprefix("https://127.0.0.1:"))
        assert port > 0
        assert "helix up: starting 1 Ray node\n" in done.stderr
        assert "helix up: starting the API\n" in done.stderr
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
        seen = get(f"{url}/seen", verify=False)
        assert seen.json()["scheme"] == "https"
        marker = json.loads((data_dir / "up.json").read_bytes())["id"]
    finally:
        with OwnTime() as own_time:
            ended = subprocess.run(down, env=environment(), timeout=GONE_S_MAX)
    for connection in idle:
        connection.close()
    assert ended.returncode == 0
    assert own_time.seconds < DOWN_S_MAX
    assert not marked(marker)
    again = subprocess.run(down, env=environment(), capture_output=True, text=True, timeout=ANSWER_S_MAX)
    assert again.returncode == 0
    assert "nothing is running" in again.stderr
