"""Deploys the API from a child process, which ends when that is done.

Serve's modules take 40 MiB, which the session does not need once the replicas listen. The child loads them
while Ray's head starts, reads the head's address from stdin, and writes the outcome of both steps to stdout.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import NamedTuple

from actors import worker_seams
from actors.seams import SeamMoved
from helix_ray.config import Settings
from launcher.up import process_tree

ENDED = "the process that deploys the API has exited"


class DeployOutcome(NamedTuple):
    """The outcome of a step: what Serve lacks, or the traceback of another error; both are empty on
    success."""

    moved: str = ""
    error: str = ""


class Deploying:
    """A child process, started when constructed; must be made on the main thread, before there are others."""

    def __init__(self, app: str) -> None:
        parent = os.getpid()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "launcher.up.deploying", app],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=lambda: process_tree.die_with_parent(
                parent
            ),  # preexec_fn is safe: there is only one thread
        )

    def loaded(self) -> None:
        """Wait until Serve is loaded. Raises SeamMoved where it lacks what we use of it, RuntimeError as
        deploy does."""
        self._hear()

    def deploy(self, address: str, settings: Settings) -> None:
        """Deploy on the Ray cluster at `address`; return when the replica listens.

        Raises RuntimeError with the child's traceback when the replica does not start.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._process.stdin as pipe:
            pipe.write(pickle.dumps((address, settings.without_password())))
        self._hear()
        self._process.wait()

    def _hear(self) -> None:
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        outcome = DeployOutcome(*json.loads(said)) if said else DeployOutcome(error=ENDED)
        if outcome.moved:
            raise SeamMoved(outcome.moved)
        if outcome.error:
            raise RuntimeError(outcome.error)


def check_seams() -> None:
    """Raise SeamMoved where Serve or uvicorn lacks what we use of it."""
    from actors import seams
    from serve_app.public_port import serve_seams, uvicorn_seams

    seams.check((*serve_seams.SEAMS, *uvicorn_seams.SEAMS))


def main() -> None:
    """Load Serve, wait for the address, deploy, and report the outcome of both steps."""
    # It ends in seconds: looking through modules for garbage costs a tenth of loading them.
    gc.disable()
    # Libraries print to stdout; that must not mix with the outcomes.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for step in (_load, partial(_deploy, sys.argv[1])):
        outcome = _outcome(step)
        try:
            print(json.dumps(outcome), file=answers, flush=True)
        except BrokenPipeError:
            break  # the session is gone
        if outcome != DeployOutcome():
            break
    # Without Ray's orderly shutdown: the session waits for this process to end.
    os._exit(0)


def _load() -> None:
    worker_seams.load("ray")
    gc.disable()
    check_seams()
    import_module("serve_app.deployment")


def _deploy(app: str) -> None:
    from launcher.up import cluster
    from serve_app import deployment

    factory = deployment.load_factory(app) if app else deployment.control_plane_app
    address, settings = pickle.load(sys.stdin.buffer)  # noqa: S301  # written by our parent process
    cluster.connect(address)
    deployment.deploy(settings, factory)


def _outcome(step: Callable[[], None]) -> DeployOutcome:
    try:
        step()
    except SeamMoved as moved:
        return DeployOutcome(moved=str(moved))
    except Exception:
        return DeployOutcome(error=traceback.format_exc())
    return DeployOutcome()


if __name__ == "__main__":
    main()
