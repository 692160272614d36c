"""`helix watch`: lines for people that fit the terminal, JSON for programs, and ends that are clean."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys

import pytest

from helix_ray.cli.tables import cells
from tests.http.running_node import Helix


def submit(helix: Helix, title: str, *more: str) -> str:
    ran = helix("task", "submit", "-t", title, "--type", "planning", *more)
    assert ran.code == 0, ran.err
    return ran.out.strip()


def test_lines_fit_80_columns_and_ids_are_whole(signed_in: Helix, monkeypatch: pytest.MonkeyPatch) -> None:
    """The title is cut where it must be; control characters are escaped."""
    monkeypatch.setenv("COLUMNS", "80")
    task_id = submit(signed_in, "A title \x1b[31m that is much too long for a line of a terminal")
    ran = signed_in("watch", "task.created", "--after", "0", "-n", "1")
    assert ran.code == 0, ran.err
    (line,) = ran.out.splitlines()
    assert re.fullmatch(rf"\d\d:\d\d:\d\d  task.created    {task_id}  A title \\x1b.*…", line)
    assert cells(line) <= 80


def test_json_is_what_the_stream_has(signed_in: Helix) -> None:
    """With `-o json` too, one line for each event."""
    task_id = submit(signed_in, "for json", "--label", "zone=json")
    ran = signed_in("watch", "task.*", "--label", "zone=json", "--after", "0", "-n", "1", "-o", "json")
    (event,) = map(json.loads, ran.out.splitlines())
    assert (event["event"], event["subject"], event["data"]["title"]) == ("task.created", task_id, "for json")


def test_what_is_wrong_is_said_at_once(signed_in: Helix) -> None:
    """A task's id leads to the command that follows tasks; unknown names come with those that there are."""
    ran = signed_in("watch", "task-1")
    assert (ran.code, ran.err.strip()[-28:]) == (2, "use: helix task watch task-1")
    ran = signed_in("watch", "task.finished")
    assert (ran.code, "task.completed" in ran.err) == (2, True)
    ran = signed_in("watch", "--after", str(10**9))
    assert (ran.code, "GONE" in ran.err, "--from-earliest" in ran.err) == (5, True, True)
    assert signed_in("watch", "--after", str(10**9), "--from-earliest", "-n", "1").code == 0


def test_ctrl_c_says_where_to_go_on(signed_in: Helix) -> None:
    """Without a traceback; what happens meanwhile is read then. A closed pipe is the end, too."""
    before = submit(signed_in, "before")
    command = [sys.executable, "-m", "helix_ray.cli.main", "watch", "task.created", "--after", "0"]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        # The newest event: what comes after it is what happens meanwhile.
        assert any(before in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=200)
    assert process.returncode == 130
    said = re.fullmatch(r"helix: to go on from here, use --after (\d+)\n", err)
    assert said, err
    missed = submit(signed_in, "meanwhile")
    assert missed in signed_in("watch", "task.created", "--after", said[1], "--json", "-n", "1").out
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert "task.created" in process.stdout.readline()
        process.stdout.close()
        submit(signed_in, "nobody reads this")
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait(60) == 0
