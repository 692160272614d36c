"""Commands through a real starter: how they begin, what they see, how they end, what is reported."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from helix_ray.core.stdin import STDIN_BYTES_MAX
from helix_ray.execution import environment
from helix_ray.execution.assignment import Outcome
from helix_ray.execution.exit_code import describe_exit
from helix_ray.execution.packed_log import pack, read
from helix_ray.execution.starter.lane import CommandLimits
from helix_ray.execution.starter.levels import Wanted
from tests.time_limits import with_time_enough
from tests.unit.execution.starter_end import StarterEnd


@pytest.fixture
def starter(folder: Path) -> Iterator[StarterEnd]:
    end = StarterEnd(folder, Wanted("none"), AWS_SECRET_ACCESS_KEY="secret", LANG="C.UTF-8")
    yield end
    end.close()


@pytest.fixture
def limited(folder: Path) -> Iterator[StarterEnd]:
    end = StarterEnd(
        folder, Wanted("none"), CommandLimits(log_bytes_max=100_000, kill_grace_s=0.3, kill_grace_s_max=0.5)
    )
    yield end
    end.close()


@pytest.fixture(scope="module")
def quiet_starter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StarterEnd]:
    """One starter for commands that leave nothing behind."""
    end = StarterEnd(tmp_path_factory.mktemp("starter"), Wanted("none"))
    yield end
    end.close()


def fifo(folder: Path) -> Path:
    """A pipe with a name: opening it waits for the other side, so it is a signal."""
    path = folder / "fifo"
    os.mkfifo(path)
    return path


def test_argv_and_shell(starter: StarterEnd) -> None:
    """Both forms run; output of both streams is in the log and the tail, the exit code in the outcome."""
    assert starter.run({"argv": ["echo", "a  b", "$HOME"]}).output_tail == "a  b $HOME\n"
    task_id = starter.submit({"shell": "echo out; echo err >&2; exit 3"})
    outcome = starter.finished(task_id).outcome
    assert (outcome.ok, outcome.exit_code, outcome.output_tail) == (False, 3, "out\nerr\n")
    assert outcome.error is not None
    assert (outcome.error.reason, outcome.error.message) == ("failed", "exit code 3")
    assert starter.log(task_id) == "out\nerr\n"
    assert outcome.log_bytes == 8


def test_the_environment_is_the_documented_list(starter: StarterEnd) -> None:
    """Only the kept, the given, the slot's and the task's own variables come through, the slot's before
    the given."""
    given = {
        "GIVEN": "x",
        "HELIX_TASK_ID": "forged",
        "CUDA_VISIBLE_DEVICES": "0,1,2",
        "LD_LIBRARY_PATH": "/nowhere",
    }
    variables = environment.slot_variables({"CUDA_VISIBLE_DEVICES": "1", "SECRET": "s"}, {"gpu"})
    text = starter.run({"argv": ["env"], "env": given}, variables=variables, shard=(1, 4)).output_tail or ""
    seen = dict(line.split("=", 1) for line in text.splitlines())
    assert "secret" not in seen.values()
    assert seen["CUDA_VISIBLE_DEVICES"] == "1"
    assert (seen["GIVEN"], seen["HELIX_TASK_ID"], seen["HELIX_ATTEMPT"]) == ("x", "task-1", "1")
    assert (seen["HELIX_SHARD_INDEX"], seen["HELIX_SHARD_COUNT"]) == ("1", "4")
    own = {"HELIX_TASK_ID", "HELIX_ATTEMPT", "HELIX_ATTEMPT_DIR", "HELIX_SHARD_INDEX", "HELIX_SHARD_COUNT"}
    assert set(seen) <= {*environment.KEPT, *environment.ACCELERATORS, *given, *own}


def test_a_slot_without_a_gpu_hides_them_all() -> None:
    """Whatever the executor sees, a task that asks for no GPU sees none."""
    assert environment.slot_variables({"CUDA_VISIBLE_DEVICES": "0,1"}, {"cpu"})["CUDA_VISIBLE_DEVICES"] == ""
    assert environment.slot_variables({}, {"npu"}) == environment.NO_GPU
    assert environment.slot_variables({"CUDA_VISIBLE_DEVICES": "1"}, {"gpu"}) == {"CUDA_VISIBLE_DEVICES": "1"}


def test_a_large_request_arrives_whole(starter: StarterEnd) -> None:
    """An argument of 100 KiB and an environment of 300 KiB are no problem."""
    env = {f"V{number}": "x" * 100_000 for number in range(3)}
    line = 'printf %s "$0$V0$V1$V2" | wc -c'
    assert (
        starter.run({"argv": ["sh", "-c", line, "y" * 100_000], "env": env}).output_tail or ""
    ).strip() == "400000"


@pytest.mark.parametrize("env", [{}, {f"V{number}": "x" * 60_000 for number in range(3)}], ids=["", "large"])
def test_a_command_reads_what_it_was_given(quiet_starter: StarterEnd, env: dict[str, str]) -> None:
    """Text and bytes, up to the limit, to its end; with a request of any size."""
    given: dict[str, Any] = {"argv": ["cat"], "env": env}
    assert quiet_starter.run({**given, "stdin": "a\nb é"}).output_tail == "a\nb é"
    assert quiet_starter.run({**given, "stdin_base64": "AP8K"}).log_bytes == 3
    whole = {"shell": "wc -c; wc -c", "env": env, "stdin": "x" * STDIN_BYTES_MAX}
    assert (quiet_starter.run(whole).output_tail or "").split() == [str(STDIN_BYTES_MAX), "0"]
    again = {"shell": "head -c 1 </dev/stdin; head -c 1 </dev/stdin", "env": env, "stdin": "xy"}
    assert quiet_starter.run(again).output_tail == "xx", "it is a file, and can be opened again"


def test_a_command_without_input_reads_nothing(quiet_starter: StarterEnd) -> None:
    """Its standard input is at its end, also where the one before it in the same cell had some."""
    assert quiet_starter.output("cat; readlink /proc/$$/fd/0") == "/dev/null\n"
    assert quiet_starter.run({"argv": ["true"], "stdin": "left over"}).ok
    assert quiet_starter.output("wc -c").strip() == "0"


def test_an_input_is_one_descriptor_that_can_only_be_read(quiet_starter: StarterEnd) -> None:
    """No other descriptor of ours reaches the command with it."""
    line = "ls -l /proc/self/fd | grep -c memfd; (seq 1 >&0) 2>&1"
    said = quiet_starter.run({"shell": line, "stdin": "x"}).output_tail or ""
    assert said.splitlines()[0] == "1"
    assert "Bad file descriptor" in said
    again = "(seq 1 >/proc/self/fd/0; seq 1 >>/proc/self/fd/0) 2>/dev/null; cat"
    assert quiet_starter.run({"shell": again, "stdin": "x"}).output_tail == "x"


def test_working_dir_is_the_tasks_or_its_attempts_own(starter: StarterEnd, folder: Path) -> None:
    """The command runs where it is told and finds its program there; untold, in a folder of its own that
    is kept."""
    program = folder / "here.sh"
    program.write_text("#!/bin/sh\npwd\n")
    program.chmod(0o700)
    assert starter.run({"argv": ["./here.sh"], "working_dir": str(folder)}).output_tail == f"{folder}\n"
    own = starter.output(
        "pwd; echo $HELIX_ATTEMPT_DIR; ls -a | wc -l; echo kept > file", task_id="own"
    ).split()
    assert starter.ready is not None
    assert own == [f"{starter.ready.attempts}/own.1", f"{starter.ready.attempts}/own.1", "2"]
    assert (Path(own[0]) / "file").read_text() == "kept\n"
    starter.output("true", task_id="empty")
    assert not Path(starter.ready.attempts, "empty.1").exists(), "an empty folder is not kept"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({}, "either argv or shell"),
        ({"argv": ["a"], "shell": "a"}, "either argv or shell"),
        ({"argv": []}, "at least one"),
        ({"argv": ["a", 1]}, r"argv\[1\]"),
        ({"argv": ["no-such-program-here"]}, "no-such-program-here"),
        ({"argv": ["/etc"]}, "does not exist or cannot be executed"),
        ({"shell": "true", "working_dir": "/no/such/folder"}, "'/no/such/folder' is not a directory"),
        ({"shell": "true", "working_dir": "relative"}, "absolute"),
        ({"shell": "true", "env": {"A": 1}}, "env.A"),
        ({"shell": "true", "env": {"A=": "1"}}, "A="),
        ({"shell": "true", "timeout_s": 0}, "timeout_s"),
        ({"shell": "true", "kill_grace_s": -1}, "kill_grace_s"),
        ({"shell": "a\0b"}, "NUL"),
        ({"shell": "true", "stdin": 5}, "stdin must be a string"),
        ({"shell": "true", "stdin_base64": "aGk"}, "stdin_base64: not valid base64"),
        ({"shell": "true", "stdin": "", "stdin_base64": ""}, "only one of stdin and stdin_base64"),
        ({"shell": "true", "surprise": 1}, "surprise"),
    ],
)
def test_bad_specs_say_what_is_wrong(quiet_starter: StarterEnd, spec: dict[str, Any], words: str) -> None:
    """A run object that makes no sense fails as bad_spec, the field in its message, and starts nothing."""
    outcome = quiet_starter.run(spec)
    assert outcome.error is not None
    assert outcome.error.reason == "bad_spec"
    assert re.search(words, outcome.error.message)


def test_a_file_that_is_no_program(starter: StarterEnd, folder: Path) -> None:
    """What the kernel refuses to execute ends with 126 and a line that says so, as in a shell."""
    (folder / "odd").write_text("no program")
    (folder / "odd").chmod(0o700)
    outcome = starter.run({"argv": [str(folder / "odd")]})
    assert (outcome.exit_code, outcome.output_tail) == (126, f"{folder}/odd: Exec format error\n")


def test_timeout_ends_everything(limited: StarterEnd, is_alive: Callable[[int], bool]) -> None:
    """A command that ignores SIGTERM, and its grandchildren, are gone when the outcome comes back."""
    line = "trap '' TERM; sh -c 'sleep 1000 & echo $!; wait' & sleep 1000 & echo $! $$; wait; wait"

    def attempt(limit_s: float) -> tuple[list[int], float, Outcome]:
        outcome = limited.run({"shell": line, "timeout_s": limit_s})
        return [int(word) for word in (outcome.output_tail or "").split()], limit_s, outcome

    pids, limit_s, outcome = with_time_enough(attempt, lambda made: len(made[0]) == 3)
    assert outcome.error is not None
    assert (outcome.error.reason, outcome.exit_code) == ("timeout", -signal.SIGKILL)
    assert outcome.error.message == f"timed out after {limit_s} s"
    assert len(pids) == 3
    assert not any(map(is_alive, pids))


def test_grace_is_for_everything(folder: Path, starter: StarterEnd) -> None:
    """After SIGTERM a grandchild may finish its work though its parent, the shell, is gone already."""
    pipe = fifo(folder)
    script = folder / "child.py"
    script.write_text(
        "import signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('saved', flush=True), sys.exit()))\n"
        f"open('{pipe}', 'w').close()\n"
        "signal.pause()\n"
    )
    task_id = starter.submit(
        {"argv": ["sh", "-c", f"setsid {sys.executable} -S {script}; true"], "kill_grace_s": 60}
    )
    pipe.read_text()
    starter.cancel(task_id)
    finished = starter.finished(task_id)
    assert finished.outcome.output_tail == "saved\n"
    assert finished.ended_at - finished.started_at < 30, "what has ended is not waited for"


def test_the_grace_of_a_task_is_within_the_operators_bound(limited: StarterEnd) -> None:
    """A task that names an hour gets the operator's half a second."""
    outcome = limited.run(
        {"shell": "trap '' TERM; sleep 1000 & wait; wait", "timeout_s": 0.2, "kill_grace_s": 3600}
    )
    assert outcome.exit_code == -signal.SIGKILL


