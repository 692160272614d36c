"""Deploys the API from a process of its own, which ends when that is done.

Serve's modules are 40 MiB, and the session has no use for them once its replicas listen. They are loaded
while Ray's head comes up; the address then comes over stdin, and what came of both goes back over stdout.
"""

from __future__ import annotations

import contextlib
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

from actors.seams import SeamMoved
from helix_ray.config import Settings
from launcher.up import process_tree

ENDED = "the process that deploys the API has exited"


class DeployOutcome(NamedTuple):
    """What came of a step: what Serve lacks, or the traceback of another error; both are
    empty where it is done."""

    moved: str = ""
    error: str = ""


class Deploying:
    """A child that begins to load Serve when this is made, on the main thread, before there are others."""

    def __init__(self, app: str) -> None:
        parent = os.getpid()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "launcher.up.deploying", app],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=lambda: process_tree.die_with_parent(parent),  # one thread here, so this is safe
        )

    def loaded(self) -> None:
        """Wait until Serve is loaded. Raises SeamMoved where it has not what we use of
        it, RuntimeError as deploy does."""
        self._hear()

    def deploy(self, address: str, settings: Settings) -> None:
        """Deploy on the Ray cluster at `address`, when it is loaded; returns when the replica listens.

        Raises RuntimeError with the traceback where it does not come up.
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
    """Raise SeamMoved where Serve or uvicorn no longer has what we use of it."""
    from actors import seams
    from serve_app.public_port import serve_seams, uvicorn_seams

    seams.check((*serve_seams.SEAMS, *uvicorn_seams.SEAMS))


def main() -> None:
    """Load, wait for the address, deploy, and say what came of each of both."""
    # What others print must not get into the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for step in (_load, partial(_deploy, sys.argv[1])):
        outcome = _outcome(step)
        print(json.dumps(outcome), file=answers, flush=True)
        if outcome != DeployOutcome():
            break
    # An orderly end of Ray's driver would keep whoever waits for this process.
    os._exit(0)


def _load() -> None:
    check_seams()
    import_module("serve_app.deployment")


def _deploy(app: str) -> None:
    from launcher.up import cluster
    from serve_app import deployment

    factory = deployment.load_factory(app) if app else deployment.control_plane_app
    address, settings = pickle.load(sys.stdin.buffer)  # noqa: S301  # our own parent's
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
