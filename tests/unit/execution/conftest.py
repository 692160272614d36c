"""A real executor process on a real socket, and the node worker's end of it."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from helix_ray.execution.assignment import (
    Assignment,
    Finished,
    Hello,
    Message,
    Outcome,
    Progressed,
    Report,
    Returned,
    Run,
    Started,
)
from helix_ray.execution.frames import FrameReader, encode
from tests.endless_model import models_with_endless

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
WAIT_S = 60.0
ALLOW = "helix_ray.samples:*,sample_functions:*,changing_functions:*,escaping_functions:*,"
ALLOW += "printing_functions:*,leaving_functions:*"

MAIN = """
import sys
from functools import partial
from pathlib import Path
from helix_ray.execution.allow import Allow
from helix_ray.execution.executor import Executor
from helix_ray.execution.own_folder import OwnFolder
from helix_ray.execution.wear import Bounds
from helix_ray.inference.onnx import ModelStore
bounds = Bounds(*map(int, sys.argv[3:7]))
models = ModelStore(Path(sys.argv[8]))
folder = partial(OwnFolder, Path(sys.argv[9]), sys.argv[7])
Executor(sys.argv[1], sys.argv[7], Allow.parse(sys.argv[2]), models, bounds, folder=folder).serve()
print("served")
"""


class NodeEnd:
    """Listens, starts one executor, and keeps every message that it sends."""

    def __init__(
        self,
        folder: Path,
        tasks_max: int = 10**9,
        growth_mb_max: int = 10**6,
        yield_bytes_max: int = 10**9,
        result_inline_bytes_max: int = 1 << 16,
    ) -> None:
        self.log_dir = str(folder / "logs")
        self.attempts = folder / "commands" / "attempts"
        self.attempts.mkdir(parents=True, exist_ok=True)
        self.executor_id = f"executor-{folder.name}"
        self.replaced: list[str] = []
        self._path = str(folder / "node.sock")
        # The same for all processes of a slot: pytest changes its own from test to test.
        self._environment = os.environ | {
            "PYTHONPATH": f"{ROOT}:{HERE}",
            "HELIX_SECRET": "s",
            "RAY_AUTH_TOKEN": "t",
        }
        bounds = (tasks_max, growth_mb_max, yield_bytes_max, result_inline_bytes_max)
        self._bounds = tuple(map(str, bounds))
        self._models = str(models_with_endless(folder))
        self._start()

    def _start(self) -> None:
        self.spent: str | None = None
        self.items: list[Started | Progressed | Finished] = []
        self.returned: list[Returned] = []
        self.hello: Hello | None = None
        self._frames = FrameReader()
        Path(self._path).unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self._path)
            listener.listen(1)
            listener.settimeout(WAIT_S)
            arguments = (self._path, ALLOW, *self._bounds, self.executor_id, self._models, str(self.attempts))
            self.process = subprocess.Popen(
                [sys.executable, "-c", MAIN, *arguments],
                env=self._environment,
                stdout=subprocess.PIPE,
            )
            try:
                self.connection, _ = listener.accept()
            except BaseException:
                self._end_process()
                raise
        self.connection.settimeout(WAIT_S)
        try:
            self.wait(lambda: self.hello)
        except BaseException:
            self.close()
            raise

    def assignment(self, task_id: str, run: dict[str, Any], **more: Any) -> Assignment:
        return Assignment(
            task_id, more.pop("attempt", 1), run, more.pop("timeout_s", None), self.log_dir, **more
        )

    def send(self, message: Message) -> None:
        self.connection.sendall(encode(message))

    def submit(self, task_id: str, run: dict[str, Any], **more: Any) -> None:
        if self.spent is not None:
            self.replace()
        self.send(Run((self.assignment(task_id, run, **more),)))

    def run(self, task_id: str, run: dict[str, Any], **more: Any) -> Outcome:
        self.submit(task_id, run, **more)
        return self.finished(task_id).outcome

    def wait(self, condition: Callable[[], Any]) -> Any:
        """Return the condition's value once it is true, taking messages until then."""
        give_up_at = time.monotonic() + WAIT_S
        while not (value := condition()):
            assert time.monotonic() < give_up_at, f"waited {WAIT_S} s"
            data = self.connection.recv(1 << 20)
            assert data, "the executor hung up"
            for message in self._frames.feed(data):
                self._take(message)
        return value

    def finished(self, task_id: str) -> Finished:
        return self.wait(lambda: self._find(Finished, task_id))

    def started(self, task_id: str) -> Started:
        return self.wait(lambda: self._find(Started, task_id))

    def progress(self, task_id: str) -> list[Progressed]:
        return [item for item in self.items if isinstance(item, Progressed) and item.task_id == task_id]

    def replace(self) -> None:
        """Start another executor in the place of one that is spent, as a node worker does."""
        self.replaced.append(self.spent or "")
        os.kill(self.process.pid, signal.SIGKILL)
        self.close()
        self._start()

    def close(self) -> None:
        self.connection.close()
        try:
            self.process.wait(WAIT_S)
        finally:
            self._end_process()

    def _end_process(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()

    def _find(self, kind: type, task_id: str) -> Any:
        return next((item for item in self.items if isinstance(item, kind) and item.task_id == task_id), None)

    def _take(self, message: Message) -> None:
        if isinstance(message, Report):
            self.items += message.items
            spent = [item.spent for item in message.items if isinstance(item, Finished) and item.spent]
            self.spent = spent[-1] if spent else None
        elif isinstance(message, Returned):
            self.returned.append(message)
        elif isinstance(message, Hello):
            self.hello = message


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A short path: Unix socket names have at most 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="hx-", dir="/tmp"))
    try:
        yield path
    finally:
        for made in (str(path), f"{path}-open"):
            shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def folder() -> Iterator[Path]:
    with _folder() as path:
        yield path


@pytest.fixture(scope="module")
def slot() -> Iterator[NodeEnd]:
    """An executor for all tests of a module: another takes its place when it is spent."""
    with _folder() as path:
        end = NodeEnd(path)
        yield end
        end.close()


@pytest.fixture
def node_of(folder: Path) -> Iterator[Callable[..., NodeEnd]]:
    """Starts an executor with bounds of its own."""
    ends: list[NodeEnd] = []

    def start(**bounds: int) -> NodeEnd:
        ends.append(NodeEnd(folder, **bounds))
        return ends[-1]

    yield start
    with contextlib.ExitStack() as closing:
        for end in ends:
            closing.callback(end.close)


@pytest.fixture
def node(folder: Path) -> Iterator[NodeEnd]:
    end = NodeEnd(folder)
    yield end
    end.close()


@pytest.fixture
def is_gone() -> Callable[[int], bool]:
    """Tells whether a process ends within WAIT_S; a zombie that waits for its parent has ended."""

    def gone(pid: int) -> bool:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        try:
            return bool(select.select([handle], [], [], WAIT_S)[0])
        finally:
            os.close(handle)

    return gone


@pytest.fixture
def is_alive() -> Callable[[int], bool]:
    """Tells whether a process lives at this moment."""

    def alive(pid: int) -> bool:
        try:
            os.kill(pid, signal.SIG_DFL)
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (ProcessLookupError, FileNotFoundError):
            return False
        return stat.rsplit(")", 1)[1].split()[0] not in "ZX"

    return alive
