"""Stands for Ray's two agents of a node, which the raylet requires and almost nobody uses.

The raylet starts `python -S .../actors/ray_agent.py PROGRAM FLAGS` (actors/ray_seams.py) in place of each:

- the dashboard's agent serves nothing without the dashboard, and says so in files that the raylet reads;
- the agent of runtime environments is asked by jobs and actors that have one. This listens on its port, and
  becomes Ray's program when somebody connects; the connection waits in the socket, which the program takes
  over.

Ray's programs load all of Ray: more than a second of processor time and 50 MiB each. This file imports
nothing of ours, and nothing of Ray. What it does not understand is left to Ray's program at once.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import select
import socket
import sys

DASHBOARD, RUNTIME_ENV = "dashboard/agent.py", "runtime_env/agent/main.py"
# The files in the folder of the session from which the raylet reads the ports of an agent, by its node.
NOT_SERVED = dict.fromkeys(("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port"), -1)
RUNTIME_ENV_PORT = "runtime_env_agent_port"
PORT_FLAG = f"--{RUNTIME_ENV_PORT.replace('_', '-')}="
TAKES_OVER = "--takes-over="
# How soon an agent ends after its raylet.
LOOK_EVERY_S = 1.0


def main() -> None:
    """Stand for Ray's program, whose path and flags are the arguments."""
    first, *words = sys.argv[1:]
    if first.startswith(TAKES_OVER):
        _run(int(first.removeprefix(TAKES_OVER)), *words)
        return
    flags = dict(word[2:].split("=", 1) for word in words if word.startswith("--") and "=" in word)
    try:
        node, session, host = flags["node-id"], flags["session-dir"], flags["node-ip-address"]
        if first.endswith(DASHBOARD):
            _name("ray::DashboardAgent")
            _say(session, node, NOT_SERVED)
            _wait_for(None)
        elif first.endswith(RUNTIME_ENV):
            _name("ray::RuntimeEnvAgent")
            _listen(first, words, session, node, host)
    except (KeyError, OSError) as error:
        print(f"{first} is started at once: {error!r}", file=sys.stderr)
    os.execv(sys.executable, [sys.executable, "-u", first, *words])  # noqa: S606 - no shell is wanted


def _listen(program: str, words: list[str], session: str, node: str, host: str) -> None:
    """Listen until somebody connects; then become Ray's program on the same socket."""
    (port,) = [int(word.removeprefix(PORT_FLAG)) for word in words if word.startswith(PORT_FLAG)] or [0]
    family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, proto) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen()
        port = listening.getsockname()[1]
        _say(session, node, {RUNTIME_ENV_PORT: port})
        _wait_for(listening)
        listening.set_inheritable(True)
        others = [word for word in words if not word.startswith(PORT_FLAG)]
        own = [sys.executable, "-u", __file__, f"{TAKES_OVER}{listening.fileno()}"]
        os.execv(sys.executable, [*own, program, f"{PORT_FLAG}{port}", *others])  # noqa: S606 - as above


def _name(title: str) -> None:
    """Show the title that Ray's program has, over this process's arguments and as the kernel's name."""
    with open("/proc/self/stat") as file:
        # proc_pid_stat(5): fields 48 and 49 are where the arguments begin and end.
        start, end = map(int, file.read().rpartition(")")[2].split()[45:47])
    if end > start:  # some sandboxes do not tell
        ctypes.memset(start, 0, end - start)
        ctypes.memmove(start, title.encode(), min(len(title), end - start - 1))
    with open("/proc/self/comm", "w") as name:
        name.write(title)


def _say(session: str, node: str, ports: dict[str, int]) -> None:
    """Write ports where the raylet reads them, each file whole at once."""
    for name, port in ports.items():
        path = os.path.join(session, f"{name}_{node}")
        with open(f"{path}.{os.getpid()}", "w") as file:
            file.write(str(port))
        os.rename(file.name, path)


def _wait_for(listening: socket.socket | None) -> None:
    """Wait for a connection, for ever without a socket; end when the raylet has ended."""
    raylet = int(os.environ.get("RAY_RAYLET_PID") or os.getppid())
    watched = [listening] if listening is not None else []
    while not select.select(watched, [], [], LOOK_EVERY_S)[0]:
        if os.getppid() != raylet:
            sys.exit(0)


def _run(handle: int, program: str, *words: str) -> None:
    """Run Ray's program, which gets the socket `handle` where it binds one to the port of its flags."""
    (port,) = [int(word.removeprefix(PORT_FLAG)) for word in words if word.startswith(PORT_FLAG)]

    class Bound(socket.socket):
        """A socket that takes the place of the one that listens already."""

        def bind(self, address: object) -> None:
            if isinstance(address, tuple) and address[1] == port:
                os.dup2(handle, self.fileno(), inheritable=False)
                os.close(handle)
            else:
                super().bind(address)  # type: ignore[arg-type]

    socket.socket = Bound  # type: ignore[misc]
    # As Python does for a program started by its path.
    sys.argv[:], sys.path[0] = [program, *words], os.path.dirname(program)
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main()
