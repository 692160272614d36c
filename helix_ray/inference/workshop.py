"""The process that touches a model: `python -m helix_ray.inference.workshop FD`.

It reads its job and its limits from standard input, limits itself before it loads anything, and writes
messages to the pipe FD, one JSON object a line: `progress`, `admitted`, `refused`, `step` and `variant`.
`examine` starts it through `child`; what kills it is seen there.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import resource
import signal
import sys

from helix_ray.inference.variants import ChildRestrictions, Message

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_CPU_GRACE_S = 5


def main() -> int:
    """Work on the job of standard input; returns the exit code."""
    order = json.load(sys.stdin.buffer)
    restrict(order["limits"], order["parent"])
    with open(int(sys.argv[1]), "w", encoding="utf-8") as pipe:

        def send(message: Message) -> None:
            pipe.write(json.dumps(message, allow_nan=False) + "\n")
            pipe.flush()

        from helix_ray.inference.steps import work  # not before the limits hold

        work(order["job"], send)
    return 0


def restrict(limits: ChildRestrictions, parent: int) -> None:
    """Limit this process for good: hard limits are set too, and a process without privileges cannot raise
    them.

    It dies with its parent, can gain no privileges by an execve, and leaves no core file.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent:  # it died before the line above
        sys.exit(1)
    memory = limits["memory_mb"] * 2**20
    cpu_s = max(1, math.ceil(limits["cpu_s"]))
    _limit(resource.RLIMIT_DATA, memory, memory)
    _limit(resource.RLIMIT_CPU, cpu_s, cpu_s + _CPU_GRACE_S)
    _limit(resource.RLIMIT_FSIZE, limits["file_bytes_max"], limits["file_bytes_max"])
    _limit(resource.RLIMIT_CORE, 0, 0)


def _limit(kind: int, soft: int, hard: int) -> None:
    """Set a limit, unless one that is lower holds already."""
    _, ceiling = resource.getrlimit(kind)
    if ceiling != resource.RLIM_INFINITY:
        soft, hard = min(soft, ceiling), min(hard, ceiling)
    resource.setrlimit(kind, (soft, hard))


if __name__ == "__main__":
    sys.exit(main())
