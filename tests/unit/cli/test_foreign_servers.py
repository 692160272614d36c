"""Every command against servers that answer something else than the API: one line, and an exit code."""

from __future__ import annotations

import os
import pkgutil
import random
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any

import orjson
import pytest
from typing_extensions import is_typeddict

from helix_ray import wire
from helix_ray.client.transport import MARKS
from helix_ray.security.notes import verifier_of
from tests.unit.cli.test_cli import PROGRAM, helix, home, lines

__all__ = ["home"]

# All wrong answers for every command, instead of a few.
ALL = bool(os.environ.get("HELIX_FOREIGN_ANSWERS"))
# Commands that ask no server, or go on until they are stopped.
LEFT_OUT = {
    "up", "down", "node", "node-resources", "backup", "restore", "audit verify", "audit compare",
    "journal verify", "journal key", "journal checkpoint", "journal rotate-key", "journal plain-env",
    "webhook trigger", "webhook listen", "watch", "task watch", "logout",
}  # fmt: skip
# What stands for what commands require, where the path of a file does not do.
WORDS = {
    "percent": "10", "version": "3", "through": "3", "to": "syslog+tcp://127.0.0.1:9",
    "url": "http://127.0.0.1:9/", "role": "viewer", "key": verifier_of("log", b"k" * 32).line(),
}  # fmt: skip
MORE = {
    "task submit": ["--command", "true", "--wait", "--wait-timeout", "0.001"],
    "model run": ["--input", "[1]", "--wait-timeout", "0.001"],
    "quota set": ["cpu=1"], "webhook create": ["--event", "task.completed"],
    "webhook update": ["--name", "x"], "webhook redeliver": ["3"], "session revoke": ["x"],
    "erase request": ["--user", "x", "--yes"], "login": ["--username", "x"],
    "audit export": ["--format", "csv"], "audit forward": ["--once"], "audit witness": ["--once"],
}  # fmt: skip
NO_OBJECT = {
    "list": b"[]", "text": b'"x"', "null": b"null", "number": b"1", "page": b"<html>", "half": b'{"a": [1,',
    "empty": b"",
}  # fmt: skip


def fields() -> set[str]:
    """Return the names of all fields of all answers."""
    modules = [
        import_module(f"{wire.__name__}.{module.name}") for module in pkgutil.iter_modules(wire.__path__)
    ]
    kinds = [kind for module in modules for kind in vars(module).values() if is_typeddict(kind)]
    return {name for kind in kinds for name in kind.__annotations__}


VALUES = (1, -1e300, "x", None, [], {}, [1], ["x"], [None], [{}], [[]], {"x": 1}, True)
WRONG = [{}, *(dict.fromkeys(sorted(fields()), value) for value in VALUES)]


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


COMMANDS = {name: command for name, command in commands(PROGRAM) if name not in LEFT_OUT}


class Foreign(BaseHTTPRequestHandler):
    """Answers every request with one body."""

    protocol_version = "HTTP/1.1"
    body = b""
    marks = MARKS

    def answer(self) -> None:
        """Read the request and answer it."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200 if self.body else 204)
        self.send_header("Content-Length", str(len(self.body)))
        for name in self.marks:
            self.send_header(name, "1")
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
    setattr(Foreign, f"do_{method}", Foreign.answer)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Serve; yield the address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Foreign) as foreign:
        threading.Thread(target=foreign.serve_forever, args=(0.01,)).start()
        yield f"http://127.0.0.1:{foreign.server_port}"
        foreign.shutdown()


def words(name: str, file: Path) -> list[str]:
    """Return a command with what it requires."""
    said = name.split()
    for parameter in COMMANDS[name].params:
        if parameter.required:
            value = WORDS.get(parameter.name, str(file))
            said += [value] if parameter.param_type_name == "argument" else [parameter.opts[0], value]
    return said + MORE.get(name, [])


@pytest.fixture(autouse=True)
def signed_in(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a login at the server."""
    for name, value in {"URL": server, "TOKEN": "x", "PASSWORD": "x", "NEW_PASSWORD": "x"}.items():
        monkeypatch.setenv(f"HELIX_{name}", value)


@pytest.mark.parametrize("what", NO_OBJECT)
def test_an_answer_that_is_no_object(
    what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Is not one of Helix Ray: the server and the call are named."""
    monkeypatch.setattr(Foreign, "body", NO_OBJECT[what])
    assert helix("security") == 7
    (line,) = lines(capsys)
    assert line.startswith("helix: UNREACHABLE: what responds at http://127.0.0.1:")
    assert "Helix Ray: its answer to GET /api/v1/aurora/metrics/security is " in line


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("name", COMMANDS)
def test_an_answer_of_another_program_is_never_taken(
    name: str, mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every response of the API has two headers. An object of whom sends only one of them is neither printed
    by --json nor a success of a command that reads nothing of it."""
    monkeypatch.setattr(Foreign, "body", b'{"id": "x"}')
    monkeypatch.setattr(Foreign, "marks", tuple(one for one in MARKS if one != mark))
    file = tmp_path / "file"
    if not name.startswith("audit "):
        file.write_text("x")
    takes_json = any("--json" in parameter.opts for parameter in COMMANDS[name].params)
    assert helix(*words(name, file), *(["--json"] if takes_json else [])) == 7
    printed = capsys.readouterr()
    assert not (takes_json and printed.out)
    assert f" has no header {mark}" in printed.err, printed.err


@pytest.mark.parametrize("name", COMMANDS)
def test_no_answer_breaks_a_command(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fields that are not there, or of another type, are named in the line, or the command does not need
    them."""
    for number, body in enumerate(WRONG if ALL else [{}, *random.sample(WRONG, 2)]):
        monkeypatch.setattr(Foreign, "body", orjson.dumps(body))
        file = tmp_path / f"{number}"
        if not name.startswith("audit "):
            file.write_text("x")
        code = helix(*words(name, file))
        said = lines(capsys)
        assert code != 2 or "no active version" in said[-1], (body, said)
        assert code == 0 or said[-1].startswith("helix"), (body, said)
