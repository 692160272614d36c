"""Starts a program that stays, and returns when it has said that it is ready."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from helix_ray.private import make_file
from launcher.up import password


def detached(module: str, arguments: list[str], log: Path, given: str | None = None) -> int:
    """Run a module in a session of its own, pass on what it prints until it is ready, and leave it running.

    What it writes to stderr is appended to the log, and shown where it ends instead; returns its exit code then, else 0.
    `given` is the administrator's password, for that program.
    """
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    offset = log.stat().st_size if log.exists() else 0
    make_file(log)
    with log.open("ab") as errors, password.handed_on(given, os.environ) as (environment, handles):
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env=environment,
            pass_fds=handles,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
    assert process.stdout is not None
    for line in process.stdout:
        sys.stdout.write(line.decode())
        sys.stdout.flush()
        if line.startswith(b"ready "):
            return 0
    code = process.wait()
    sys.stderr.write(log.read_bytes()[offset:].decode())
    return code
