"""Workers are forks of the first one's process, and run Ray's program as they were started."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from actors import worker_template
from actors.ray_seams import WORKER_PROGRAM
from tests.processes import command_line
from tests.ray.signals import until

# Stands for Ray: its program says how it was started, and stays until it is ended.
RAYLET = "def setproctitle(title): open('/proc/self/comm', 'w').write(title)\n"
PROGRAM = """
import json, os, signal, sys
said = {"pid": os.getpid(), "parent": os.getppid(), "group": os.getpgid(0), "flags": sys.argv[1:],
        "mark": os.environ.get("MARK"), "folder": os.getcwd(), "fractions": "fractions" in sys.modules}
path = [flag.removeprefix("--say=") for flag in sys.argv if flag.startswith("--say=")][0]
print("out of", path, flush=True)
open(path + ".new", "w").write(json.dumps(said))
os.rename(path + ".new", path)
signal.pause()
"""

Said = dict[str, Any]


class Node:
    """A node whose raylet is this process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[subprocess.Popen[bytes]] = []
        (folder / "ray/_private/workers").mkdir(parents=True)
        for name in ("ray/__init__.py", "ray/_private/__init__.py", "ray/_private/workers/__init__.py"):
            (folder / name).touch()
        (folder / "ray/_raylet.py").write_text(RAYLET)
        (folder / "ray/__init__.py").write_text("import ray._raylet\n")
        (folder / "ray/_private/workers/default_worker.py").write_text(
            f"if __name__ == '__main__':{_indented(PROGRAM)}"
        )

    def start(self, name: str, *flags: str, raylet: int | None = None) -> subprocess.Popen[bytes]:
        """Start a worker as the raylet does, which is this process unless another one is named."""
        place = self._folder / name
        place.mkdir()
        command = [sys.executable, WORKER_PROGRAM["worker_path"], f"--raylet-name={self._folder}/raylet"]
        environment = {
            **os.environ,
            "PYTHONPATH": str(self._folder),
            "RAY_RAYLET_PID": str(raylet or os.getpid()),
            "HELIX_WORKERS_LOAD": "fractions",
            "MARK": name,
        }
        with (place / "out").open("wb") as out:
            process = subprocess.Popen(
                [*command, f"--say={place}/said", *flags],
                env=environment,
                cwd=place,
                stdout=out,
                process_group=0,
            )
        self._started.append(process)
        return process

    def said(self, name: str) -> Said:
        """Wait until a worker has run Ray's program; return what it said."""
        file = self._folder / name / "said"
        until(file.exists)
        found: Said = json.loads(file.read_text())
        assert (found["mark"], found["folder"]) == (name, str(self._folder / name))
        assert (self._folder / name / "out").read_text() == f"out of {file}\n"
        return found

    def end(self) -> None:
        """Kill the template and the workers."""
        below = psutil.Process().children(recursive=True)
        for process in below:
            if "ray" in process.name() or str(self._folder) in command_line(process.pid):
                process.kill()
        for file in self._folder.glob("*/said"):
            pid = json.loads(file.read_text())["pid"]
            if str(self._folder) in command_line(pid):
                os.kill(pid, signal.SIGKILL)
        for started in self._started:
            started.wait(60)


def _indented(text: str) -> str:
    return text.replace("\n", "\n    ")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    made.end()


def test_later_workers_are_forks_with_their_own_flags(node: Node) -> None:
    """Each has the flags, the environment, the folder, the files and the group that it was started with; what
    started it has exited."""
    first = node.start("first", "--a=1")
    began = node.said("first")
    assert (began["parent"], began["flags"][-1], began["fractions"]) == (first.pid, "--a=1", True)
    later = node.start("later", "--runtime-env-hash=0", "--b=2")
    said = node.said("later")
    assert later.wait(60) == 0
    assert (said["parent"], said["flags"][-1], said["fractions"]) == (first.pid, "--b=2", True)
    assert said["group"] == later.pid
    assert began["group"] == first.pid
    assert os.getpgid(first.pid) == os.getpgid(0)


def test_workers_that_start_at_once_have_one_template(node: Node) -> None:
    """One of them becomes it, and the others wait until it has loaded Ray."""
    started = [node.start(f"n{i}") for i in range(4)]
    parents = {node.said(f"n{i}")["parent"] for i in range(4)}
    assert len(parents) == 1
    assert parents < {process.pid for process in started}


def test_after_a_killed_template_another_worker_becomes_it(node: Node) -> None:
    """Workers that it has forked go on."""
    first = node.start("first")
    before = node.said("first")
    first.kill()
    first.wait(60)
    second = node.start("second")
    assert node.said("second")["parent"] == second.pid
    third = node.start("third")
    assert node.said("third")["parent"] == second.pid
    assert third.wait(60) == 0
    assert psutil.Process(before["pid"]).status() == psutil.STATUS_SLEEPING


def test_a_worker_with_a_runtime_environment_is_no_fork(node: Node) -> None:
    """It runs in the process that Ray started."""
    node.start("first")
    node.said("first")
    own = node.start("own", "--runtime-env-hash=17")
    assert node.said("own")["pid"] == own.pid


def test_a_forked_worker_that_ends_is_no_zombie(node: Node) -> None:
    """Whoever waits for its end sees it at once."""
    node.start("first")
    node.said("first")
    node.start("later")
    pid = node.said("later")["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{pid}").exists())


def test_without_its_raylet_a_worker_is_no_template(node: Node) -> None:
    """A raylet that has ended cannot end it: the worker runs itself, and nothing is left behind it."""
    gone = subprocess.Popen(["true"])
    gone.wait(60)
    late = node.start("late", raylet=gone.pid)
    assert node.said("late")["pid"] == late.pid
    assert not psutil.Process(late.pid).children()


def test_a_template_that_does_not_answer_is_waited_for_once(tmp_path: Path) -> None:
    """Until the time is over, whoever asked then, also where no more can connect."""
    place = str(tmp_path / "t.1")
    with ExitStack() as stack:
        silent = stack.enter_context(socket.socket(socket.AF_UNIX))
        silent.bind(place)
        silent.listen(0)
        began = time.monotonic()
        assert not worker_template.is_forked(place, [], began + 0.2)
        assert time.monotonic() - began >= 0.2
        assert not worker_template.is_forked(place, [], began + 0.2), "the time is over"
        for _ in range(2):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            client.connect_ex(place)
        with pytest.raises(OSError, match="unavailable"):
            worker_template.listen(place)
        assert [path.name for path in tmp_path.iterdir()] == ["t.1"]
