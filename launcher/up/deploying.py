"""Deploys the API from a process of its own, which ends when that is done.

Serve's modules are 40 MiB, and the session has no use for them once its replicas listen. They are loaded while Ray's head
comes up; the address then comes over stdin, and what came of it goes back over stdout.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import traceback
from importlib import import_module
from typing import NamedTuple

from actors.seams import SeamMoved
from helix_ray.config import Settings
from launcher.up import process_tree

ENDED = "the process that deploys the API has ended"


class Outcome(NamedTuple):
    """What came of it: what Serve lacks, or the traceback of another error; both are empty when the replica listens."""

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

    def deploy(self, address: str, settings: Settings) -> None:
        """Deploy on the Ray cluster at `address`; returns when the replica listens.

        Raises SeamMoved where Serve has not what we use of it, RuntimeError with the traceback where it does not come up.
        """
        said, _ = self._process.communicate(pickle.dumps((address, settings.without_password())))
        outcome = Outcome(*json.loads(said)) if said else Outcome(error=ENDED)
        if outcome.moved:
            raise SeamMoved(outcome.moved)
        if outcome.error:
            raise RuntimeError(outcome.error)


def check_seams() -> None:
    """Raise SeamMoved where Serve or uvicorn no longer has what we use of it."""
    from actors import seams
    from serve_app.public_port import serve_seams, uvicorn_seams

    seams.check((*serve_seams.SEAMS, *uvicorn_seams.SEAMS))


def main() -> int:
    """Load, wait for the address, deploy, and say what came of it."""
    # What others print must not get into the answer.
    answer = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    answer.write(json.dumps(_outcome(sys.argv[1])).encode())
    answer.flush()
    # An orderly end of Ray's driver would keep whoever waits for this process.
    os._exit(0)


def _outcome(app: str) -> Outcome:
    try:
        check_seams()
        deployment = import_module("serve_app.deployment")
        factory = deployment.load_factory(app) if app else deployment.control_plane_app
        given = sys.stdin.buffer.read()
        if given:
            address, settings = pickle.loads(given)  # noqa: S301  # our own parent's
            from launcher.up import cluster

            cluster.connect(address)
            deployment.deploy(settings, factory)
    except SeamMoved as moved:
        return Outcome(moved=str(moved))
    except Exception:
        return Outcome(error=traceback.format_exc())
    return Outcome()


if __name__ == "__main__":
    sys.exit(main())