def test_cancel(starter: StarterEnd, folder: Path, is_alive: Callable[[int], bool]) -> None:
    """Cancel ends what runs; what waits behind it is answered without having begun; a late cancel does
    nothing."""
    pipe = fifo(folder)
    running = starter.submit({"shell": f"echo $$ > {pipe}; exec sleep 1000"})
    behind = starter.submit({"shell": f"touch {folder}/started"})
    pid = int(pipe.read_text())
    starter.cancel(behind)
    starter.cancel(running)
    for task_id in (running, behind):
        error = starter.finished(task_id).outcome.error
        assert error is not None
        assert error.reason == "cancelled"
    starter.cancel(running)
    assert starter.run({"argv": ["true"]}).ok
    assert not is_alive(pid)
    assert not (folder / "started").exists()


def test_a_long_log_keeps_its_beginning_and_its_end(limited: StarterEnd) -> None:
    """Whole lines of both; what is missing between them is known by the offsets."""
    task_id = limited.submit({"shell": "seq 1 400000"})
    outcome = limited.finished(task_id).outcome
    path = limited.log_dir / f"{task_id}.1.log"
    pack(path, 100_000, over=True)
    written = "".join(f"{n}\n" for n in range(1, 400_001)).encode()
    first = read(path, 0, len(written))
    last = read(path, first.start + len(first.data), len(written))
    assert outcome.log_bytes == len(written)
    assert (first.data, last.data) == (written[: len(first.data)], written[last.start :])
    assert first.cut_bytes == last.start - len(first.data)
    assert 90_000 < len(first.data) + len(last.data) <= 100_000
    assert first.data.endswith(b"\n")
    assert written[: last.start].endswith(b"\n")
    assert outcome.output_tail == written[-4096:].decode()


