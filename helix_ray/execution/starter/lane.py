"""One slot's commands: a queue, and a cell that runs one after another.

A lane has no opinion on what runs when: it takes attempts in the order in which they come. It replaces
its cell where an attempt left something behind, where the next one needs another kind of cell, and where
it died.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from helix_ray.execution.assignment import Assignment, ErrorInfo, Finished, Outcome, ReportItem, Started
from helix_ray.execution.command_spec import BadCommand, CommandSpec, parse
from helix_ray.execution.environment import Place, command_environment
from helix_ray.execution.starter.bubblewrap import is_fresh
from helix_ray.execution.starter.cell_process import SIGKILL_ALL, SIGTERM_ALL, CellProcess, CellRequest
from helix_ray.execution.starter.folders import Folders
from helix_ray.execution.starter.levels import CellSpec, Isolation, Wanted
from helix_ray.execution.starter.memory import CHECK_EVERY_S, MemoryLimit
from helix_ray.execution.starter.running_command import RunningCommand, Step

CANCELLED = "cancelled"
CELL_STARTS_MAX = 5
"""How often the start of a cell is tried before the attempt that needs it is lost: nothing of the attempt has
begun, and what was missing, like a folder to hide that its owner has just removed, may not be in the next."""

_SIGNALS: dict[Step, bytes] = {"terminate": SIGTERM_ALL, "kill": SIGKILL_ALL}


@dataclass(frozen=True, slots=True)
class CommandLimits:
    """The operator's bounds: bytes of a log, and seconds from SIGTERM to SIGKILL (default, and most)."""

    log_bytes_max: int
    kill_grace_s: float
    kill_grace_s_max: float


class LaneHost(Protocol):
    """What a lane needs of the loop that it lives in."""

    wanted: Wanted
    isolation: Isolation
    folders: Folders
    limits: CommandLimits

    def watch(self, descriptor: int, then: Callable[[], None]) -> None:
        """Call `then` whenever the descriptor is readable."""

    def unwatch(self, descriptor: int) -> None:
        """Stop that; for one that is not watched, do nothing."""

    def tell(self, slot_id: str, item: ReportItem) -> None:
        """Report to the node worker."""

    def end_strays(self) -> None:
        """End every process that a dead cell left behind."""


