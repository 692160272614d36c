"""Tables, JSON and messages as a terminal and a pipe get them."""

from __future__ import annotations

import io
import pkgutil
import re
import sys
from importlib import import_module
from pathlib import Path

import orjson
import pytest

from helix_ray import cli
from helix_ray.cli import audit, output, task_tables
from helix_ray.cli.tables import Columns, cells, cut, fitted, wrapped
from helix_ray.core.specs import TaskError
from helix_ray.wire.task_answers import ResultOut

ID = "task-01jdk3x8zq7m2v5n9w4c"
EVIL = "a\x1b[31mred\x07\x9b2J\u202e\r\nb"
# Every table of every command.
TABLES = {
    f"{module.name}.{name}": value
    for module in pkgutil.iter_modules(cli.__path__)
    for name, value in vars(import_module(f"helix_ray.cli.{module.name}")).items()
    if isinstance(value, Columns)
}


class Terminal(io.StringIO):
    """Standard output that says it is a terminal."""

    def isatty(self) -> bool:
        """Say that it is one."""
        return True


@pytest.mark.parametrize("width", [1, 30, 40, 60, 80, 100, 132, 500])
@pytest.mark.parametrize("name", TABLES)
def test_ids_are_never_cut(name: str, width: int) -> None:
    """At any width the first column is whole, unless it has free text, and a STATUS column is shown."""
    columns = TABLES[name]
    rows = [["x" * 24 for _ in columns.names] for _ in range(3)]
    for row in rows:
        row[0] = ID
    table = fitted(columns, rows, width)
    head, lines = table.lines()[: table.heads], table.lines()[table.heads :]
    if columns.cut != columns.names[0]:
        # What stands below a row is indented.
        assert [line.split()[0] for line in lines if not line.startswith(" ")] == [ID] * 3
    assert ("STATUS" in " ".join(head)) == ("STATUS" in columns.names)
    ids = [i for i, column in enumerate(columns.names) if column == "ID"]
    assert all("x" * 24 in line or ID in line for line in lines if ids)


def test_an_officer_sees_account_and_address_at_80_columns() -> None:
    """Of a failed sign-in that is what matters. A row has a second line where one is too short, and no words
    of it where there are none; where one line is enough, it is one."""
    failed = ["2026-11-26 16:00:00", "anonymous", "login", "failure", "192.0.2.7", "3", "ada, bob"]
    set_up = ["2026-11-26 16:00:01", "user-01jdk3x8zq7m2v5n9w4c", "create_webhook", "success", "", "", ""]
    assert fitted(audit.COLUMNS, [failed, set_up], 80).lines() == [
        "TIME                 USER                       ACTION          RESULT",
        "  ADDRESS    COUNT  RESOURCE",
        "2026-11-26 16:00:00  anonymous                  login           failure",
        "  192.0.2.7  3      ada, bob",
        "2026-11-26 16:00:01  user-01jdk3x8zq7m2v5n9w4c  create_webhook  success",
    ]
    assert len(fitted(audit.COLUMNS, [failed], 80).lines()) == 2
    assert len(fitted(audit.COLUMNS, [failed, set_up], None).lines()) == 3


@pytest.mark.parametrize("width", [60, 80, 100, 132])
def test_tasks_fit_a_terminal(width: int) -> None:
    """The less important columns go first, then the title is cut, with a mark."""
    worker, time = "worker-01jdk3x8zq7m2v5n9w4c", "2026-11-26 16:00:00"
    row = [ID, "completed", "critical", "refactoring", "100 %", worker, time, "t" * 200]
    header, line = fitted(task_tables.COLUMNS, [row], width).lines()
    assert len(line) == width
    assert line.startswith(f"{ID}  completed")
    assert line.endswith("t…")
    order = ["TYPE", "PRIORITY", "WORKER", "CREATED", "PROGRESS"]
    gone = [name for name in order if name not in header]
    assert gone == order[: len(gone)]


def test_a_text_that_wraps_goes_on_below_itself() -> None:
    """No word of it is missing, and it fits where its words do; in a pipe it is one line."""
    columns = Columns(("CHECK", "REASON"), cut="REASON", wraps=True)
    rows = [("passwords", "a password is the only factor"), ("journal", "checked")]
    assert fitted(columns, rows, 30).lines() == [
        "CHECK      REASON",
        "passwords  a password is the",
        "           only factor",
        "journal    checked",
    ]
    assert fitted(columns, rows, None).lines()[1] == "passwords  a password is the only factor"
    assert wrapped("incomprehensibilities of it", 8) == ["incomprehensibilities", "of it"]