def test_a_command_without_output_makes_no_log(starter: StarterEnd) -> None:
    """No file is made for nothing."""
    assert starter.run({"argv": ["true"]}).log_bytes == 0
    assert not starter.log_dir.exists()


def test_no_descriptor_is_left_open(starter: StarterEnd) -> None:
    """A thousandth command finds as many free descriptors as the first, in the starter and in itself."""
    starter.run({"argv": ["true"]})
    before = os.listdir(f"/proc/{starter.process.pid}/fd")
    for line in ("true", "sleep 1000 & true", "exit 3", "/no/such"):
        starter.run({"shell": line})
    starter.run({"shell": "sleep 1000", "timeout_s": 0.05})
    assert os.listdir(f"/proc/{starter.process.pid}/fd") == before
    assert starter.output("ls /proc/self/fd").split() == ["0", "1", "2", "3"]


# glibc keeps signals 32 and 33 for itself: what make leaves of them in its children, no program can change.
GLIBC_SIGNALS = 0b11 << 31


def test_signals_umask_and_environment_are_as_in_a_shell(starter: StarterEnd) -> None:
    """No signal is ignored or blocked, files are readable by others, and no variable comes of our own
    start."""
    words = starter.output("grep -E 'Sig(Ign|Blk)' /proc/self/status")
    assert {int(line.split()[1], 16) & ~GLIBC_SIGNALS for line in words.splitlines()} == {0}
    assert starter.output("umask") == "0022\n"
    seen = (
        starter.run({"argv": ["env"], "env": {"A.B": "odd = name", "LANG": "C", "LC_ALL": ""}}).output_tail
        or ""
    )
    assert "A.B=odd = name\n" in seen
    assert "LC_CTYPE" not in seen


def test_libraries_of_a_task_are_for_the_task_only(starter: StarterEnd, folder: Path) -> None:
    """LD_PRELOAD and LD_LIBRARY_PATH that would break any program break that of the task, and nothing of
    ours."""
    (folder / "libc.so.6").write_text("no library")
    broken = {"LD_LIBRARY_PATH": str(folder)}
    assert starter.run({"argv": ["/bin/true"], "env": broken}).exit_code == 127
    assert starter.run({"argv": ["/bin/true"]}).ok


def test_slots_run_side_by_side(starter: StarterEnd, folder: Path) -> None:
    """A command of another slot runs while one waits."""
    pipe = fifo(folder)
    waiting = starter.submit({"shell": f"cat {pipe}"}, slot="a")
    assert starter.run({"shell": f"echo hello > {pipe}"}, slot="b").ok
    assert starter.finished(waiting).outcome.output_tail == "hello\n"


def test_exit_in_words() -> None:
    """Signals are named."""
    assert describe_exit(2) == "exit code 2"
    assert describe_exit(-9) == "ended by signal SIGKILL"
    assert describe_exit(-99) == "ended by signal 99"
