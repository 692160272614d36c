"""The `helix` program and the client against the real application on a socket, with a
node that really runs tasks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import orjson
import pytest

from helix_ray.cli.session_file import SessionFile
from helix_ray.client import Client, HelixError
from helix_ray.client.errors import Conflict
from helix_ray.client.prefixes import MATCHES_SHOWN_MAX
from tests.http.api_server import PASSWORD
from tests.http.running_node import NODE, Helix


def test_login_and_logout(helix: Helix, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login keeps a private session, `whoami` shows it, a logout ends it."""
    monkeypatch.setenv("HELIX_PASSWORD", "wrong password")
    refused = helix("login", "--url", url, "-u", "admin")
    assert (refused.code, refused.out) == (3, "")
    assert refused.err.startswith("helix: UNAUTHORIZED: Invalid username or password (request req-")
    monkeypatch.setenv("HELIX_PASSWORD", PASSWORD)
    assert helix("login", "--url", url, "-u", "admin", "--json").json["user"]["roles"] == ["admin"]
    assert SessionFile().path.stat().st_mode & 0o777 == 0o600
    assert helix("whoami", "--json").json["username"] == "admin"
    assert "admin" in helix("whoami").out
    token = orjson.loads(SessionFile().path.read_bytes())["tokens"]["token"]
    assert helix("logout").code == 0
    assert not SessionFile().path.exists()
    monkeypatch.setenv("HELIX_URL", url)
    monkeypatch.setenv("HELIX_TOKEN", token)
    assert helix("task", "list").code == 3


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (("--", "wc", "caf\udce9.txt"), "run.argv.1"),
        (("--command", "true", "--title", "caf\udce9"), "title"),
        (("--command", "true", "--label", "a=\udce9"), "labels.a"),
        (("--command", "true", "--env", "A=\udce9"), "run.env.A"),
        (("--function", "helix_ray.samples:echo", "--arg", "18446744073709551616"), "run.args.0"),
        (("--function", "helix_ray.samples:echo", "--arg", "1e400"), "run.args.0"),
        (("--function", "helix_ray.samples:echo", "--arg", "[" * 200 + "]" * 200), "run.args"),
        (("--function", "helix_ray.samples:echo", "--arg", '"\udce9"'), "--arg"),
        (("--function", "helix_ray.samples:echo", "--arg", "NaN"), "--arg"),
    ],
)
def test_odd_values_are_refused_by_name(signed_in: Helix, words: tuple[str, ...], field: str) -> None:
    """One line that names the field or the option, and the exit code of wrong usage:
    nothing is rounded or replaced."""
    refused = signed_in("task", "submit", *words)
    assert (refused.code, refused.out) == (2, "")
    assert field in refused.err
    assert refused.err.isascii()
    assert signed_in("task", "list").code == 0


def test_numbers_and_texts_come_through_exactly(signed_in: Helix) -> None:
    """Integers up to 64 bits, from the command line and from a file, and control characters,
    which are shown escaped."""
    for number in (2**53 + 1, 2**63, 2**64 - 1, -(2**63)):
        call = ("task", "submit", "--function", "helix_ray.samples:echo", "--arg", str(number), "--wait")
        assert signed_in(*call).out == f"{number}\n"
    title = "\x1b[31mred\x07"
    task = signed_in("task", "submit", "--type", "design", "--title", title, "--json").json
    assert task["title"] == title
    shown = signed_in("task", "list").out
    assert "\\x1b[31mred\\x07" in shown
    assert "\x1b" not in shown


