"""The process that runs the trials of a tuning: `python -m helix_ray.inference.tuning_child FD`.

It reads its job and its limits from standard input, limits itself and lowers its priority before it loads
anything, and writes messages to the pipe FD, one JSON object a line: `fraction`, `step`, `refused` and
`rows`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable

from helix_ray.inference.variants import Message, TrialJob
from helix_ray.inference.workshop import restrict

NICE = 10
"""Beside a task that computes, a process of this priority gets a tenth of a core."""


def main() -> int:
    """Work on the job of standard input; returns the exit code."""
    order = json.load(sys.stdin.buffer)
    restrict(order["limits"], order["parent"])
    os.nice(NICE)
    with open(int(sys.argv[1]), "w", encoding="utf-8") as pipe:

        def send(message: Message) -> None:
            pipe.write(json.dumps(message, allow_nan=False) + "\n")
            pipe.flush()

        _work(order["job"], send)
    return 0


def _work(job: TrialJob, send: Callable[[Message], None]) -> None:
    from pathlib import Path

    from helix_ray.inference.candidate import NotUsable
    from helix_ray.inference.trials import Trials
    from helix_ray.inference.tuner import TuningJob
    from helix_ray.inference.variants import GateBounds

    known = {**job["tuning"], "bounds": GateBounds(**job["tuning"]["bounds"])}
    done = [(provider, size) for provider, size in job["done"]]
    trials = Trials(TuningJob(**known), Path(job["blobs"]), send, job["skip"], done)
    try:
        trials.run()
    except NotUsable as error:
        send({"refused": str(error)})


if __name__ == "__main__":
    sys.exit(main())
