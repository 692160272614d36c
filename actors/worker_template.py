"""Ray's worker program, as a fork of a process of the node that has loaded Ray already.

The raylet starts `python .../actors/worker_template.py FLAGS` for each worker (actors/ray_seams.py). The
first of a raylet becomes the template: it loads what workers load (worker_seams.py, and the modules that
HELIX_WORKERS_LOAD names), forks its own worker, and listens beside the raylet's socket. Each later one sends
it flags, environment and standard files, and exits when its fork answers. So a worker takes a third of the
processor time, and shares memory. Ray knows a worker by its id, and by the process id that the worker itself
reports.

The template has one thread, runs no code of a task, and ends with its raylet. A worker with a runtime
environment, and one that gets no answer in time, starts as Ray starts it. The fork answers, and not the
template, so that a template that is killed in between leaves one worker and not two. This imports nothing of
ours but the file beside it: a worker may be in an environment of its own.
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
import time
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
# A template that loads is waited for, in all; Ray gives a worker 60 s to register.
ANSWER_S_MAX = 40.0
# How long a worker that would be the template waits to learn whether there is one.
CONNECT_S_MAX = 1.0
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
    give_up_at = time.monotonic() + ANSWER_S_MAX
    # The second time, after another one has become the template first.
    for _ in range(2 if place is not None else 0):
        if is_forked(str(place), flags, give_up_at):
            os._exit(0)
        with contextlib.suppress(OSError):
            flags = serve(listen(str(place)), flags)
            break
    worker_seams.run_program(flags)


def place_of(flags: list[str], raylet: str | None) -> str | None:
    """Return where the template of a raylet listens; None for a worker that has no template."""
    in_environment = any(f.startswith(ENVIRONMENT_FLAG) and f != f"{ENVIRONMENT_FLAG}0" for f in flags)
    sockets = [f.removeprefix(SOCKET_FLAG) for f in flags if f.startswith(SOCKET_FLAG)]
    if not raylet or not sockets or in_environment:
        return None
    # A short name: with its folder it has at most 107 bytes.
    return os.path.join(os.path.dirname(sockets[0]), f"t.{raylet}")


def is_forked(place: str, flags: list[str], give_up_at: float) -> bool:
    """Have the template fork the worker; False where none answers until then, by time.monotonic()."""
    left_s = give_up_at - time.monotonic()
    if left_s <= 0:
        return False
    request = WorkerRequest(os.getpid(), flags, dict(os.environ), os.getcwd())
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(left_s)
        asking.connect(place)
        socket.send_fds(asking, [b"\n"], STANDARD_FILES)
        asking.sendall(json.dumps(request).encode())
        asking.shutdown(socket.SHUT_WR)
        return asking.recv(len(FORKED)) == FORKED
    return False


def listen(place: str) -> socket.socket:
    """Listen where workers ask; raises OSError where another template does already."""
    own = os.path.join(os.path.dirname(place), str(os.getpid()))
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(own)
    try:
        os.chmod(own, 0o600)
        listening.listen()
        with contextlib.suppress(FileNotFoundError), socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(CONNECT_S_MAX)
            try:
                asking.connect(place)
            except ConnectionRefusedError:
                os.unlink(place)  # its template was killed
        os.link(own, place)
    except OSError:
        listening.close()
        raise
    finally:
        os.unlink(own)
    return listening


def serve(listening: socket.socket, flags: list[str]) -> list[str]:
    """Fork workers until the raylet ends; return in each of them, with the flags of Ray's program. Raises
    OSError where the raylet has ended."""
    raylet = int(os.environ[RAYLET_PID])
    if os.getppid() != raylet:
        raise ProcessLookupError("the raylet has ended")
    worker_seams.load(*worker_seams.LOADED, *filter(None, os.environ.get(PRELOAD, "").split(",")))
    gc.disable()
    wake_up, raised = os.pipe()
    for handle in (wake_up, raised):
        os.set_blocking(handle, False)
    if not os.fork():
        return as_worker(flags, listening, wake_up, raised)
    # Ray ends the group of a worker that has ended, and this was the first worker's.
    with contextlib.suppress(OSError):
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
            if not os.fork():
                _take(request, handles, asked)
                return request.flags
        finally:
            for handle in handles:
                os.close(handle)
    return None


def _take(request: WorkerRequest, handles: list[int], asked: socket.socket) -> None:
    """Be in a fork what the request says, and say so; end where that fails, or nobody waits for it: who has
    asked is the worker itself then."""
    try:
        # Who has asked still waits: a group ends with its last process.
        os.setpgid(0, os.getpgid(request.pid))
        for handle, standard in zip(handles, STANDARD_FILES, strict=True):
            os.dup2(handle, standard)
        os.environ.clear()
        os.environ.update(request.environment)
        os.chdir(request.folder)
        asked.sendall(FORKED)
    except BaseException:
        # Whatever it was: nothing may be raised into the loop of the template, of which this is a fork.
        os._exit(1)


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