def test_a_command_from_submit_to_its_output(signed_in: Helix) -> None:
    """`--wait` prints the output; a task that fails ends with its exit code, the reason in one line."""
    done = signed_in("task", "submit", "--command", "echo hello; echo more", "--wait")
    assert (done.code, done.out) == (0, "hello\nmore\n")
    failed = signed_in("task", "submit", "--wait", "--", "sh", "-c", "echo bad; exit 3")
    assert (failed.code, failed.out) == (3, "bad\n")
    assert "failed" in failed.err.splitlines()[-1]


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of a shell, in which `helix` is the program."""
    line = f'helix() {{ {sys.executable} -m helix_ray.cli.main "$@"; }}; {line}'
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=200, check=False)


def test_a_pipe_becomes_the_commands_input(signed_in: Helix, tmp_path: Path) -> None:
    """So does a file; a command without one reads nothing, and `--no-stdin` leaves it to the next."""
    (tmp_path / "data").write_bytes(b"\xff\n\0\n")
    task = "helix task submit --wait --"
    piped = shell(f"printf 'a\\nb\\nc\\n' | {task} wc -l")
    assert (piped.stdout.strip(), piped.returncode) == ("3", 0), piped.stderr
    assert shell(f"{task} od -An -tx1 < {tmp_path}/data").stdout.split() == ["ff", "0a", "00", "0a"]
    assert shell(f"{task} wc -c < /dev/null").stdout.strip() == "0"
    assert shell(f"{task} wc -c <&-").stdout.strip() == "0"
    left = shell("printf 'a\\nb\\n' | (helix submit --no-stdin --wait -- wc -c; cat)")
    assert left.stdout.split() == ["0", "a", "b"]


def test_too_much_input_is_refused_before_anything_is_submitted(signed_in: Helix) -> None:
    """One line that says the limit and what to do."""
    before = signed_in("task", "list", "--json").json["total"]
    refused = shell("head -c 600000 /dev/zero | helix task submit -- wc -c")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == (
        "helix: USAGE: Invalid value: standard input is too large; the limit is 524288: "
        "let the command open a file that the nodes can read\n"
    )
    assert signed_in("task", "list", "--json").json["total"] == before


@pytest.mark.parametrize(
    ("line", "code"),
    [("exit 0", 0), ("exit 1", 1), ("exit 77", 77), ("kill -9 $$", 137), ("kill -TERM $$", 143)],
)
def test_a_wait_ends_with_the_exit_code_of_the_command(signed_in: Helix, line: str, code: int) -> None:
    """Its own, and 128 + n for signal n; as JSON too."""
    for form in ((), ("--json",)):
        assert signed_in("task", "submit", "--command", line, "--wait", *form).code == code


def test_a_command_out_of_time_has_a_code_of_its_own(signed_in: Helix) -> None:
    """124, as of timeout(1); what it printed before is there."""
    ended = signed_in("submit", "--wait", "--timeout", "500ms", "--", "sh", "-c", "echo begun; sleep 100")
    assert (ended.code, ended.out) == (124, "begun\n")
    assert "timeout" in ended.err


def test_the_last_lines_of_an_output(signed_in: Helix) -> None:
    """`--tail` prints the end of it, followed or not; an unfinished line counts."""
    task_id = signed_in("submit", "--wait", "--json", "--command", "seq 1 20; printf end").json["id"]
    assert signed_in("logs", task_id, "--tail", "2").out == "20\nend"
    assert signed_in("logs", task_id, "--tail", "1", "-f").out == "end"
    assert signed_in("logs", task_id, "--tail", "500").out.split() == [*map(str, range(1, 21)), "end"]


def test_a_function_and_its_value(signed_in: Helix) -> None:
    """A function's value is printed; its exception is named."""
    call = ("task", "submit", "--function", "helix_ray.samples:add", "--arg", "2", "--kwarg", "b=3", "--wait")
    assert signed_in(*call).out == "5\n"
    assert signed_in(*call, "--json").json["result"]["value"] == 5
    fresh = signed_in(*call, "--fresh", "--json").json
    assert fresh["result"]["value"] == 5
    assert signed_in("task", "get", fresh["id"], "--json").json["run"]["fresh"] is True
    failed = signed_in(
        "task", "submit", "--function", "helix_ray.samples:fail", "--arg", '"no ink"', "--wait"
    )
    assert failed.code == 1
    assert "ValueError: no ink" in failed.err
    refused = signed_in("task", "submit", "--function", "os:system", "--arg", '"true"')
    assert refused.code in (2, 3)
    assert "allow-list" in refused.err


