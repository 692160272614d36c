"""Runs the process that touches a model, under limits, and says why it ended.

A model is native code: it may crash the runtime, loop, or take all memory. It does so in a process of its
own (`helix_ray.inference.workshop`), which limits itself before it loads anything and is watched from
here. The child inherits no variable of the environment but those in KEPT_VARIABLES, so it sees no secret; to
tune, those that name its devices as well.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from helix_ray.inference.variants import ChildJob, ChildRestrictions, Message, TrialJob

__all__ = ["Child", "ChildLimits"]

PROGRAM = "helix_ray.inference.workshop"
KEPT_VARIABLES = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG")
LOOK_EVERY_S = 0.05
MESSAGE_BYTES_MAX = 1024 * 1024
STDERR_BYTES_SHOWN = 2000
REASON_CHARACTERS_MAX = 300

_OUT_OF_MEMORY = (
    "bad_alloc",
    "bad allocation",
    "MemoryError",
    "Failed to allocate memory",
    "Unable to allocate",
    "Memory allocation still failed",
    "Cannot allocate memory",
)


@dataclass(frozen=True, slots=True)
class ChildLimits:
    """What the child may use: resident and private memory, wall time from `allow`, CPU time of the whole
    process, and bytes of each file that it writes."""

    memory_mb: int
    time_s: float
    cpu_s: float
    file_bytes_max: int


class Child:
    """One process that works on a job and sends messages; use it as a context manager, which ends it."""

    def __init__(
        self, job: ChildJob | TrialJob, limits: ChildLimits, folder: Path, program: str = PROGRAM,
        variables: Sequence[str] = KEPT_VARIABLES,
    ) -> None:  # fmt: skip
        """`program` is the module that works on the job; `variables` of the environment are inherited."""
        self._limits = limits
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as this)
        self._pipe, writing = os.pipe()
        os.set_blocking(self._pipe, False)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", program, str(writing)],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._stderr, cwd=folder,
                pass_fds=(writing,), env=_environment(folder, variables),
            )  # fmt: skip
        finally:
            os.close(writing)
        self._killed: str | None = None
        self.allow(limits.time_s)
        self._say(job)

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def allow(self, seconds: float) -> None:
        """Let the child go on for so long from now on."""
        self._allowed_s = seconds
        self._deadline = time.monotonic() + seconds

    def messages(self) -> Iterator[Message]:
        """Yield what the child sends until it ends or breaks a limit."""
        rest = b""
        while self._killed is None:
            ready, _, _ = select.select([self._pipe], [], [], LOOK_EVERY_S)
            self._look()
            if not ready:
                continue
            piece = os.read(self._pipe, 65536)
            if not piece:
                return
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                yield orjson.loads(line)
            if len(rest) > MESSAGE_BYTES_MAX:
                self._kill(f"a message of more than {MESSAGE_BYTES_MAX} bytes")

    def reason(self) -> str | None:
        """Return why the child ended, None where it finished its work; call it after the last message."""
        try:
            status = self._process.wait(timeout=max(0.0, self._deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._kill(f"time above {self._allowed_s:g} s")
            status = self._process.wait()
        return self._killed or self._ended(status)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._pipe)
        self._stderr.close()

    def _say(self, job: ChildJob | TrialJob) -> None:
        limits: ChildRestrictions = {
            "memory_mb": self._limits.memory_mb,
            "cpu_s": self._limits.cpu_s,
            "file_bytes_max": self._limits.file_bytes_max,
        }
        assert self._process.stdin is not None
        try:
            with self._process.stdin as stdin:
                stdin.write(json.dumps({"limits": limits, "job": dict(job), "parent": os.getpid()}).encode())
        except BrokenPipeError:  # it has ended already, and `reason` says why
            pass

    def _look(self) -> None:
        """Kill the child where it uses more memory or time than it may."""
        if _resident_mb(self._process.pid) > self._limits.memory_mb:
            self._kill(f"memory above {self._limits.memory_mb} MB")
        elif time.monotonic() > self._deadline:
            self._kill(f"time above {self._allowed_s:g} s")

    def _kill(self, reason: str) -> None:
        self._killed = reason
        self._process.kill()

    def _ended(self, status: int) -> str | None:
        if status == 0:
            return None
        words = self._words()
        if any(sign in words for sign in _OUT_OF_MEMORY):
            return f"memory above {self._limits.memory_mb} MB"
        if status == -signal.SIGXCPU:
            return f"CPU time above {self._limits.cpu_s:g} s"
        if status < 0:
            return f"signal {-status}"
        last = words.strip().splitlines()[-1:] or ["it said nothing"]
        return f"exit code {status}: {last[0]}"[:REASON_CHARACTERS_MAX]

    def _words(self) -> str:
        end = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, end - STDERR_BYTES_SHOWN))
        return self._stderr.read().decode("utf-8", "replace")


def _environment(folder: Path, variables: Sequence[str]) -> dict[str, str]:
    kept = {name: os.environ[name] for name in variables if name in os.environ}
    return kept | {
        "TMPDIR": str(folder),
        "HOME": str(folder),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _resident_mb(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
