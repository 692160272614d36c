"""Stays with a submitted task: shows what it prints, attempt after attempt, and ends as it ended."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from helix_ray.cli.exits import Exit
from helix_ray.cli.output import put, say
from helix_ray.client.errors import NotFound, WaitTimeout

if TYPE_CHECKING:
    from helix_ray.client.api import Client
    from helix_ray.wire.task_answers import ResultOut

ENDED = frozenset({"completed", "failed", "cancelled"})
LOOK_S_MIN = 0.05
LOOK_S_MAX = 4.0
LOOK_GROWTH = 1.3
# What one request for output may wait at the server; a shorter wait of ours asks without waiting.
SERVER_WAIT_S = 10.0
# Requests for output count for the rate limit, so a command that prints for hours is asked more seldom.
PIECE_S_MIN = 0.02
PIECE_S_MAX = 1.5
PIECE_GROWTH = 1.1
PIECE_CHARS_LARGE = 32 * 1024
SIGNAL_CODES = 128
NAMED_TASKS_MAX = 5
EXIT_OF_REASON = {
    "timeout": Exit.TASK_TIMED_OUT, "deadline": Exit.TASK_TIMED_OUT, "lost": Exit.TASK_LOST,
}  # fmt: skip


@contextmanager
def telling_on_interrupt(*task_ids: str) -> Iterator[list[str]]:
    """On Ctrl-C say that the tasks continue, and how to follow and cancel them; exit code 130.

    Gives the list of their ids: a submit adds to it what the server has accepted.
    """
    ids = list(task_ids)
    try:
        yield ids
    except KeyboardInterrupt:
        say("")
        _say_what_continues(ids)
        raise typer.Exit(Exit.INTERRUPTED) from None


def _say_what_continues(ids: Sequence[str]) -> None:
    if not ids:
        say("helix: the server has not answered yet: helix task list shows whether the task was submitted")
    elif len(ids) == 1:
        say(f"helix: {ids[0]} continues. To follow it: helix task logs --follow {ids[0]}")
        say(f"  its result: helix task result --wait {ids[0]}    to cancel it: helix task cancel {ids[0]}")
    else:
        more = f" and {len(ids) - NAMED_TASKS_MAX} more" if len(ids) > NAMED_TASKS_MAX else ""
        say(f"helix: {' '.join(ids[:NAMED_TASKS_MAX])}{more} continue")
        say("  to follow them: helix task watch TASK...    to cancel them: helix task cancel TASK...")


def follow(client: Client, task_id: str, timeout_s: float | None) -> ResultOut:
    """Print the output of a command, attempt after attempt, until the task has ended; raises WaitTimeout."""
    limit = _WaitLimit(task_id, timeout_s)
    shown, pause = 0, LOOK_S_MIN
    while True:
        task = client.get(task_id)
        if task["attempt"] > shown:
            shown, pause = shown + 1, LOOK_S_MIN
            _show_attempt(client, task_id, shown, limit)
            continue
        if task["status"] in ENDED:
            return client.result(task_id)
        limit.sleep(pause)
        pause = min(LOOK_S_MAX, pause * LOOK_GROWTH)


def exit_code(result: ResultOut) -> int:
    """Return the command's own exit code, 128 + n for signal n, else the code of how the task ended."""
    if result["status"] == "completed":
        return Exit.OK
    reason = (result["error"] or {}).get("reason")
    if result["status"] == "cancelled":
        return Exit.TASK_CANCELLED
    if reason in EXIT_OF_REASON:
        return EXIT_OF_REASON[reason]
    value = result["result"]
    own = value.get("exit_code") if isinstance(value, dict) else None
    if not isinstance(own, int) or own == 0:
        return Exit.TASK_FAILED
    return own if own > 0 else SIGNAL_CODES - own


class _WaitLimit:
    """How long somebody still waits."""

    def __init__(self, task_id: str, timeout_s: float | None) -> None:
        self._task_id = task_id
        self._timeout_s = timeout_s
        self._started = time.monotonic()

    def left_s(self) -> float:
        """Return the seconds that are left; raises WaitTimeout at the end."""
        if self._timeout_s is None:
            return math.inf
        left = self._started + self._timeout_s - time.monotonic()
        if left <= 0:
            message = f"{self._task_id} did not end within {self._timeout_s:g} s; it continues"
            raise WaitTimeout("TIMEOUT", message, {"open": [self._task_id]})
        return left

    def sleep(self, pause_s: float) -> None:
        """Wait, at most until the end."""
        time.sleep(min(pause_s, self.left_s()))


def _show_attempt(client: Client, task_id: str, attempt: int, limit: _WaitLimit) -> None:
    offset, pause = 0, PIECE_S_MIN
    while True:
        patient = limit.left_s() > SERVER_WAIT_S
        try:
            piece = client.log_piece(task_id, attempt=attempt, offset=offset, follow=patient)
        except NotFound as error:
            say(f"helix: the output of attempt {attempt} is not there: {error.message}")
            return
        if (missing := piece["offset"] - offset) > 0:
            say(f"helix: {missing} bytes of output were removed here")
        put(piece["text"], end="")
        if piece["eof"]:
            return
        offset = piece["next_offset"]
        if len(piece["text"]) < PIECE_CHARS_LARGE:
            limit.sleep(pause)
            pause = min(PIECE_S_MAX, pause * PIECE_GROWTH)
