"""The `helix` program without a server: parsing, refusals, exit codes, the session file, start-up."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.main import get_command

from helix_ray.cli import exits, spec, up
from helix_ray.cli.main import app
from helix_ray.cli.session_file import Login, SessionFile
from helix_ray.cli.submit import _run
from helix_ray.client.errors import KINDS, HelixError, NotSignedIn
from helix_ray.client.tokens import SessionTokens
from helix_ray.core.errors import ErrorCode

TOKENS = SessionTokens("token", "2099-01-01T00:00:00Z", "refresh", "2099-01-02T00:00:00Z")
# In processor time of the smallest program of the same library, which a slow machine stretches as much.
HELP_MAX = 4.0
# Made once: that takes longer than most commands.
PROGRAM = get_command(app)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the session file in a folder of the test."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HELIX_RETRY_S", "0")
    return tmp_path


def helix(*arguments: str) -> int:
    """Run the program in this process; return its exit code."""
    with pytest.raises(SystemExit) as ended:
        PROGRAM(list(arguments))
    return int(ended.value.code or 0)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_every_code_of_the_api_has_an_exit_code() -> None:
    """No error ends without an exit code that was chosen for it."""
    assert set(ErrorCode) | set(KINDS) <= set(exits.EXIT_OF_CODE)


def test_an_error_is_one_line() -> None:
    """Code, message, what to correct and the request id stand in one line."""
    details = {"field": "priority", "allowed_values": ["low", "high"], "other": 1}
    error = HelixError("VALIDATION_ERROR", "Invalid\n task priority", details, "req-abc")
    assert exits.line_of(error) == (
        "helix: VALIDATION_ERROR: Invalid task priority [field: priority, allowed_values: low, high] "
        "(request req-abc)"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["task", "list"], 3, "helix: UNAUTHORIZED: Not logged in; run: helix login"),
        (["task", "submit", "--nope"], 2, "helix: USAGE: No such option: --nope"),
        (["submit", "ls", "-l"], 2, "a program and its arguments come behind --: helix submit -- ls -l"),
        (["status", "--url", "localhost:8080"], 2, "helix login --url URL"),
        (["ps", "--status", "nope"], 2, "'--status': 'nope' is not one of 'waiting'"),
        (["task", "nope"], 2, "helix: USAGE: No such command 'nope'."),
        (["task"], 2, "helix: USAGE: Missing command."),
        (["task", "submit"], 2, "must have a --title"),
        (["task", "submit", "--command", "a", "--function", "m:f"], 2, "cannot be used together"),
        (["task", "submit", "-t", "x", "--arg", "1"], 2, "--arg can only be used with --function"),
        (["task", "submit", "--command", "a", "--fresh"], 2, "--fresh can only be used with --function"),
        (["task", "submit", "--function", "m:f", "--stdin"], 2, "--stdin can only be used with a command"),
        (["task", "submit", "--function", "m:f", "--arg", "x"], 2, "'x' is not valid JSON"),
        (["task", "submit", "--command", "a", "--resources", "cpu"], 2, "not in the form name=value"),
        (["task", "submit", "--command", "a", "--priority", "urgent"], 2, "urgent"),
        (["task", "submit", "--file", "/nowhere.json"], 2, "/nowhere.json cannot be read"),
        (["task", "submit", "--command", "a", "--gang"], 2, "--gang: can only be used with --shards"),
        (
            ["task", "submit", "--command", "a", "--shards", "0"],
            2,
            "Input should be greater than or equal to 1",
        ),
        (["task", "submit", "--command", "a", "--strategy", "best"], 2, "best"),
        (["task", "distribute", "t", "--strategy", "manual"], 2, "manual"),
        (["task", "distribute", "t", "--max-nodes", "0"], 2, "Input should be greater than or equal to 1"),
        (["quota", "set", "p", "cpu"], 2, "LIMITS: 'cpu' is not in the form name=value"),
        (["quota", "set", "p", "cpu=much"], 2, "LIMITS: cpu=much: the amount must be a number"),
        (["cluster"], 3, "Not logged in"),
        (["cluster", "nope"], 2, "No such command 'nope'."),
        (
            ["audit", "list", "--since", "soon"],
            2,
            "'soon' must be a time such as 2025-11-07T10:00:00Z, or how",
        ),
        (
            ["audit", "forward", "syslog+tcp://[::1", "--state", "s"],
            2,
            "'syslog+tcp://[::1' is not syslog+tls",
        ),
        (["audit", "forward", "https://", "--state", "s"], 2, "'https://' is not syslog+tls://HOST:PORT"),
        (
            ["audit", "witness", "--state", "s", "--key", "k", "--webhook", "soc"],
            2,
            "must begin with http://",
        ),
        (["audit", "witness", "--state", "s", "--key", "k"], 1, "helix audit: 'k' is not a verifier line"),
        (["audit", "export", "--out", "x", "--until", "1h"], 2, "a verifiable export has every fact"),
        (["audit", "export", "--format", "csv", "--out", "x", "--after", "5"], 2, "with --format facts"),
        (["audit", "verify", "/nowhere"], 1, "helix audit: /nowhere: No such file or directory"),
        (["journal", "key", "--data-dir", "/nowhere"], 1, "/nowhere does not contain a journal"),
        (["journal", "rotate-key", "--data-dir", "/tmp"], 1, "/tmp does not contain a journal"),
        (["journal", "plain-env", "--data-dir", "/tmp"], 1, "/tmp does not contain a journal"),
        (["webhook", "trigger", "task.completed", "http://[::1"], 2, "'http://[::1' is not a valid URL"),
    ],
)
def test_refusals(arguments: list[str], code: int, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be done is said in one line, with an exit code, before any request."""
    assert helix(*arguments) == code
    said = lines(capsys)
    assert len(said) == 1
    assert line in said[0]


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("HELIX_URL", "http://one:two", "http://one:two/api/v1 is not a valid URL"),
        ("HELIX_CA_FILE", "/nowhere.pem", "Invalid certificates in /nowhere.pem: No such file or directory"),
        ("HELIX_CLIENT_CERT", "/nowhere.crt", "Invalid certificates in /nowhere.crt, /nowhere.crt: No such"),
    ],
)
def test_variables_are_refused_in_one_line(
    variable: str, value: str, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """So is what they name."""
    monkeypatch.setenv("HELIX_TOKEN", "x")
    monkeypatch.setenv("HELIX_URL", "https://127.0.0.1:9")
    monkeypatch.setenv(variable, value)
    assert helix("security") == 2
    said = lines(capsys)
    assert len(said) == 1
    assert line in said[0]


def test_an_output_that_cannot_be_written_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And nothing is said twice when the program ends."""
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert helix("--version") == 1
    assert lines(capsys) == ["helix: No space left on device"]


def test_no_server_is_exit_code_7(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server that does not respond is told from one that refuses."""
    monkeypatch.setenv("HELIX_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("HELIX_TOKEN", "x")
    assert helix("task", "list") == 7
    (line,) = lines(capsys)
    assert line.startswith("helix: UNREACHABLE: cannot reach http://127.0.0.1:9/api/v1")


def test_a_token_goes_to_its_own_server_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """HELIX_URL does not send a kept token to another server."""
    SessionFile().write(Login("http://one", "admin", TOKENS))
    monkeypatch.setenv("HELIX_URL", "http://two")
    assert helix("task", "list") == 3
    assert "Logged in to http://one, not to http://two" in lines(capsys)[0]


def test_the_session_file_is_private(home: Path) -> None:
    """The file has mode 0600 and comes back as it was written."""
    file = SessionFile()
    login = Login("http://h", "admin", TOKENS, "/ca.pem")
    file.write(login)
    assert file.path == home / "helix-ray" / "session.json"
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert file.read() == login
    assert os.listdir(file.path.parent) == ["session.json"]


def test_a_session_file_that_others_may_read_is_refused() -> None:
    """A readable token file is not used, and the line says what to do."""
    file = SessionFile()
    file.write(Login("http://h", "admin", TOKENS))
    file.path.chmod(0o644)
    with pytest.raises(NotSignedIn, match="chmod 600"):
        file.read()


def test_a_broken_session_file_asks_for_a_login() -> None:
    """Half a file is a login to repeat, not a traceback."""
    file = SessionFile()
    file.write(Login("http://h", "admin", TOKENS))
    file.path.write_text("{")
    with pytest.raises(NotSignedIn, match="log in again"):
        file.read()


def test_processes_exchange_a_token_once() -> None:
    """Whoever comes second to the exchange takes what the first one wrote."""
    file, other = SessionFile(), SessionFile()
    file.write(Login("http://h", "admin", TOKENS))
    fresh = SessionTokens("token2", None, "refresh2")
    assert file.exchange(TOKENS, lambda _: fresh) == fresh
    calls: list[SessionTokens] = []
    assert other.exchange(TOKENS, lambda stale: calls.append(stale) or stale) == fresh
    assert calls == []


def run_of(**options: Any) -> Any:
    names = (
        "argv",
        "command",
        "env",
        "working_dir",
        "kill_grace",
        "no_network",
        "function",
        "arg",
        "kwarg",
        "fresh",
        "inference",
        "inputs",
        "output",
    )
    return _run(*(options.get(name) for name in names))


def test_options_become_runs(tmp_path: Path) -> None:
    """Each way to say what a task does becomes the run object of the API."""
    array = tmp_path / "x.npy"
    array.write_bytes(b"\x93NUMPY...")
    held = run_of(argv=["make"], kill_grace=60.0, no_network=True)
    assert held == {"kind": "command", "argv": ["make"], "kill_grace_s": 60.0, "network": False}
    assert run_of(command="make -j2", env=["A=b=c"]) == {
        "kind": "command",
        "shell": "make -j2",
        "env": {"A": "b=c"},
    }
    assert run_of(argv=["ls", "-l"]) == {"kind": "command", "argv": ["ls", "-l"]}
    named = run_of(function="m:f", arg=["1", '"x"'], kwarg=["k=[2]"])
    assert named == {"kind": "function", "function": "m:f", "args": [1, "x"], "kwargs": {"k": [2]}}
    assert run_of(function="m:f", fresh=True)["fresh"] is True
    assert run_of(inference="digits", inputs=["[[1]]"])["inputs"] == [[1]]
    assert run_of(inference="digits", inputs=[f"x={array}", "y=[1]"])["inputs"] == {
        "x": {"npy_base64": "k05VTVBZLi4u"},
        "y": [1],
    }
    assert run_of() is None


def test_resources_with_other_names_are_custom() -> None:
    """cpu, memory_mb, gpu and npu have names of their own; the rest is the cluster's."""
    assert spec.resources(["cpu=2,gpu=0.5", "TPU=4"]) == {"cpu": 2, "gpu": 0.5, "custom": {"TPU": 4}}


def test_shards_are_a_count_or_a_gang() -> None:
    """Nothing is asked for where nothing was said."""
    assert spec.shards(None, False) is None
    assert spec.shards(3, False) == {"count": 3}
    assert spec.shards(3, True) == {"count": 3, "gang": True}


@pytest.mark.parametrize(
    "text",
    [
        '[{"title":"a"},{"title":"b"}]',
        '{"tasks":[{"title":"a"},{"title":"b"}]}',
        '{"title":"a"}\n{"title":"b"}\n',
    ],
)
def test_a_batch_file_has_three_forms(text: str, tmp_path: Path) -> None:
    """A list, the body of the API, and a task a line all mean the same."""
    path = tmp_path / "tasks.json"
    path.write_text(text)
    assert spec.tasks_file(str(path)) == [{"title": "a"}, {"title": "b"}]


def test_up_becomes_the_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    """`helix up` passes its flags on as they were given, known or not, and replaces this process."""
    executed: list[list[str]] = []
    monkeypatch.setattr(up.os, "execv", lambda _, arguments: executed.append(arguments[1:]))
    helix("up", "--port", "8090", "--node-resources", '[{"GPU":1}]', "--detach", "--later", "x")
    helix("down", "--data-dir", "d")
    assert executed == [
        [
            "-m",
            "launcher.up",
            "--port",
            "8090",
            "--node-resources",
            '[{"GPU":1}]',
            "--detach",
            "--later",
            "x",
        ],
        ["-m", "launcher.up", "--down", "--data-dir", "d"],
    ]


def program(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from helix_ray.cli.main import app; app(prog_name='helix')", *arguments]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    """`helix --help` answers before anybody wonders, in 0.4 s at rest: without httpx, numpy, Ray or pydantic,
    or the classes of the control plane's state."""
    script = (
        "import sys\nfrom helix_ray.cli.main import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'httpx','numpy','ray','pydantic','fastapi','onnxruntime','helix_ray.core.state'}\n"
        "print(sorted(heavy & set(sys.modules)), "
        "file=sys.stderr)"
    )
    smallest = (
        "import typer\nfrom rich import console, table\napp = typer.Typer()\napp.command()(lambda: None)\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
    )

    def took(program: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if program is script:
            assert ended.stderr.strip() == "[]"
            assert "worker" in ended.stdout
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    pairs = [(took(script), took(smallest)) for _ in range(3)]
    ours, theirs = (min(column) for column in zip(*pairs, strict=True))
    assert ours < HELP_MAX * theirs


def test_completion_knows_commands_options_and_choices() -> None:
    """The shell completes sub-commands, flags and the values of a choice."""

    def completed(words: str) -> list[str]:
        ended = program(
            _HELIX_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(len(words.split(" ")) - 1)
        )
        return ended.stdout.split()

    assert completed("helix task su") == ["submit"]
    assert completed("helix task submit --pri") == ["--priority"]
    assert completed("helix task submit --priority c") == ["critical"]


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    """What is printed for programs parses as a whole."""
    from helix_ray.cli.output import print_json

    print_json({"tasks": [1]})
    assert orjson.loads(capsys.readouterr().out) == {"tasks": [1]}
