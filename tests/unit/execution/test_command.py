"""Commands: real processes in real process groups."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helix_ray.execution import environment
from helix_ray.execution.assignment import Assignment, Outcome
from helix_ray.execution.command import CommandProcess, describe_exit

ROOT = Path(__file__).parents[3]


def start(
    folder: Path, run: dict[str, Any], *, timeout_s: float | None = None, **more: Any
) -> CommandProcess:
    return CommandProcess(Assignment("task-1", 1, run, timeout_s, str(folder / "logs")), **more)


def run(folder: Path, run: dict[str, Any], **more: Any) -> Outcome:
    return start(folder, run, **more).run()


def log(folder: Path) -> str:
    return (folder / "logs" / "task-1.1.log").read_text()


def fifo(folder: Path) -> Path:
    """A pipe with a name: opening it waits for the other side, so it is a signal."""
    path = folder / "fifo"
    os.mkfifo(path)
    return path


def test_argv_and_shell(folder: Path) -> None:
    """Both forms run; output of both streams is in the log and the tail, the exit code in the outcome."""
    assert run(folder, {"argv": ["echo", "a  b", "$HOME"]}).output_tail == "a  b $HOME\n"
    outcome = run(folder, {"shell": "echo out; echo err >&2; exit 3"})
    assert (outcome.ok, outcome.exit_code, outcome.output_tail) == (False, 3, "out\nerr\n")
    assert outcome.error is not None
    assert (outcome.error.reason, outcome.error.message) == ("failed", "exit code 3")
    assert log(folder) == "out\nerr\n"
    assert outcome.log_bytes == 8


def test_environment_is_scrubbed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the kept, the given, the accelerators' and the task's own variables come through."""
    for name in ("HELIX_ADMIN_PASSWORD", "RAY_AUTH_TOKEN", "AWS_SECRET_ACCESS_KEY", "PYTHONPATH"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.setenv("LANG", "C.UTF-8")
    outcome = run(folder, {"argv": ["env"], "env": {"GIVEN": "x", "HELIX_TASK_ID": "forged"}})
    assert outcome.output_tail is not None
    seen = dict(line.split("=", 1) for line in outcome.output_tail.splitlines())
    assert "secret" not in seen.values()
    assert seen["CUDA_VISIBLE_DEVICES"] == "1"
    assert (seen["GIVEN"], seen["HELIX_TASK_ID"], seen["HELIX_ATTEMPT"]) == ("x", "task-1", "1")
    allowed = {*environment.KEPT, *environment.ACCELERATORS, "GIVEN", "HELIX_TASK_ID", "HELIX_ATTEMPT"}
    assert set(seen) <= allowed


def test_working_dir(folder: Path) -> None:
    """The command runs where it is told, and finds its program there."""
    program = folder / "here.sh"
    program.write_text("#!/bin/sh\npwd\n")
    program.chmod(0o700)
    assert run(folder, {"argv": ["./here.sh"], "working_dir": str(folder)}).output_tail == f"{folder}\n"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({}, "either argv or shell"),
        ({"argv": ["a"], "shell": "a"}, "either argv or shell"),
        ({"argv": []}, "at least one"),
        ({"argv": ["a", 1]}, r"argv\[1\]"),
        ({"argv": ["no-such-program-here"]}, "no-such-program-here"),
        ({"shell": "true", "working_dir": "/no/such/folder"}, "/no/such/folder"),
        ({"shell": "true", "working_dir": "relative"}, "absolute"),
        ({"shell": "true", "env": {"A": 1}}, "env.A"),
        ({"shell": "true", "env": {"A=": "1"}}, "A="),
        ({"shell": "true", "timeout_s": 0}, "timeout_s"),
        ({"shell": "a\0b"}, "NUL"),
        ({"shell": "true", "surprise": 1}, "surprise"),
    ],
)
def test_bad_specs_say_what_is_wrong(folder: Path, spec: dict[str, Any], words: str) -> None:
    """A run object that makes no sense fails as bad_spec, the field in its message, and starts nothing."""
    outcome = run(folder, spec)
    assert outcome.error is not None
    assert outcome.error.reason == "bad_spec"
    assert re.search(words, outcome.error.message)


def test_timeout_ends_the_whole_group(folder: Path, is_alive: Callable[[int], bool]) -> None:
    """A command that ignores SIGTERM, and its grandchildren, are gone when the outcome comes back."""
    line = "trap '' TERM; sh -c 'sleep 1000 & echo $!; wait' & sleep 1000 & echo $! $$; wait; wait"
    outcome = run(folder, {"shell": line}, timeout_s=4, grace_s=0.3)
    assert outcome.error is not None
    assert (outcome.error.reason, outcome.exit_code) == ("timeout", -signal.SIGKILL)
    assert outcome.output_tail is not None
    pids = [int(word) for word in outcome.output_tail.split()]
    assert len(pids) == 3
    assert not any(map(is_alive, pids))


def test_grace_is_for_the_whole_group(folder: Path) -> None:
    """After SIGTERM a grandchild may finish its work though its parent, the shell, is gone already."""
    pipe = fifo(folder)
    script = folder / "child.py"
    script.write_text(
        "import signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('saved', flush=True), sys.exit()))\n"
        f"open('{pipe}', 'w').close()\n"
        "signal.pause()\n"
    )
    command = start(folder, {"argv": ["sh", "-c", f"{sys.executable} -S {script}; true"]}, grace_s=60)
    thread = threading.Thread(target=lambda: (pipe.read_text(), command.cancel()))
    thread.start()
    started = time.monotonic()
    outcome = command.run()
    thread.join()
    assert outcome.output_tail == "saved\n"
    assert time.monotonic() - started < 30, "an empty group is not waited for"


