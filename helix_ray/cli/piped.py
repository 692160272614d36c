"""Reads standard input as the input of a command: `cat data | helix task submit --wait -- wc -l`.

What is read without being asked for is what somebody gave on purpose: a pipe, a socket or a file, never a
terminal, /dev/null or a closed descriptor. A pipe can also be inherited from a program that never writes to
it (cron, ssh, CI), which looks like a slow writer. So the wait for its first byte is bounded, and then
nothing is submitted: a command that ran without its input would succeed with a wrong result (ADR 65).
"""

from __future__ import annotations

import os
import select
import stat
import sys

import typer

from helix_ray.cli.output import say
from helix_ray.core.stdin import STDIN_BYTES_MAX, TOO_LARGE

NOTICE_S = 3.0
SILENCE_S_MAX = 10.0
READ_BYTES = 64 * 1024
STDIN = 0


def piped_input(wanted: bool | None) -> bytes | None:
    """Return what is in standard input; None where nothing is to be read, or nothing is in it.

    `wanted` None reads a pipe, a socket or a file; True reads anything, and waits without a limit. Raises
    BadParameter beyond STDIN_BYTES_MAX, for a silent pipe, and where True has nothing to read from.
    """
    if wanted is False or not (wanted or _was_given()):
        return None
    if sys.stdin is None:
        raise typer.BadParameter("--stdin: standard input is closed")
    try:
        return _to_the_end(patient=wanted is True) or None
    except OSError as error:
        raise typer.BadParameter(f"standard input cannot be read: {error.strerror}") from None


def _was_given() -> bool:
    """Say whether standard input is there to be read. Where it was closed at the start, descriptor 0 is
    another file by now."""
    if sys.stdin is None:
        return False
    try:
        mode = os.fstat(STDIN).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)


def _to_the_end(*, patient: bool) -> bytes:
    data, announced = b"", False
    while True:
        if not announced and not _is_readable(NOTICE_S):
            announced = True
            what = "the end of" if data else "something from"
            say(f"helix: waiting for {what} standard input; --no-stdin submits without it")
            if not data and not patient and not _is_readable(SILENCE_S_MAX - NOTICE_S):
                raise typer.BadParameter(
                    f"nothing came from standard input for {SILENCE_S_MAX:g} s, and nothing was submitted: "
                    "use --no-stdin, or --stdin to wait for it"
                )
        _is_readable(None)
        part = os.read(STDIN, READ_BYTES)
        if not part:
            return data
        data += part
        if len(data) > STDIN_BYTES_MAX:
            raise typer.BadParameter(f"standard input is too large; {TOO_LARGE}")


def _is_readable(wait_s: float | None) -> bool:
    return bool(select.select([STDIN], [], [], wait_s)[0])
