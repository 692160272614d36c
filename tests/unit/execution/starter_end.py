"""A real starter process, and the node worker's end of it."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from helix_ray.execution.assignment import Assignment, Finished, Outcome, Started
from helix_ray.execution.environment import server_variables
from helix_ray.execution.frames import MessageReader, encode_plain
from helix_ray.execution.starter.begin import Config, starter_command
from helix_ray.execution.starter.isolation import in_force
from helix_ray.execution.starter.lane import CommandLimits
from helix_ray.execution.starter.levels import CellSpec, NotOffered, Wanted, Wish
from helix_ray.execution.starter.messages import (
    CancelCommand,
    Message,
    RunCommands,
    SlotReport,
    SlotReturned,
    StarterReady,
    from_frame,
    to_frame,
)
from tests.conftest import leave_out
from tests.processes import command_line

WAIT_S = 60.0
LIMITS = CommandLimits(log_bytes_max=4 << 20, kill_grace_s=3.0, kill_grace_s_max=600.0)


def needs(level: Wish) -> None:
    """Skip on a laptop, and fail in CI, where this machine does not offer a level of isolation."""
    try:
        in_force(Wanted(level))
    except NotOffered as reason:
        leave_out(str(reason))


class StarterEnd:
    """Starts one starter and keeps everything that it says."""

    def __init__(
        self,
        folder: Path,
        wanted: Wanted,
        limits: CommandLimits = LIMITS,
        before: Sequence[str] = (),
        python: str = sys.executable,
        **environment: str,
    ) -> None:
        """`before` becomes the starter, `python` runs it; the environment is what commands may inherit."""
        self.folder = folder
        self.open_folder = f"{folder}-open"
        self.log_dir = folder / "logs"
        self.items: list[tuple[str, Any]] = []
        self.returned: list[SlotReturned] = []
        self.ready: StarterReady | None = None
        self._frames = MessageReader(from_frame)
        self._made = 0
        self.connection, theirs = socket.socketpair()
        with theirs:
            config = Config(wanted, limits, str(folder / "node"), self.open_folder)
            self.process = subprocess.Popen(
                [*before, python, *starter_command(theirs.fileno(), config)[1:]],
                pass_fds=(theirs.fileno(),), env=server_variables() | environment,
            )  # fmt: skip
        self.connection.settimeout(WAIT_S)
        try:
            self.wait(lambda: self.ready)
        except BaseException:
            self.close()
            raise

    def send(self, message: Message) -> None:
        self.connection.sendall(encode_plain(to_frame(message)))

    def submit(
        self, run: dict[str, Any], *, slot: str = "s1", spec: CellSpec | None = None,
        variables: dict[str, str] | None = None, **more: Any,
    ) -> str:  # fmt: skip
        """Have a command run in a slot; return its task id."""
        self._made += 1
        task_id = more.pop("task_id", f"task-{self._made}")
        assignment = Assignment(task_id, 1, {"kind": "command", **run}, None, str(self.log_dir))
        self.send(RunCommands(slot, spec or CellSpec(), variables or {}, (replace(assignment, **more),)))
        return task_id

    def run_assignment(self, assignment: Assignment) -> Finished:
        """Run a command as it was assigned, to its end."""
        self.items.clear()
        self.send(RunCommands("s1", CellSpec(), {}, (assignment,)))
        return self.finished(assignment.task_id)

    def run(self, run: dict[str, Any], **more: Any) -> Outcome:
        """Run a command to its end."""
        return self.finished(self.submit(run, **more)).outcome

    def output(self, shell: str, **more: Any) -> str:
        """Return what a shell line prints; it must succeed."""
        outcome = self.run({"shell": shell}, **more)
        assert outcome.ok, outcome
        return outcome.output_tail or ""

    def cancel(self, task_id: str, slot: str = "s1") -> None:
        self.send(CancelCommand(slot, task_id, 1))

    def finished(self, task_id: str) -> Finished:
        return self.wait(lambda: self._find(Finished, task_id))

    def started(self, task_id: str) -> Started:
        started = self.wait(lambda: self._find(Started, task_id) or self._find(Finished, task_id))
        assert isinstance(started, Started), started
        return started

    def log(self, task_id: str) -> str:
        return (self.log_dir / f"{task_id}.1.log").read_text()

    def wait_for_output(self, task_id: str, text: str) -> None:
        """Return when the log of an attempt has the text; the starter writes it as it comes."""
        path = self.log_dir / f"{task_id}.1.log"
        give_up_at = time.monotonic() + WAIT_S
        while not path.exists() or text not in path.read_text():
            assert time.monotonic() < give_up_at, f"waited {WAIT_S} s"
            time.sleep(0.005)

    def cell_process(self) -> int:
        """Return the process id of the one cell."""
        (cell,) = (
            pid
            for pid in _below(self.process.pid)
            if "cell.py" in command_line(pid) and "bwrap" not in command_line(pid)
        )
        return cell

    def wait(self, condition: Callable[[], Any]) -> Any:
        """Return the condition's value once it is true, taking messages until then."""
        give_up_at = time.monotonic() + WAIT_S
        while not (value := condition()):
            assert time.monotonic() < give_up_at, f"waited {WAIT_S} s"
            data = self.connection.recv(1 << 20)
            assert data, "the starter hung up"
            for message in self._frames.feed(data):
                self._take(message)
        return value

    def close(self) -> None:
        self.connection.close()
        try:
            self.process.wait(WAIT_S)
        finally:
            self.process.kill()
            self.process.wait()
            shutil.rmtree(self.open_folder, ignore_errors=True)

    def _find(self, kind: type, task_id: str) -> Any:
        return next(
            (item for _, item in self.items if isinstance(item, kind) and item.task_id == task_id), None
        )

    def _take(self, message: Message) -> None:
        if isinstance(message, SlotReport):
            self.items += [(message.slot_id, item) for item in message.items]
        elif isinstance(message, SlotReturned):
            self.returned.append(message)
        elif isinstance(message, StarterReady):
            self.ready = message


def _below(pid: int) -> list[int]:
    found = [pid]
    for one in found:
        for children in Path("/proc", str(one), "task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, children.read_text().split())
    return found[1:]