def test_cancel_from_another_thread(folder: Path, is_alive: Callable[[int], bool]) -> None:
    """Cancel ends the group with the reason given; a second cancel and one after the end do nothing."""
    pipe = fifo(folder)
    command = start(folder, {"shell": f"echo $$ > {pipe}; exec sleep 1000"})
    pids: list[int] = []

    def cancel_when_running() -> None:
        pids.append(int(pipe.read_text()))
        command.cancel("not wanted any more")
        command.cancel("again")

    thread = threading.Thread(target=cancel_when_running)
    thread.start()
    outcome = command.run()
    thread.join()
    command.cancel("late")
    assert outcome.error is not None
    assert (outcome.error.reason, outcome.error.message) == ("cancelled", "not wanted any more")
    assert not is_alive(pids[0])


def test_cancel_before_the_start(folder: Path) -> None:
    """A cancelled command never starts."""
    command = start(folder, {"shell": f"touch {folder}/started"})
    command.cancel()
    outcome = command.run()
    assert outcome.error is not None
    assert outcome.error.reason == "cancelled"
    assert not (folder / "started").exists()


def test_what_a_command_leaves_behind_is_ended(folder: Path, is_alive: Callable[[int], bool]) -> None:
    """A background process does not outlive its task, nor keep it from finishing; the exit code stands."""
    outcome = run(folder, {"shell": "sleep 1000 & echo $!"})
    assert outcome.ok
    assert outcome.output_tail is not None
    assert not is_alive(int(outcome.output_tail))


def test_a_daemon_that_left_the_group_is_not_waited_for(folder: Path) -> None:
    """A process in a session of its own holds the pipe open; the task still ends."""
    outcome = run(folder, {"shell": "setsid sleep 1000 & echo $!"}, timeout_s=15)
    assert outcome.ok
    assert outcome.output_tail is not None
    os.kill(int(outcome.output_tail), signal.SIGKILL)


def test_log_cap_cuts_old_output_and_says_so(folder: Path) -> None:
    """A long log keeps its newest lines whole, under a marker that counts what was cut."""
    outcome = run(folder, {"shell": "seq 1 200000"}, log_bytes_max=100_000)
    first, *lines = log(folder).splitlines()
    written = len("".join(f"{n}\n" for n in range(1, 200_001)))
    kept = len("\n".join(lines)) + 1
    assert outcome.log_bytes == written
    assert first == f"[helix: {written - kept} bytes of older output were removed here]"
    assert kept <= 100_000
    assert lines == [str(n) for n in range(200_001 - len(lines), 200_001)]
    assert outcome.output_tail is not None
    assert len(outcome.output_tail) == 4096
    assert outcome.output_tail.endswith("\n200000\n")


def test_a_command_without_output_makes_no_log(folder: Path) -> None:
    """No file is made for nothing."""
    assert run(folder, {"argv": ["true"]}).log_bytes == 0
    assert not (folder / "logs").exists()


def test_no_descriptor_is_left_open(folder: Path) -> None:
    """A thousandth command finds as many free descriptors as the first."""
    run(folder, {"argv": ["true"]})
    before = set(os.listdir("/proc/self/fd"))
    for line in ("true", "sleep 1000 & true", "exit 3", "/no/such"):
        run(folder, {"shell": line})
    run(folder, {"shell": "sleep 1000"}, timeout_s=0.05)
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_killed_executor_takes_its_command_along(folder: Path, is_gone: Callable[[int], bool]) -> None:
    """kill -9 of the process that runs a command ends the command."""
    pipe = fifo(folder)
    program = (
        "from helix_ray.execution.assignment import Assignment\n"
        "from helix_ray.execution.command import CommandProcess\n"
        f"CommandProcess(Assignment('t', 1, {{'shell': 'echo $$ > {pipe}; exec sleep 1000'}}, None, "
        f"'{folder}')).run()\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    command_pid = int(pipe.read_text())
    owner.kill()
    owner.wait()
    assert is_gone(command_pid)


def test_a_command_whose_executor_is_gone_already_does_not_start(folder: Path) -> None:
    """The launcher notices that its parent is another process than the one that asked."""
    argv = [*environment.launch_prefix(1), "/usr/bin/touch", str(folder / "started")]
    assert subprocess.run(argv).returncode == 137
    assert not (folder / "started").exists()


def test_a_file_that_is_no_program(folder: Path) -> None:
    """What the kernel refuses to execute ends with 126 and a line that says so, as in a shell."""
    (folder / "odd").write_text("no program")
    (folder / "odd").chmod(0o700)
    outcome = run(folder, {"argv": [str(folder / "odd")]})
    assert (outcome.exit_code, outcome.output_tail) == (126, f"{folder}/odd: Exec format error\n")


# glibc keeps signals 32 and 33 for itself: what make leaves of them in its children, no program can change.
GLIBC_SIGNALS = 0b11 << 31


def test_signals_and_environment_are_as_in_a_shell(folder: Path) -> None:
    """No signal is ignored or blocked, and the launcher's Python leaves no variable behind."""
    words = run(folder, {"shell": "grep -E 'Sig(Ign|Blk)' /proc/self/status"}).output_tail
    assert words is not None
    assert {int(line.split()[1], 16) & ~GLIBC_SIGNALS for line in words.splitlines()} == {0}
    seen = run(folder, {"argv": ["env"], "env": {"A.B": "odd = name", "LANG": "C", "LC_ALL": ""}}).output_tail
    assert seen is not None
    assert "A.B=odd = name\n" in seen
    assert "LC_CTYPE" not in seen


def test_exit_in_words() -> None:
    """Signals are named."""
    assert describe_exit(2) == "exit code 2"
    assert describe_exit(-9) == "ended by signal SIGKILL"
    assert describe_exit(-99) == "ended by signal 99"