def test_an_inference_from_a_file(signed_in: Helix, tmp_path: Path) -> None:
    """A .npy file travels with its element type, and the model answers."""
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((2, 1, 32, 32), dtype=np.float32))
    done = signed_in(
        "task", "submit", "--inference", "digits_resnet20", "--inputs", str(path), "--wait", "--json"
    )
    assert done.code == 0, done.err
    assert done.json["result"]["outputs"]


def test_a_batch_file_with_a_bad_task(signed_in: Helix, tmp_path: Path) -> None:
    """Every task of a file is accepted or refused by itself; a refusal is named and makes exit code 2."""
    run = {"kind": "function", "function": "helix_ray.samples:add", "args": [1, 1]}
    tasks = [{"title": f"t{i}", "type": "building", "run": run} for i in range(20)]
    path = tmp_path / "tasks.json"
    path.write_bytes(orjson.dumps(tasks))
    done = signed_in("task", "submit", "--file", str(path), "--wait", "--wait-timeout", "60", "--json")
    assert done.code == 0, done.err
    assert [task["status"] for task in done.json["tasks"]] == ["completed"] * 20
    path.write_bytes(orjson.dumps([*tasks[:1], {"title": "x", "type": "building", "priority": "urgent"}]))
    mixed = signed_in("task", "submit", "--file", str(path), "--json")
    assert mixed.code == 2
    assert mixed.json["accepted"] == 1
    assert "helix: VALIDATION_ERROR: task 1: Invalid task priority" in mixed.err


def test_list_get_and_filters(signed_in: Helix) -> None:
    """Listings are tables with whole ids, or the API's JSON; one task is shown field by field."""
    task = signed_in(
        "task", "submit", "-t", "Review", "--type", "planning", "--priority", "critical", "--json"
    ).json
    listed = signed_in("task", "list", "--priority", "critical")
    assert task["id"] in listed.out
    assert "Review" in listed.out
    page = signed_in(
        "task", "list", "--status", "pending", "--type", "planning", "--limit", "5", "--json"
    ).json
    assert task["id"] in [line["id"] for line in page["tasks"]]
    assert "Review" in signed_in("task", "get", task["id"]).out
    assert signed_in("task", "get", task["id"], "--json").json["priority"] == "critical"
    assert signed_in("task", "delete", task["id"]).code == 0
    gone = signed_in("task", "get", task["id"])
    assert gone.code == 4
    assert gone.err.startswith("helix: NOT_FOUND: Task not found")
    assert len(gone.err.splitlines()) == 1


def same_start(one: str, other: str) -> str:
    """Return the longest prefix that two texts share."""
    return next(one[:count] for count in range(len(one), -1, -1) if other.startswith(one[:count]))


