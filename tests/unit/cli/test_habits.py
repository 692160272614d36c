"""Words that people bring from other programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.main import get_command

from helix_ray.cli import spec
from helix_ray.cli.habits import address, mebibytes, seconds, spelled_out
from helix_ray.cli.main import app

PROGRAM = get_command(app)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run the program; return its exit code and all that it wrote."""
    with pytest.raises(SystemExit) as ended:
        PROGRAM(list(arguments))
    written = capsys.readouterr()
    return int(ended.value.code or 0), written.out + written.err


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("status", "cluster"),
        ("ps", "task list"),
        ("ps --status running -o json", "task list --status running --json"),
        ("logs task-1 --tail 5", "task logs task-1 --tail 5"),
        ("submit -- ls -l -o json", "task submit -- ls -l -o json"),
        ("version", "--version"),
        ("task get x -ojson", "task get x --json"),
        ("task get x -o=json", "task get x --json"),
        ("task submit -o", "task submit -o"),
        ("task submit -o json", "task submit --json"),
        ("", ""),
    ],
)
def test_short_commands_and_formats(typed: str, meant: str) -> None:
    """They become what the program knows; what belongs to the task's command stays."""
    assert " ".join(spelled_out(typed.split())) == meant


@pytest.mark.parametrize(
    "words",
    [
        "-h", "task -h", "task submit -h", "task ls -h", "task rm -h", "task stop -h", "task describe -h",
        "worker ls -h", "worker delete -h", "cluster ls -h", "cluster describe -h", "token rm -h",
        "user rm -h", "project rm -h", "project get -h", "quota ls -h", "submit -h",
        "ps -h", "logs -h", "status -h",
    ],
)  # fmt: skip
def test_names_that_people_try_are_commands(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is there, with its help by `-h`."""
    code, text = said(capsys, *words.split())
    assert code == 0
    assert "Usage:" in text


def test_every_option_says_what_it_is() -> None:
    """And so does every argument, of every command."""

    def silent(command: Any, words: str) -> Iterator[str]:
        for each in command.params:
            if not getattr(each, "help", None):
                yield f"{words} {each.name}"
        context = command.make_context("helix", [], resilient_parsing=True)
        for name in command.list_commands(context) if hasattr(command, "list_commands") else ():
            yield from silent(command.get_command(context, name), f"{words} {name}")

    assert list(silent(PROGRAM, "helix")) == []


def test_the_version_is_a_word_too(capsys: pytest.CaptureFixture[str]) -> None:
    """`helix version` is `helix --version`."""
    assert said(capsys, "version") == said(capsys, "--version")


@pytest.mark.parametrize(
    ("text", "value"),
    [("90", 90), ("90s", 90), ("0.5", 0.5), ("5m", 300), ("1.5h", 5400), ("2d", 172_800), ("250ms", 0.25)],
)
def test_durations(text: str, value: float) -> None:
    """A number is seconds; s, m, h and d say otherwise."""
    assert seconds(text) == value


@pytest.mark.parametrize(
    "words",
    [
        "audit list --since 3000000d",
        "audit list --until 99999999999999999999d",
        "audit export --format csv --out x --since 30000d",
        "system --since 3000000d",
        "system --since 1h --step " + "9" * 400,
        "task submit --timeout 400000d -- ls",
        "audit witness --state x --key x --every inf",
        "audit forward syslog+tls://siem.example --state x --every 86401",
    ],
)
def test_a_time_beyond_what_there_can_be_is_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line that names it, before anything is asked of a server."""
    code, text = said(capsys, *words.split())
    assert (code, text.count("\n")) == (2, 1), text
    assert text.startswith("helix: USAGE: Invalid value")
    assert len(text) < 200


@pytest.mark.parametrize("text", ["", "m", "5 minutes", "-1", "1e3", "inf", "5y"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """The message gives the forms."""
    with pytest.raises(typer.BadParameter, match="5m"):
        seconds(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("512M", 512),
        ("1G", 1024),
        ("1.5GiB", 1536),
        ("2gb", 2048),
        ("1T", 1_048_576),
        ("512", None),
        ("x", None),
    ],
)
def test_sizes(text: str, value: float | None) -> None:
    """Powers of 1024, as in memory_mb."""
    assert mebibytes(text) == value


def test_memory_may_be_a_size() -> None:
    """Only where memory is meant; a custom resource of that name keeps its number."""
    assert spec.resources(["cpu=1,memory=1G"]) == {"cpu": 1, "memory_mb": 1024}
    assert spec.resources(["gpu_memory_mb=8G"]) == {"gpu_memory_mb": 8192}
    assert spec.resources(["memory=2"]) == {"custom": {"memory": 2}}


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("localhost:8080", "http://localhost:8080"),
        ("localhost", "http://localhost"),
        ("0.0.0.0:8080", "http://0.0.0.0:8080"),
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("[::1]:8080", "http://[::1]:8080"),
        ("helix.example.com", "https://helix.example.com"),
        ("helix.example.com:8443/api/v1", "https://helix.example.com:8443/api/v1"),
        ("localhost.example.com:80", "https://localhost.example.com:80"),
        ("http://h", "http://h"),
    ],
)
def test_an_address_without_a_scheme(text: str, url: str) -> None:
    """Clear text only to this machine: a password goes with it."""
    assert address(text) == url
