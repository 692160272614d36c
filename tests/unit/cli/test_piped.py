"""Standard input becomes the command's: what is read, what is not, and that a silent pipe keeps nobody
waiting."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer

from helix_ray.cli import piped
from helix_ray.cli.piped import piped_input
from helix_ray.core.stdin import STDIN_BYTES_MAX


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits end soon enough for a test."""
    monkeypatch.setattr(piped, "NOTICE_S", 0.05)
    monkeypatch.setattr(piped, "SILENCE_S_MAX", 0.1)


@contextmanager
def stdin_is(descriptor: int) -> Iterator[None]:
    """Have this process read from another descriptor, which is closed at the end."""
    before = os.dup(0)
    os.dup2(descriptor, 0)
    os.close(descriptor)
    try:
        yield
    finally:
        os.dup2(before, 0)
        os.close(before)


def pipe(*parts: bytes, close: bool = True) -> tuple[int, int]:
    """Return both ends of a pipe in which something was written."""
    reader, writer = os.pipe()
    for part in parts:
        os.write(writer, part)
    if close:
        os.close(writer)
    return reader, writer


def test_a_pipe_is_read_to_its_end() -> None:
    """An empty one is no input; bytes come as they are."""
    for data in (b"a\nb\n", b"\xff\0", b""):
        with stdin_is(pipe(data)[0]):
            assert piped_input(None) == (data or None)


def test_a_file_and_a_socket_are_read(tmp_path: Path) -> None:
    """A file from where it stands, as other programs read it."""
    path = tmp_path / "data"
    path.write_bytes(b"first second")
    file = os.open(path, os.O_RDONLY)
    os.lseek(file, 6, os.SEEK_SET)
    with stdin_is(file):
        assert piped_input(None) == b"second"
    ours, theirs = socket.socketpair()
    with ours, stdin_is(theirs.detach()):
        ours.sendall(b"over a socket")
        ours.shutdown(socket.SHUT_WR)
        assert piped_input(None) == b"over a socket"


def test_a_terminal_and_the_null_device_are_not_read() -> None:
    """Nobody meant them: with --stdin they are read too."""
    with stdin_is(os.open(os.devnull, os.O_RDONLY)):
        assert piped_input(None) is None
        assert piped_input(True) is None
    leader, terminal = os.openpty()
    with stdin_is(terminal):
        assert piped_input(None) is None
        os.write(leader, b"typed\n\x04")
        assert piped_input(True) == b"typed\n"
    os.close(leader)


def test_a_closed_one_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Descriptor 0 may be another file of the program by then; asked for, it is refused."""
    with stdin_is(pipe(b"somebody else's")[0]):
        monkeypatch.setattr(sys, "stdin", None)
        assert piped_input(None) is None
        with pytest.raises(typer.BadParameter, match="standard input is closed"):
            piped_input(True)


def test_no_stdin_reads_nothing() -> None:
    """What was in the pipe is there for the next program."""
    with stdin_is(pipe(b"for another")[0]):
        assert piped_input(False) is None
        assert os.read(0, 100) == b"for another"


def test_a_silent_pipe_ends_in_a_refusal(capsys: pytest.CaptureFixture[str]) -> None:
    """After a line on standard error: cron, ssh and CI hand on pipes in which nobody writes."""
    reader, writer = pipe(close=False)
    with stdin_is(reader), pytest.raises(typer.BadParameter, match=r"nothing came.*--no-stdin, or --stdin"):
        piped_input(None)
    os.close(writer)
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "helix: waiting for something from standard input; --no-stdin submits without it"


@pytest.mark.parametrize(("wanted", "first"), [(True, b""), (None, b"begun ")])
def test_a_slow_writer_is_waited_for(
    wanted: bool | None, first: bytes, capsys: pytest.CaptureFixture[str], told: Callable[[], None]
) -> None:
    """Where it is asked for, or has begun: however long it takes, with one line that says so."""
    reader, writer = pipe(first, close=False) if first else pipe(close=False)

    def write_once_told() -> None:
        told()
        os.write(writer, b"late")
        os.close(writer)

    thread = threading.Thread(target=write_once_told)
    thread.start()
    with stdin_is(reader):
        assert piped_input(wanted) == first + b"late"
    thread.join()
    assert capsys.readouterr().err.count("helix: waiting for") == 1


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Give a wait for the line that says that it waits."""
    said = threading.Event()
    say = piped.say

    def say_and_note(text: str) -> None:
        say(text)
        said.set()

    monkeypatch.setattr(piped, "say", say_and_note)
    return lambda: assert_set(said)


def assert_set(event: threading.Event) -> None:
    assert event.wait(60)


def test_more_than_the_limit_is_refused(tmp_path: Path) -> None:
    """With what to do instead; the limit itself is accepted."""
    path = tmp_path / "data"
    for size in (STDIN_BYTES_MAX, STDIN_BYTES_MAX + 1):
        path.write_bytes(b"x" * size)
        with stdin_is(os.open(path, os.O_RDONLY)):
            if size == STDIN_BYTES_MAX:
                assert len(piped_input(None) or b"") == size
                continue
            with pytest.raises(
                typer.BadParameter, match="too large; the limit is 524288: let the command open a file"
            ):
                piped_input(None)