def test_a_beginning_of_an_id_is_enough(signed_in: Helix) -> None:
    """For tasks, workers and nodes; if it is ambiguous, the line names the matches and nothing happens."""
    one = signed_in("task", "submit", "-t", "By hand").out.strip()
    signed_in("task", "submit", "-t", "By hand")
    found = signed_in("task", "list", "--limit", "1000", "--json").json["tasks"]
    # Of all tasks of this server, the one whose id is most like it.
    shared, other = max((same_start(one, task["id"]), task["id"]) for task in found if task["id"] != one)
    mine = one[: len(shared) + 1]
    assert signed_in("task", "get", mine, "--json").json["id"] == one
    assert signed_in("task", "explain", mine, "--json").json["id"] == one
    refused = signed_in("task", "distribute", mine, "--dry-run")
    assert one in refused.err or mine in refused.err
    assert refused.code == 1
    later = signed_in("task", "submit", "-t", "Later", "--depends-on", mine).out.strip()
    assert signed_in("task", "get", later, "--json").json["depends_on"] == [one]
    vague = signed_in("task", "delete", shared)
    assert vague.code == 4
    listed = [task["id"] for task in signed_in("task", "list", "--limit", "1000", "--json").json["tasks"]]
    alike = sorted(each for each in listed if each.startswith(shared) and not re.search(r"-s\d+$", each))
    assert {one, other} <= set(alike)
    assert all(each in vague.err for each in alike[:MATCHES_SHOWN_MAX])
    assert signed_in("task", "cancel", mine).err == f"Cancelled: {one}\n"
    assert signed_in("task", "result", mine, "--wait", "--wait-timeout", "1m").code == 1
    assert signed_in("task", "watch", mine, "--json").json["id"] == one
    assert signed_in("task", "retry", mine).err == f"Queued again: {one}\n"
    assert signed_in("task", "delete", mine, shared).code == 4
    assert signed_in("task", "get", one).code == 0
    assert signed_in("task", "delete", mine).err == f"Deleted: {one}\n"
    assert signed_in("task", "get", one).code == 4
    assert signed_in("task", "get", other).code == 0
    assert signed_in("worker", "get", NODE[:-1], "--json").json["id"] == NODE
    assert signed_in("cluster", "node", NODE[:-1], "--json").json["id"] == NODE


def test_cancel_retry_and_result(signed_in: Helix) -> None:
    """Changes that contradict the present state are exit code 5."""
    task_id = signed_in("task", "submit", "-t", "By hand").out.strip()
    early = signed_in("task", "result", task_id)
    assert early.code == 5
    assert signed_in("task", "cancel", task_id).code == 0
    assert signed_in("task", "result", task_id).code == 1
    assert signed_in("task", "retry", task_id, "--json").json["tasks"][0]["status"] == "pending"
    assert signed_in("task", "retry", task_id).code == 5


def test_a_wait_that_is_too_short(signed_in: Helix) -> None:
    """`--wait-timeout` ends the waiting, not the task, with an exit code of its own."""
    late = signed_in("task", "submit", "-t", "Nobody does this", "--wait", "--wait-timeout", "0.1")
    assert late.code == 8
    assert late.err.splitlines()[-1].startswith("helix: TIMEOUT: ")


def test_logs(signed_in: Helix) -> None:
    """The whole output is printed, followed or not."""
    done = signed_in(
        "task", "submit", "--command", "seq 1 2000", "--wait", "--wait-timeout", "60", "--json"
    ).json
    wanted = [str(n) for n in range(1, 2001)]
    assert signed_in("task", "logs", done["id"]).out.split() == wanted
    assert signed_in("task", "logs", "--follow", done["id"]).out.split() == wanted


def test_watch_ends_with_the_tasks(signed_in: Helix) -> None:
    """Watching named tasks ends when all have ended; with --json each change is a line."""
    ids = [signed_in("task", "submit", "--command", line).out.strip() for line in ("true", "true")]
    watched = signed_in("task", "watch", "--json", *ids)
    assert watched.code == 0
    last = {task["id"]: task["status"] for task in map(orjson.loads, watched.out.splitlines())}
    assert last == dict.fromkeys(ids, "completed")
    failed = signed_in("task", "submit", "--command", "exit 1").out.strip()
    table = signed_in("task", "watch", failed, ids[0])
    assert table.code == 1
    assert failed in table.out


def test_workers(signed_in: Helix) -> None:
    """Workers are listed with what they offer, and drained."""
    assert NODE in signed_in("worker", "list").out
    assert signed_in("worker", "list", "--json").json["workers"][0]["id"] == NODE
    assert "node1" in signed_in("worker", "get", NODE).out
    assert signed_in("worker", "drain", NODE).code == 0
    assert signed_in("worker", "get", NODE, "--json").json["status"] == "draining"
    assert signed_in("worker", "drain", NODE, "--undo").code == 0
    assert signed_in("worker", "get", "worker-none").code == 4