class Lane:
    """The commands of one slot."""

    def __init__(self, slot_id: str, surroundings: LaneHost) -> None:
        self.slot_id = slot_id
        self._around = surroundings
        self._queue: deque[Assignment] = deque()
        self._spec = CellSpec()
        self._variables: dict[str, str] = {}
        self._cell: CellProcess | None = None
        self._ready = False
        self._failed_starts = 0
        self._run: RunningCommand | None = None
        self._memory: MemoryLimit | None = None
        self._look_at_memory_at: float | None = None

    # ------------------------------------------------------------------------------------- orders

    def add(self, spec: CellSpec, variables: dict[str, str], assignments: Sequence[Assignment]) -> None:
        """Queue attempts and start the first where nothing runs."""
        self._spec, self._variables = spec, variables
        self._queue.extend(assignments)
        self._next()

    def cancel(self, task_id: str, attempt: int) -> None:
        """End an attempt, begun or not."""
        key = (task_id, attempt)
        if self._run is not None and _key(self._run.assignment) == key:
            self._step(self._run.cancel(CANCELLED, time.monotonic()))
            return
        for assignment in self._queue:
            if _key(assignment) == key:
                self._queue.remove(assignment)
                self._report_failure(assignment, ErrorInfo("cancelled", "Cancelled", CANCELLED))
                return

    def take_back(self) -> tuple[tuple[str, int], ...]:
        """Remove and return what has not been started."""
        keys = tuple(map(_key, self._queue))
        self._queue.clear()
        return keys

    def close(self) -> None:
        """End the cell and all that runs in it; nothing is reported."""
        self._queue.clear()
        self._end_cell()
        self._drop_run()

    # ------------------------------------------------------------------------------------- events

    def due_at(self) -> float | None:
        """Return the monotonic time of the next `on_time`."""
        if self._run is None:
            return None
        due = [at for at in (self._run.deadline, self._look_at_memory_at) if at is not None]
        return min(due, default=None)

    def on_time(self, now: float) -> None:
        """Take the step whose time has come."""
        if self._run is not None:
            self._step(self._run.due(now))
            if self._look_at_memory_at is not None and now >= self._look_at_memory_at:
                self._look_at_memory_at = now + CHECK_EVERY_S
                self._step(self._over_memory())

    def pids(self) -> set[int]:
        """Return the processes that are no strays."""
        return self._cell.pids if self._cell is not None else set()

    def _on_cell(self) -> None:
        while self._cell is not None and (answer := self._cell.receive()) is not None:
            kind, _, rest = answer.partition(" ")
            if kind == "H":
                self._welcome(self._cell)
                self._next()
            elif kind == "S":
                self._started()
            elif kind == "E":
                self._refused(rest)
            elif kind == "X":
                self._ended(rest)
            else:
                self._cell_gone()

    def _welcome(self, cell: CellProcess) -> None:
        self._ready, self._failed_starts = True, 0
        if cell.spec.memory_mb is not None and cell.process_id is not None:
            self._memory = MemoryLimit(cell.spec.memory_mb, cell.process_id, cell.group)

    def _on_output(self) -> None:
        run = self._run
        if run is not None and not run.read():
            self._around.unwatch(run.output)

    def _started(self) -> None:
        run = self._run
        if run is not None:
            run.close_writer()
            run.started(time.monotonic())
            if self._memory is not None:
                self._look_at_memory_at = time.monotonic() + CHECK_EVERY_S
            self._around.tell(self.slot_id, Started(*_key(run.assignment)))

    def _refused(self, why: str) -> None:
        run = self._run
        folder = run.spec.working_dir if run is not None else None
        if folder is not None and self._around.isolation.contained and is_fresh(folder):
            why += "; isolated commands see no temporary folders but their own"
            why += ", and those in HELIX_ISOLATION_WRITABLE"
        self._finish(run.refused(why) if run is not None else None)

    def _ended(self, rest: str) -> None:
        self._over_memory()
        try:
            status, clean = map(int, rest.split())
            finished = self._run.ended(status) if self._run is not None else None
        except ValueError:
            self._cell_gone()
            return
        if not clean:
            self._end_cell()
        self._finish(finished)

    def _cell_gone(self) -> None:
        self._over_memory()  # the kernel takes the cell where files in memory fill its group
        words = self._end_cell()
        run = self._run
        if run is not None:
            message = "the process that started it ended" + (f": {words}" if words else "")
            self._finish(run.lost(message))
        elif self._queue:
            self._failed_starts += 1
            if self._failed_starts == CELL_STARTS_MAX:
                self._failed_starts = 0
                message = f"no cell could be started for it: {words}"
                self._report_failure(self._queue.popleft(), ErrorInfo("lost", "CellDied", message))
            self._next()

    # ------------------------------------------------------------------------------------- steps

    def _next(self) -> None:
        while self._run is None and self._queue:
            assignment = self._queue[0]
            try:
                spec = self._parse(assignment)
                if not self._cell_is_ready(replace(self._spec, network=spec.network)):
                    return
                self._start(assignment, spec)
                self._queue.popleft()
            except (BadCommand, OSError, ValueError) as error:
                self._queue.popleft()
                self._drop_run()
                self._report_failure(assignment, ErrorInfo("bad_spec", type(error).__name__, str(error)))

    def _parse(self, assignment: Assignment) -> CommandSpec:
        spec = parse(assignment.run)
        if not spec.network and not self._around.isolation.contained:
            in_force = self._around.isolation.name
            raise BadCommand(f"this node cannot take the network from a command: its isolation is {in_force}")
        return spec

    def _cell_is_ready(self, wanted: CellSpec) -> bool:
        """Say whether the cell can take the next attempt; where there is none of its kind, start one."""
        if self._cell is not None and self._cell.spec != wanted:
            self._end_cell()
        if self._cell is None:
            around = self._around
            self._cell = CellProcess(around.wanted, around.isolation, wanted, around.folders.new_cell())
            self._ready = False
            around.watch(self._cell.connection.fileno(), self._on_cell)
        return self._ready

    def _start(self, assignment: Assignment, spec: CommandSpec) -> None:
        assert self._cell is not None
        around, limits = self._around, self._around.limits
        grace_s = limits.kill_grace_s if spec.kill_grace_s is None else spec.kill_grace_s
        run = self._run = RunningCommand(
            assignment, spec, limits.log_bytes_max, min(grace_s, limits.kill_grace_s_max)
        )
        if self._memory is not None:
            self._memory.begin()
        folder = around.folders.begin(self._cell.folders, *_key(assignment))
        place = Place(folder, own_home=around.isolation.level != "none", own_tmp=around.isolation.contained)
        environment = command_environment(spec.env, assignment, self._variables, place)
        request = CellRequest(spec.argv, environment, spec.working_dir, folder, spec.stdin)
        self._cell.start(request, run.writer)
        around.watch(run.output, self._on_output)

    def _over_memory(self) -> Step | None:
        """Note that the command uses more memory than it may, and return what is to be done."""
        message = self._memory.exceeded() if self._memory is not None else None
        if self._run is None or message is None:
            return None
        self._run.stop_for("memory", message)
        return "kill"

    def _step(self, step: Step | None) -> None:
        if step is not None and self._cell is not None:
            self._cell.signal(_SIGNALS[step])

    def _finish(self, finished: Finished | None) -> None:
        """Report an attempt of which nothing runs any more, and start the next."""
        self._drop_run()
        if finished is not None:
            self._around.tell(self.slot_id, finished)
        self._next()

    def _drop_run(self) -> None:
        run, self._run = self._run, None
        self._look_at_memory_at = None
        if run is not None:
            self._around.unwatch(run.output)
            run.close()
            if self._cell is not None:
                self._around.folders.end(self._cell.folders, *_key(run.assignment))

    def _end_cell(self) -> str:
        """End the cell where there is one, and return its last words."""
        cell, self._cell = self._cell, None
        self._ready, self._memory = False, None
        if cell is None:
            return ""
        self._around.unwatch(cell.connection.fileno())
        cell.end()
        self._around.end_strays()
        if self._run is not None:
            self._around.folders.end(cell.folders, *_key(self._run.assignment))
        self._around.folders.drop_cell(cell.folders)
        return cell.last_words()

    def _report_failure(self, assignment: Assignment, error: ErrorInfo) -> None:
        now = time.time()
        self._around.tell(self.slot_id, Finished(*_key(assignment), Outcome(False, error=error), now, now))


def _key(assignment: Assignment) -> tuple[str, int]:
    return assignment.task_id, assignment.attempt
