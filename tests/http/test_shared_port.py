"""Several processes share the public port: one socket is held by the launcher's part, and
replicas accept from it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from launcher.up.public_socket import SILENT_S_MAX, PublicSocket
from serve_app.public_port.shared_socket import VARIABLE
from tests.asking import Asking
from tests.certificates import made
from tests.own_time import OwnTime
from tests.ray.signals import until

REPLICA = Path(__file__).with_name("replica.py")
ROOT = Path(__file__).parents[2]
NOTICED_S_MAX = 5.0
RELOADED_S_MAX = 5.0
ASKERS = 8


@dataclass
class Port:
    """The public port of a test, and the processes that serve it."""

    public: PublicSocket
    path: Path
    flags: tuple[str, ...] = ()
    replicas: dict[int, subprocess.Popen[str]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"{'https' if self.flags else 'http'}://127.0.0.1:{self.public.port}"

    def start(self) -> int:
        """Start one replica; return its process id when it serves."""
        environment = dict(os.environ) | {VARIABLE: str(self.path), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, str(REPLICA), *self.flags]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        self.replicas[process.pid] = process
        return process.pid

    def ask(self, source: str = "127.0.0.1") -> dict[str, Any]:
        """Ask with a connection of its own."""
        place = ("127.0.0.1", self.public.port)
        connection = http.client.HTTPConnection(*place, timeout=60, source_address=(source, 0))
        with contextlib.closing(connection):
            return answer_on(connection)


def answer_on(connection: http.client.HTTPConnection) -> dict[str, Any]:
    connection.request("GET", "/")
    said: dict[str, Any] = json.loads(connection.getresponse().read())
    return said


@contextlib.contextmanager
def port(folder: Path, *flags: str) -> Iterator[Port]:
    public = PublicSocket("127.0.0.1", 0)
    path = folder / "public"
    public.hand_out(path)
    made = Port(public, path, flags)
    try:
        yield made
    finally:
        for process in made.replicas.values():
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
        public.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    with port(tmp_path_factory.mktemp("shared")) as made:
        for _ in range(3):
            made.start()
        yield made


def three(shared: Port) -> list[int]:
    """Return the ids of three replicas that live, starting what an earlier test has ended."""
    alive = [pid for pid, process in shared.replicas.items() if process.poll() is None]
    return alive + [shared.start() for _ in range(3 - len(alive))]


def asking(shared: Port) -> Asking:
    """Ask all the time, which process answers."""
    return Asking(lambda: shared.ask()["pid"], ASKERS)


def test_connections_spread_over_the_replicas(shared: Port) -> None:
    """Every one of three replicas takes a share of many connections."""
    replicas = three(shared)
    with asking(shared) as load:
        until(lambda: load.came["ok"] > 300)
    assert set(load.answered_by) == set(replicas)
    assert min(load.answered_by.values()) > sum(load.answered_by.values()) * 0.05
    assert set(load.came) == {"ok"}


def test_connections_that_are_kept_are_spread_too(shared: Port) -> None:
    """Connections that are opened at once do not all go to whoever wakes up first."""
    three(shared)
    answered: set[int] = set()

    def all_take_some() -> bool:
        taken = opened_at_once(shared.public.port)
        assert max(taken.values()) < 40
        answered.update(taken)
        return len(answered) == 3

    # A replica that the machine gives no time to meanwhile takes none of a round.
    until(all_take_some)


def opened_at_once(port: int) -> Counter[int]:
    """Open 48 connections, then ask on each; return how many each process has."""
    with contextlib.ExitStack() as stack:
        clients = [http.client.HTTPConnection("127.0.0.1", port, timeout=60) for _ in range(48)]
        for client in clients:
            stack.callback(client.close)
            client.connect()
        return Counter(answer_on(client)["pid"] for client in clients)


def test_a_death_is_not_noticed_by_new_connections(shared: Port) -> None:
    """kill -9 under load refuses nobody: only what the dead one had accepted breaks."""
    victim = three(shared)[0]
    with asking(shared) as load:
        until(lambda: load.came["ok"] > 100)
        os.kill(victim, signal.SIGKILL)
        before = load.came["ok"]
        until(lambda: load.came["ok"] > before + 200)
    assert load.came["refused"] == 0
    assert load.came["broken"] <= ASKERS


def test_with_none_left_connections_wait_for_the_next(shared: Port) -> None:
    """When the last replica dies, a connection waits in the queue and is answered by the successor."""
    for pid in three(shared):
        os.kill(pid, signal.SIGKILL)
        shared.replicas[pid].wait()
    said: list[int] = []
    waiting = threading.Thread(target=lambda: said.append(shared.ask()["pid"]))
    waiting.start()
    successor = shared.start()
    waiting.join()
    assert said == [successor]


def test_one_that_hangs_is_ended_and_keeps_only_what_it_had(
    shared: Port, capfd: pytest.CaptureFixture[str]
) -> None:
    """SIGSTOP: new connections go to the others at once, and the process is killed within 5 s."""
    victim = three(shared)[0]
    with asking(shared) as load:
        until(lambda: load.came["ok"] > 50)
        os.kill(victim, signal.SIGSTOP)
        stopped = time.monotonic()
        with OwnTime() as own_time:
            until(lambda: shared.replicas[victim].poll() is not None)
        took = time.monotonic() - stopped
        before = load.came["ok"]
        until(lambda: load.came["ok"] > before + 50)
    assert shared.replicas[victim].returncode == -signal.SIGKILL
    assert took > SILENT_S_MAX - 1
    assert own_time.seconds < NOTICED_S_MAX + 1
    assert load.came["refused"] == 0
    assert load.came["broken"] <= ASKERS
    assert f"API replica (pid {victim}) sent no sign of life for 4 s and was killed" in capfd.readouterr().err


def test_the_client_is_the_real_one(shared: Port) -> None:
    """Address and port of the client pass as they are, whichever process accepts."""
    three(shared)
    assert shared.ask("127.0.0.7")["client"][0] == "127.0.0.7"


def test_tls_is_spoken_by_each(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    """With a certificate, all replicas speak HTTPS; what is not TLS is closed and keeps nobody."""
    cert, key = certificate
    trusting = ssl.create_default_context(cafile=str(cert))
    with port(tmp_path, str(cert), str(key)) as secure:
        pids = {secure.start() for _ in range(2)}
        seen: set[int] = set()

        def both_seen() -> bool:
            said = httpx.get(secure.url, verify=trusting, timeout=60).json()
            assert said["scheme"] == "https"
            seen.add(said["pid"])
            return seen == pids

        until(both_seen)
        with pytest.raises(httpx.TransportError):
            httpx.get(secure.url.replace("https", "http"), timeout=60)
        # Other files are used within 5 s; a connection that is open keeps the certificate it began with.
        with httpx.Client(base_url=secure.url, verify=trusting, timeout=60) as open_client:
            open_client.get("/")
            after, place = made("after"), ("127.0.0.1", secure.public.port)
            with OwnTime() as own_time:
                after.write(tmp_path)
                until(lambda: ssl.get_server_certificate(place) == after.cert_pem().decode())
            assert own_time.seconds < RELOADED_S_MAX
            assert open_client.get("/").status_code == 200


def test_the_port_is_kept_from_the_start_and_early_callers_wait(tmp_path: Path) -> None:
    """Nobody else can have the port once it is bound; who connects before the first
    replica is answered by it."""
    with port(tmp_path) as early:
        with pytest.raises(OSError, match="Address already in use"):
            PublicSocket("127.0.0.1", early.public.port)
        client = http.client.HTTPConnection("127.0.0.1", early.public.port, timeout=60)
        with contextlib.closing(client):
            client.connect()
            replica = early.start()
            assert answer_on(client)["pid"] == replica


def test_at_the_end_nobody_is_let_in_and_those_who_are_in_are_answered(tmp_path: Path) -> None:
    """Idle connections do not keep anybody, a request under way is answered first, and the
    replicas end by themselves."""
    with port(tmp_path) as ending:
        ending.start()
        ending.start()
        place = ("127.0.0.1", ending.public.port)
        with contextlib.ExitStack() as clients:
            idle = [clients.enter_context(socket.create_connection(place)) for _ in range(50)]
            busy = clients.enter_context(socket.create_connection(place, timeout=60))
            busy.sendall(b"POST /slow HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\n.")
            assert ending.ask()["scheme"] == "http"
            ended = threading.Thread(target=ending.public.withdraw, args=(60.0,))
            ended.start()
            until(lambda: refused(place))
            assert ended.is_alive()
            busy.sendall(b".")
            assert busy.recv(4096).startswith(b"HTTP/1.1 200 ")
            ended.join(60.0)
            assert not ended.is_alive()
            assert all(over(one) for one in idle)
        assert [process.wait(60.0) for process in ending.replicas.values()] == [0, 0]


def over(connection: socket.socket) -> bool:
    with contextlib.suppress(ConnectionResetError):
        return connection.recv(1) == b""
    return True


def refused(place: tuple[str, int]) -> bool:
    try:
        socket.create_connection(place).close()
    except ConnectionRefusedError:
        return True
    return False