def test_users_and_what_their_roles_allow(
    signed_in: Helix, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An administrator adds a viewer, who may look but not submit: exit code 3."""
    monkeypatch.setenv("HELIX_NEW_PASSWORD", "Vera2026")
    refused = signed_in("user", "add", "vera", "--role", "viewer")
    assert (refused.code, "must not be the username" in refused.err) == (2, True)
    monkeypatch.setenv("HELIX_NEW_PASSWORD", "quiet looking")
    assert signed_in("user", "add", "vera", "--role", "viewer").code == 0
    assert "vera" in signed_in("user", "list").out
    assert signed_in("user", "add", "vera", "--role", "viewer").code == 5
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "vera"))
    monkeypatch.setenv("HELIX_PASSWORD", "quiet looking")
    assert signed_in("login", "--url", url, "-u", "vera").code == 0
    assert signed_in("task", "list").code == 0
    denied = signed_in("task", "submit", "--command", "true")
    assert (denied.code, len(denied.err.splitlines())) == (3, 1)
    monkeypatch.setenv("HELIX_NEW_PASSWORD", "password1")
    refused = signed_in("user", "password")
    assert (refused.code, "one of the most common ones" in refused.err) == (2, True)
    monkeypatch.setenv("HELIX_NEW_PASSWORD", "quieter looking")
    assert signed_in("user", "password").code == 0
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert signed_in("user", "remove", "vera").code == 0
    assert signed_in("user", "remove", "vera").code == 4


def test_validation_errors_name_the_field(signed_in: Helix) -> None:
    """What the server refuses is exit code 2, with the field in the line."""
    refused = signed_in("task", "submit", "-t", "x", "--type", "poetry")
    assert refused.code == 2
    assert "field: type" in refused.err
    assert refused.err.rstrip().endswith(")")


def test_processes_share_a_session_whose_token_ends(signed_in: Helix, url: str) -> None:
    """Six programs at once, with a token that is due, exchange it once between them, and all of them work."""
    file = SessionFile()
    kept = orjson.loads(file.path.read_bytes())
    kept["tokens"]["expires_at"] = "2020-01-01T00:00:00Z"
    file.path.write_bytes(orjson.dumps(kept))
    command = [sys.executable, "-m", "helix_ray.cli.main", "whoami", "--json"]
    running = [
        subprocess.Popen(command, env=dict(os.environ), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(6)
    ]
    ended = [(process, *process.communicate(timeout=200)) for process in running]
    assert [process.returncode for process, _, _ in ended] == [0] * 6, [err for _, _, err in ended]
    assert all(orjson.loads(out)["username"] == "admin" for _, out, _ in ended)


def test_the_client_over_the_wire(url: str) -> None:
    """The library's verbs work against the application as they do against its tests' servers."""
    with Client(url) as client:
        client.login("admin", PASSWORD)
        first = client.submit("Once", idempotency_key="key-1", labels={"a": "b"})
        assert client.submit("Once", idempotency_key="key-1", labels={"a": "b"}) == first
        with pytest.raises(Conflict):
            client.submit("Other", idempotency_key="key-1")
        updated = client.update(first["id"], status="completed", progress=100, result={"success": True})
        assert updated["status"] == "completed"
        assert client.wait(first["id"], timeout_s=60)[first["id"]]["progress"] == 100
        assert client.result(first["id"])["result"] == {"success": True}
        ids = [client.submit(f"n{i}", labels={"n": str(i)})["id"] for i in range(12)]
        for task_id in ids:
            client.cancel(task_id)
        assert {task["id"] for task in client.as_completed(ids, timeout_s=60)} == set(ids)
        assert set(ids) <= {task["id"] for task in client.list(status="cancelled", page_tasks=7)}
        client.logout()
        with pytest.raises(HelixError):
            client.workers()
