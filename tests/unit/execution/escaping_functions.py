"""Functions that start processes which try to outlive them, and ways to end."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from helix_ray.execution.progress import progress

SLEEP = ["sleep", "600"]


def _note(folder: str, pid: int) -> None:
    Path(folder, str(pid)).touch()


def child(folder: str) -> None:
    _note(folder, subprocess.Popen(SLEEP).pid)


def session(folder: str) -> None:
    _note(folder, subprocess.Popen(SLEEP, start_new_session=True).pid)


def without_environment(folder: str) -> None:
    _note(folder, subprocess.Popen(["/bin/sleep", "600"], env={}, start_new_session=True).pid)


def stubborn(folder: str) -> None:
    line = "trap '' TERM HUP INT; echo; while :; do sleep 600; done"
    process = subprocess.Popen(["/bin/sh", "-c", line], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    _note(folder, process.pid)


def daemon(folder: str) -> None:
    """Twice forked, in a session of its own: its parent is gone before the function ends."""
    first = os.fork()
    if first == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        _note(folder, os.getpid())
        time.sleep(600)
        os._exit(0)
    os.waitpid(first, 0)
    while not os.listdir(folder):
        time.sleep(0.001)


def line_of_a_shell(folder: str) -> None:
    background = f"setsid sh -c 'touch {folder}/$$; exec sleep 600' &"
    text = f'{background} while [ -z "$(ls {folder})" ]; do sleep 0.01; done'
    subprocess.run(text, shell=True, check=True)


def grandchildren(folder: str) -> None:
    program = "import subprocess; p = subprocess.Popen(['sleep', '600']); print(p.pid, flush=True); p.wait()"
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", program], stdout=subprocess.PIPE)
    assert process.stdout is not None
    _note(folder, int(process.stdout.readline()))
    _note(folder, process.pid)


def worker(folder: str) -> None:
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
    process.start()
    _note(folder, process.pid or 0)


def from_a_thread(folder: str) -> None:
    thread = threading.Thread(target=session, args=(folder,))
    thread.start()
    thread.join()


def start(how: str, folder: str, end: str) -> str:
    """Start a process one way, then end another way."""
    globals()[how](folder)
    return str(globals()[f"end_by_{end}"]())


def end_by_return() -> str:
    return "done"


def end_by_exception() -> None:
    raise ValueError("broken")


def end_by_exit() -> None:
    sys.exit(3)


def end_by_sleep() -> None:
    progress(1, 2)
    time.sleep(600)


def end_by_cancel() -> None:
    while True:
        progress(1, 2)
        time.sleep(0.01)


def end_by_code_in_c() -> None:
    re.match(r"(a+)+$", "a" * 40 + "b")


def end_by_os_exit() -> None:
    os._exit(3)


def end_by_a_kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fork_and_return() -> str:
    """Both come back; the parent waits for its child's end."""
    pid = os.fork()
    if pid == 0:
        return "child"
    _, status = os.waitpid(pid, 0)
    return f"parent of a child with exit code {os.waitstatus_to_exitcode(status)}"


def fork_and_raise() -> str:
    pid = os.fork()
    if pid == 0:
        sys.exit(7)
    _, status = os.waitpid(pid, 0)
    return f"parent of a child with exit code {os.waitstatus_to_exitcode(status)}"


def fork_and_go_on() -> str:
    """The child outlives its parent's return."""
    if os.fork() == 0:
        time.sleep(600)
    return "parent"
