"""Starts a program in the background, shows its progress, and returns when it reports that it is ready."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path
from typing import IO

from helix_ray.private import make_file
from launcher.up import password

LOOK_EVERY_S = 0.1
# Prefix of the lines that are shown; all others go to the log only.
STAGES = (b"helix up: ", b"helix node: ")


def detached(module: str, arguments: list[str], log: Path, given: str | None = None) -> int:
    """Run a module in a new session, pass on its progress until it is ready, and leave it running.

    Its stderr is appended to the log. Its progress is shown as it comes; if it ends instead, so is its whole
    output. Returns its exit code in that case, else 0. `given` is the administrator's password, passed on to
    it.
    """
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    make_file(log)
    offset = log.stat().st_size
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
    with log.open("rb") as written:
        written.seek(offset)
        if _follow(process.stdout, written):
            return 0
        code = process.wait()
        rest = [line for line in written.readlines() if line]
        sys.stderr.write(b"".join(rest).decode(errors="replace"))
    return code


def _follow(output: IO[bytes], log: IO[bytes]) -> bool:
    """Show lines until one reports that it is ready; False where the output ends first."""
    descriptor, pending = output.fileno(), b""
    while True:
        readable = bool(select.select([descriptor], [], [], LOOK_EVERY_S)[0])
        _show_stages(log)
        if not readable:
            continue
        piece = os.read(descriptor, 65536)
        if not piece:
            return False
        *lines, pending = (pending + piece).split(b"\n")
        for line in lines:
            print(line.decode(errors="replace"), flush=True)
            if line.startswith(b"ready "):
                return True


def _show_stages(log: IO[bytes]) -> None:
    while True:
        start = log.tell()
        line = log.readline()
        if not line.endswith(b"\n"):
            log.seek(start)
            return
        if any(stage in line for stage in STAGES):
            sys.stderr.write(line.decode(errors="replace"))
            sys.stderr.flush()
