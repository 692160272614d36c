"""Ray's worker program, as a fork of a process of the node that has loaded Ray already.

The raylet starts `python .../actors/worker_template.py FLAGS` for each worker (actors/ray_seams.py). The
first of a raylet becomes the template: it loads what workers load (worker_seams.py, and the modules that
HELIX_WORKERS_LOAD names), forks its own worker, and listens beside the raylet's socket. Each later one sends
it flags, environment and standard files, and exits when the template has forked the worker. So a worker takes
a third of the processor time, and shares memory. Ray knows a worker by its id, and by the process id that the
worker itself tells.

The template has one thread, runs no code of a task, and ends with its raylet. A worker with a runtime
environment, and one that no template answers, starts as Ray starts it. This imports nothing of ours but the
file beside it: a worker may be in an environment of its own.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
from types import FrameType
from typing import NamedTuple

if __name__ == "__main__":
    # A program has its folder on its path.
    import worker_seams  # type: ignore[import-not-found]
else:
    from actors import worker_seams

RAYLET_PID, PRELOAD = "RAY_RAYLET_PID", "HELIX_WORKERS_LOAD"
SOCKET_FLAG, ENVIRONMENT_FLAG = "--raylet-name=", "--runtime-env-hash="
TITLE = "ray::Template"
PIECE_BYTES = 1 << 16
STANDARD_FILES = (0, 1, 2)
# How soon a template ends after its raylet.
LOOK_EVERY_S = 1.0
# How long the template waits for a request whose sender has connected.
REQUEST_S_MAX = 5.0
# A template that loads is waited for; Ray gives a worker 60 s to register.
ANSWER_S_MAX = 40.0
FORKED = b"forked"


class WorkerRequest(NamedTuple):
    """What a worker is started with."""

    pid: int
    flags: list[str]
    environment: dict[str, str]
    folder: str


def main() -> None:
    """Run this worker: as a fork of the template, or in this process, where there can be none."""
    worker_seams.find_program()
    flags = sys.argv[1:]
    place = place_of(flags, os.environ.get(RAYLET_PID))
    # The second time, after another one has become the template first.
    for _ in range(2 if place is not None else 0):
        if is_forked(str(place), flags):
            os._exit(0)
        with contextlib.suppress(OSError):
            flags = serve(listen(str(place)), flags)
            break
    worker_seams.run_program(flags)


def place_of(flags: list[str], raylet: str | None) -> str | None:
    """Return where the template of a raylet listens; None for a worker that has no template."""
    in_environment = any(f.startswith(ENVIRONMENT_FLAG) and f != f"{ENVIRONMENT_FLAG}0" for f in flags)
    sockets = [f.removeprefix(SOCKET_FLAG) for f in flags if f.startswith(SOCKET_FLAG)]
    return f"{sockets[0]}.{raylet}" if raylet and sockets and not in_environment else None


def is_forked(place: str, flags: list[str]) -> bool:
    """Have the template fork the worker; False where none answers."""
    request = WorkerRequest(os.getpid(), flags, dict(os.environ), os.getcwd())
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(ANSWER_S_MAX)
        asking.connect(place)
        socket.send_fds(asking, [b"\n"], STANDARD_FILES)
        asking.sendall(json.dumps(request).encode())
        asking.shutdown(socket.SHUT_WR)
        return asking.recv(len(FORKED)) == FORKED
    return False


def listen(place: str) -> socket.socket:
    """Listen where workers ask; raises OSError where another template does already."""
    own = f"{place}.{os.getpid()}"
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(own)
    try:
        os.chmod(own, 0o600)
        listening.listen()
        with contextlib.suppress(FileNotFoundError), socket.socket(socket.AF_UNIX) as asking:
            try:
                asking.connect(place)
            except ConnectionRefusedError:
                os.unlink(place)  # its template was killed
        os.link(own, place)
    finally:
        os.unlink(own)
    return listening


def serve(listening: socket.socket, flags: list[str]) -> list[str]:
    """Fork workers until the raylet ends; return in each of them, with the flags of Ray's program."""
    raylet = os.getppid()
    worker_seams.load(*worker_seams.LOADED, *filter(None, os.environ.get(PRELOAD, "").split(",")))
    gc.disable()
    wake_up, raised = os.pipe()
    for handle in (wake_up, raised):
        os.set_blocking(handle, False)
    if not os.fork():
        return as_worker(flags, listening, wake_up, raised)
    # Ray ends the group of a worker that has ended, and this was the first worker's.
    os.setpgid(0, os.getpgid(raylet))
    worker_seams.show_title(TITLE)
    signal.signal(signal.SIGCHLD, _do_nothing)
    signal.set_wakeup_fd(raised, warn_on_full_buffer=False)
    while os.getppid() == raylet:
        ready = select.select([listening.fileno(), wake_up], [], [], LOOK_EVERY_S)[0]
        if wake_up in ready:
            os.read(wake_up, PIECE_BYTES)
            _reap()
        if listening.fileno() in ready:
            with contextlib.suppress(OSError, ValueError, TypeError):
                asked = _fork_for(listening)
                if asked is not None:
                    return as_worker(asked, listening, wake_up, raised)
    os._exit(0)


def _fork_for(listening: socket.socket) -> list[str] | None:
    """Fork the worker of the next request; return its flags in it, and None here."""
    with listening.accept()[0] as asked:
        asked.settimeout(REQUEST_S_MAX)
        _, handles, *_ = socket.recv_fds(asked, 1, len(STANDARD_FILES))
        try:
            request = WorkerRequest(*json.loads(b"".join(iter(lambda: asked.recv(PIECE_BYTES), b""))))
            if gone(asked):
                return None
            group = os.getpgid(request.pid)
            child = os.fork()
            if not child:
                _take(request, handles)
                return request.flags
            # Before the other exits: a group ends with its last process.
            with contextlib.suppress(OSError):
                os.setpgid(child, group)
            asked.sendall(FORKED)
        finally:
            for handle in handles:
                os.close(handle)
    return None


def gone(asked: socket.socket) -> bool:
    """Say whether who has asked has given up, and is the worker itself by now."""
    hung_up = select.poll()
    hung_up.register(asked, 0)
    return bool(hung_up.poll(0))


def _take(request: WorkerRequest, handles: list[int]) -> None:
    """Be in a fork what the request says; nothing may be raised into the loop of the template."""
    with contextlib.suppress(OSError):
        for handle, standard in zip(handles, STANDARD_FILES, strict=False):
            os.dup2(handle, standard)
        os.environ.clear()
        os.environ.update(request.environment)
        os.chdir(request.folder)


def as_worker(flags: list[str], listening: socket.socket, *handles: int) -> list[str]:
    """Give up what a fork has of the template; return the worker's flags."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    listening.close()
    for handle in handles:
        os.close(handle)
    gc.enable()
    return flags


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """Have the signal wake the loop up."""


if __name__ == "__main__":
    main()
