"""Checks all facts of the journal after each start and from time to time, and compares the audit with them,
while the server runs, in a process of its own.

A start itself checks only the facts since the newest snapshot, and files can be edited while nothing runs.
This check reads every fact and every node of the tree, and compares HEAD. Then it makes all records of the
audit once more, and compares them with those that searches show (helix_ray/audit_compare.py). It takes 10 us
of CPU a fact and 25 us a record, so its process has the lowest priority and rests as long as it works:
neither the write-ahead log nor anybody's questions wait for it. It ends with the process that started it.

    python -m actors.chain_check DATA_DIR [audit]     # what that process runs

The history's file can be open in one process only, which started this one: it is asked for records page by
page. A request is a line on standard output, `page AFTER THROUGH`; the answer on standard input is the length
of the page in 8 bytes, and the page. `checked JSON` and `compared JSON` are what was found; all other lines
say why something could not be checked.

The results are also kept in signed files (helix_ray/monitoring/checked.py), for figures until the first check
of a start has ended. They say nothing else: no check is skipped because of what a file says, and the
journal is told only what this process has seen found.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from actors.audit_requests import CHECKED, COMPARED, LENGTH_BYTES, PAGE
from helix_ray.checkpoints import UNMET_FILE, CheckpointFailed, verify
from helix_ray.core.posture import REMEDY, AuditCheck, JournalCheck
from helix_ray.journal.errors import JournalError
from helix_ray.monitoring.checked import read_check, read_comparison, write_check

log = logging.getLogger(__name__)

LOWEST_PRIORITY = 19
# Of one core the check takes at most a half.
REST_PER_STEP = 1.0
LOOK_EVERY_S = 30.0
FOLLOWED_LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class AuditSide:
    """The audit of the process that has the history: its pages (views/audit_page.py), once the history has
    `followed` the journal, and who is told what was found."""

    page: Callable[[int, int], bytes]
    followed: threading.Event
    tell: Callable[[JournalCheck | AuditCheck], Awaitable[None]]


class ChainCheck:
    """Checks the journal of a data directory when it begins to run and every `every_s` seconds, and compares
    an audit with it."""

    def __init__(self, data_dir: Path, every_s: float, audit: AuditSide | None = None) -> None:
        self._data_dir = data_dir
        self._every_s = every_s
        self._audit = audit
        # By time.monotonic().
        self._due_at = 0.0
        self._has_doubted = False
        # What this process has seen found last, and what of it is still to be told.
        self._checked: JournalCheck | None = None
        self._compared: AuditCheck | None = None
        self._untold: list[JournalCheck | AuditCheck] = []

    def known(self) -> tuple[JournalCheck | None, AuditCheck | None]:
        """Return the newest check and the newest comparison: those of this start, or else of one before."""
        return (
            self._checked or read_check(self._data_dir),
            self._compared or read_comparison(self._data_dir),
        )

    async def check_if_due(self) -> None:
        """Check if this process has not checked recently, and once if the journal that was opened is not that
        of its checkpoint."""
        is_doubtful = await asyncio.to_thread(self._is_doubtful)
        if is_doubtful or time.monotonic() >= self._due_at:
            await self._check_beside()

    def _is_doubtful(self) -> bool:
        if self._has_doubted or not (self._data_dir / UNMET_FILE).exists():
            return False
        self._has_doubted = True
        return True

    async def _check_beside(self) -> None:
        command = [sys.executable, "-m", "actors.chain_check", str(self._data_dir)]
        if self._audit is not None:
            command.append("audit")
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            reason = await asyncio.to_thread(self._attend, child)
        finally:
            child.kill()
            child.wait()
            # Who attends it sees the end of its output, if they have begun at all.
            for pipe in filter(None, (child.stdin, child.stdout)):
                with contextlib.suppress(OSError):
                    pipe.close()
        if child.returncode != 0:
            log.warning("the journal could not be checked: %s", reason or f"code {child.returncode}")
        found, compared = self._checked, self._compared
        if found is not None and found.damage is not None:
            log.critical("the check of the journal failed: %s", found.damage)
        if compared is not None and compared.difference:
            log.critical("%s; %s", compared.difference, REMEDY)

    def _attend(self, child: subprocess.Popen[bytes]) -> str:
        """Give a child the pages that it asks for, until it ends; return what else it says."""
        assert child.stdin is not None
        assert child.stdout is not None
        said = []
        with contextlib.suppress(BrokenPipeError):
            for line in child.stdout:
                if self._found(line):
                    continue
                if self._audit is None or not line.startswith(PAGE):
                    said.append(line.decode("utf-8", "replace").strip())
                    continue
                while not self._audit.followed.wait(FOLLOWED_LOOK_S) and child.poll() is None:
                    pass
                after, through = map(int, line[len(PAGE) :].split())
                page = self._audit.page(after, through)
                child.stdin.write(len(page).to_bytes(LENGTH_BYTES) + page)
                child.stdin.flush()
        child.wait()
        return " ".join(said)

    def _found(self, line: bytes) -> bool:
        """Keep what a line says was found; False for a line that says something else."""
        if line.startswith(CHECKED):
            self._due_at = time.monotonic() + self._every_s
            self._checked = JournalCheck(*json.loads(line[len(CHECKED) :]))
            self._untold.append(self._checked)
        elif line.startswith(COMPARED):
            self._compared = AuditCheck(*json.loads(line[len(COMPARED) :]))
            self._untold.append(self._compared)
        else:
            return False
        return True

    async def _tell(self) -> None:
        """Report what was found, oldest first; what cannot be reported now is tried again later."""
        while self._audit is not None and self._untold:
            await self._audit.tell(self._untold[0])
            del self._untold[0]

    async def run(self) -> None:
        """Check for ever, as a loop of an actor: one look."""
        await self.check_if_due()
        await self._tell()
        await asyncio.sleep(min(LOOK_EVERY_S, self._every_s))


def check(data_dir: Path, pause: Callable[[], None] = lambda: None) -> str | None:
    """Check all facts now, print the result and keep it; return why it could not be checked. `pause` is
    called between steps of some thousand facts."""
    checked = 0

    def step(facts: int) -> None:
        nonlocal checked
        checked = facts
        pause()

    try:
        found = JournalCheck(time.time(), verify(data_dir, on_facts=step).size)
    except JournalError as error:
        found = JournalCheck(time.time(), checked, str(error))
    except (CheckpointFailed, OSError, sqlite3.Error) as error:
        return str(error)
    print(f"{CHECKED.decode()}{json.dumps(found)}", flush=True)
    try:
        write_check(data_dir, found)
    except OSError as error:
        return f"the result could not be written: {error}"
    return None


class _Pace:
    """Rests after each step, and ends the process when the one that started it has ended."""

    def __init__(self) -> None:
        self._parent = os.getppid()
        self._began = time.monotonic()

    def pause(self) -> None:
        time.sleep(REST_PER_STEP * (time.monotonic() - self._began))
        if os.getppid() != self._parent:
            raise SystemExit("the server has ended")
        self._began = time.monotonic()


def main() -> int:
    """Check the journal of the data directory in the arguments, and compare the audit; 1 with the reason
    where something cannot be read."""
    os.nice(LOWEST_PRIORITY - os.nice(0))
    home, *audit = sys.argv[1:]
    pace = _Pace()
    failed = check(Path(home), pace.pause)
    if failed is None and audit:
        # Only this process needs DuckDB for it.
        from actors.audit_check import asked, compare_audit

        failed = compare_audit(Path(home), asked, pace.pause)
    if failed is not None:
        print(failed)
    return 0 if failed is None else 1


if __name__ == "__main__":
    sys.exit(main())