def test_nothing_is_left_out_in_a_pipe() -> None:
    """Without a width every column is whole, however long a title is."""
    header, line = fitted(Columns(("A", "B", "C"), ("B",), "C"), [["1", "2" * 300, "3" * 300]], None).lines()
    assert header.split() == ["A", "B", "C"]
    assert line.split() == ["1", "2" * 300, "3" * 300]


def test_wide_characters_count_as_two() -> None:
    """Columns stay below each other, and a cut text never takes more than its room."""
    assert [cells("日本"), cells("e\u0301"), cells("abc")] == [4, 1, 3]
    assert cut("日本語", 5) == "日本…"
    assert cut("日本語", 4) == "日…"
    lines = fitted(Columns(("A", "B")), [["日本", "x"], ["abcd", "x"]], None).lines()
    assert lines[1:] == ["日本  x", "abcd  x"]


def test_the_width_is_that_of_columns_or_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """COLUMNS counts in a pipe as well; without it a pipe has no width."""
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.delenv("COLUMNS", raising=False)
    assert output.width() is None
    monkeypatch.setenv("COLUMNS", "72")
    assert output.width() == 72
    for odd in ("", "0", "wide", "-1"):
        monkeypatch.setenv("COLUMNS", odd)
        assert output.width() is None


def shown(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, write: str) -> str:
    """Return what one of the ways to print makes of a hostile text."""
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "80")
    ways = {
        "table": lambda: output.print_table(Columns(("TASK", "TITLE"), cut="TITLE"), [["t", EVIL]]),
        "fields": lambda: output.print_fields({"title": EVIL, "labels": {"a": EVIL}, "names": [EVIL]}),
        "message": lambda: output.say(EVIL),
        "text": lambda: output.put(EVIL),
        "json": lambda: output.print_json({"title": EVIL}),
    }
    ways[write]()
    return stream.getvalue()


@pytest.mark.parametrize("write", ["table", "fields", "message", "text", "json"])
def test_no_control_character_reaches_a_terminal(write: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Escape sequences, the bell, C1 controls and changes of direction are escaped, whatever prints them."""
    text = shown(monkeypatch, Terminal(), write)
    assert re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text) == []
    assert "[31mred" in text
    if write == "json":
        assert orjson.loads(text) == {"title": EVIL}


@pytest.mark.parametrize("write", ["table", "fields", "message", "json"])
def test_listings_in_a_pipe_are_escaped_as_well(write: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row stays one line, and what is read later at a terminal is harmless."""
    text = shown(monkeypatch, io.StringIO(), write)
    assert re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text) == []
    if write == "table":
        assert len(text.splitlines()) == 2


def test_output_in_a_pipe_is_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a task printed goes to another program unchanged."""
    assert shown(monkeypatch, io.StringIO(), "text") == EVIL + "\n"


def test_every_command_prints_through_one_door() -> None:
    """No module of the program writes to a stream of its own: only helix_ray/cli/output.py escapes."""
    folder = Path(output.__file__).parent
    raw = re.compile(r"(?<![\w.])print\(|sys\.std(out|err)\.write|typer\.echo")
    found = {
        f"{path.name}: {line.strip()}"
        for path in folder.glob("*.py")
        if path.name != "output.py"
        for line in path.read_text("utf-8").splitlines()
        if raw.search(line)
    }
    assert found == set()


def test_the_outcome_of_a_killed_attempt_has_the_end_of_its_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On standard output, as that of a command; its reason is on standard error."""
    error: TaskError = {"reason": "timeout", "type": "TimedOut", "message": "timed out after 1.0 s"}
    result: ResultOut = {
        "id": ID, "status": "failed", "attempt": 1, "assigned_worker": None, "finished_at": None,
        "result": None, "error": {**error, "output_tail": "the last words"},
    }  # fmt: skip
    task_tables.show_outcome(result)
    shown = capsys.readouterr()
    assert shown.out == "the last words\n"
    assert shown.err == f"helix: {ID} failed: timeout: TimedOut: timed out after 1.0 s\n"
    task_tables.show_outcome({**result, "error": error})
    assert capsys.readouterr().out == ""
