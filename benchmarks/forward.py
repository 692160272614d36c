"""Does a receiver of the audit that hangs cost the API anything? p50 and p99 of POST and GET, one request at
a time, without `helix audit forward`, with one whose receiver takes everything, and with one whose receiver
takes nothing; in turns on one server.

`python -m benchmarks.forward [--rounds N] [--requests N]` starts a server of its own.
"""

from __future__ import annotations

import argparse
import os
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import orjson

from benchmarks.load import one_by_one, percentile
from benchmarks.processes import DidNotStart, Helix, helix, process, scratch

ROUNDS: Final = 8
REQUESTS: Final = 400
TASK: Final = {"title": "forwarded", "type": "planning", "description": "nobody works on it"}
MODES: Final = ("none", "taking", "hanging")
HANGING_BUFFER_BYTES: Final = 4_096
START_S_MAX: Final = 60.0
PIECE_BYTES: Final = 1 << 20


@contextmanager
def receiver(takes: bool) -> Iterator[tuple[int, threading.Event]]:
    """Give the port of a receiver that reads everything, or that accepts and reads nothing, and the event of
    its first connection."""
    connected = threading.Event()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, HANGING_BUFFER_BYTES)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        kept: list[socket.socket] = []

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    kept.append(connection)
                    connected.set()
                    if takes:
                        threading.Thread(target=_drain, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield listener.getsockname()[1], connected
        finally:
            for connection in kept:
                connection.close()


def _drain(connection: socket.socket) -> None:
    with suppress(OSError):
        while connection.recv(PIECE_BYTES):
            pass


@contextmanager
def forwarding(server: Helix, mode: str, folder: Path) -> Iterator[None]:
    """Run the program with a receiver that behaves as the mode says; with none, nothing."""
    if mode == "none":
        yield
        return
    with receiver(mode == "taking") as (port, connected):
        to, state = f"syslog+tcp://127.0.0.1:{port}", str(folder / mode)
        command = [sys.executable, "-m", "helix_ray.cli.main", "audit", "forward", to, "--state", state]
        environment = {"HELIX_URL": f"http://127.0.0.1:{server.port}", "HELIX_TOKEN": server.token}
        if mode == "taking":
            with process(command, environment, "up to fact", folder / "forward.log"):
                yield
            return
        # It prints nothing before the first batch is taken, which is never.
        started = subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.DEVNULL)
        try:
            if not connected.wait(START_S_MAX):
                raise DidNotStart("the receiver was not connected to")
            yield
        finally:
            started.terminate()
            started.wait()


def round_of(server: Helix, count: int) -> tuple[list[float], list[float]]:
    """Return the seconds of POSTs and of GETs of what they have made."""
    made = one_by_one(server.port, [server.request("POST", "/tasks", TASK) for _ in range(count)])
    paths = [f"/tasks/{orjson.loads(answer.body)['id']}" for answer in made]
    read = one_by_one(server.port, [server.request("GET", path) for path in paths])
    return [answer.seconds for answer in made], [answer.seconds for answer in read]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forward", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of each kind ({ROUNDS})")
    parser.add_argument("--requests", type=int, default=REQUESTS, help=f"POSTs and GETs a round ({REQUESTS})")
    given = parser.parse_args()
    found: dict[str, tuple[list[float], list[float]]] = {mode: ([], []) for mode in MODES}
    with helix() as server, scratch() as folder:
        round_of(server, given.requests)
        for _ in range(given.rounds):
            for mode in random.sample(MODES, len(MODES)):
                with forwarding(server, mode, folder):
                    posts, gets = round_of(server, given.requests)
                found[mode][0].extend(posts)
                found[mode][1].extend(gets)
    for verb, which in (("POST", 0), ("GET", 1)):
        for mode in MODES:
            figures = [percentile(found[mode][which], share) for share in (0.5, 0.99)]
            anchors = [percentile(found["none"][which], share) for share in (0.5, 0.99)]
            shown = ", ".join(
                f"{name} {value * 1e3:.2f} ms ({value / anchor:.2f} x)"
                for name, value, anchor in zip(("p50", "p99"), figures, anchors, strict=True)
            )
            print(f"{verb:5}receiver {mode:8} {len(found[mode][which])} requests: {shown}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
