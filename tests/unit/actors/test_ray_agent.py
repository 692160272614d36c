"""What stands for Ray's agents: it loads nothing of Ray, and becomes the program that is asked for."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from actors.ray_seams import AGENT_PROGRAM
from tests.processes import command_line
from tests.ray.signals import until

NODE = "0" * 56
# Stands for Ray's: it binds a socket of its own to the port of its flags, and answers one request.
PROGRAM = """
import http.server, socket, sys
(port,) = [int(word.split("=")[1]) for word in sys.argv[1:] if "agent-port" in word]
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"asked " + self.path.encode())
own = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
own.bind(("127.0.0.1", port))
own.listen()
server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
server.socket.close()
server.socket = own
server.handle_request()
"""


@pytest.fixture
def session(tmp_path: Path) -> Path:
    """The folder of a Ray session with a program in the place of the agent of runtime environments."""
    program = tmp_path / "runtime_env/agent/main.py"
    program.parent.mkdir(parents=True)
    program.write_text(PROGRAM)
    (tmp_path / "dashboard").mkdir()
    return tmp_path


def started(session: Path, program: str, stack: ExitStack) -> subprocess.Popen[bytes]:
    """Start the agent of a node as the raylet does, until the block ends."""
    flags = [f"--session-dir={session}", f"--node-id={NODE}", "--node-ip-address=127.0.0.1"]
    command = [sys.executable, "-u", "-S", AGENT_PROGRAM, str(session / program), *flags]
    environment = {**os.environ, "RAY_RAYLET_PID": str(os.getpid())}
    process = stack.enter_context(
        subprocess.Popen([*command, "--runtime-env-agent-port=0", "--minimal"], env=environment)
    )
    stack.callback(process.kill)
    return process


def port(session: Path, name: str) -> int:
    """Wait until an agent has said a port; return it."""
    file = session / f"{name}_{NODE}"
    until(file.exists)
    return int(file.read_text())


def test_the_agent_of_the_dashboard_serves_nothing_and_loads_nothing(session: Path) -> None:
    """It says so of each of its ports, and stays, under the title of Ray's."""
    with ExitStack() as stack:
        process = started(session, "dashboard/agent.py", stack)
        names = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port")
        assert {port(session, name) for name in names} == {-1}
        assert command_line(process.pid).split() == ["ray::DashboardAgent"]
        assert Path(f"/proc/{process.pid}/comm").read_text().strip() == "ray::DashboardAgent"[:15]
        assert "_raylet" not in Path(f"/proc/{process.pid}/maps").read_text()
        assert process.poll() is None


def test_the_agent_of_runtime_environments_starts_when_it_is_asked(session: Path) -> None:
    """The request that starts it is answered by the program, on the same port and in the same process."""
    with ExitStack() as stack:
        process = started(session, "runtime_env/agent/main.py", stack)
        connection = http.client.HTTPConnection(
            "127.0.0.1", port(session, "runtime_env_agent_port"), timeout=60
        )
        stack.callback(connection.close)
        connection.request("GET", "/environment")
        assert connection.getresponse().read() == b"asked /environment"
        assert process.wait(60) == 0


def test_an_agent_ends_with_its_raylet(session: Path) -> None:
    """It is another's child then."""
    flags = f"--session-dir={session} --node-id={NODE} --node-ip-address=127.0.0.1"
    agent = f"{sys.executable} -S {AGENT_PROGRAM} {session}/dashboard/agent.py {flags} & echo $!; read line"
    raylet = subprocess.Popen(
        ["sh", "-c", agent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={"PATH": "/bin"}
    )
    with raylet:
        assert raylet.stdin is not None
        assert raylet.stdout is not None
        pid = int(raylet.stdout.readline())
        assert port(session, "metrics_agent_port") == -1
        raylet.stdin.close()
        raylet.stdout.close()
    until(lambda: not Path(f"/proc/{pid}").exists())


def test_what_it_does_not_understand_is_left_to_the_program(session: Path) -> None:
    """Flags of another Ray start Ray's own program at once."""
    program = session / "dashboard/agent.py"
    program.write_text("import sys; print(sys.argv[1:])")
    command = [sys.executable, "-S", AGENT_PROGRAM, str(program), "--unknown"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout == "['--unknown']\n"
