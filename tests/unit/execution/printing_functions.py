"""Functions that write in every way that there is, and end in every way."""

from __future__ import annotations

import ctypes
import io
import logging
import multiprocessing as mp
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from helix_ray.execution.progress import progress

_libc = ctypes.CDLL(None)


def _stdout() -> Any:
    return sys.stdout


def _on_a_thread(word: str) -> None:
    thread = threading.Thread(target=print, args=(word,))
    thread.start()
    thread.join()


def _in_a_fork(word: str) -> None:
    child = os.fork()
    if child == 0:
        print(word)
        os._exit(0)
    os.waitpid(child, 0)


def _by(method: str, word: str) -> None:
    context: Any = mp.get_context(method)
    process = context.Process(target=print, args=(word,))
    process.start()
    process.join()


def _by_log(word: str) -> None:
    handler = logging.StreamHandler()
    logging.getLogger("theirs").addHandler(handler)
    logging.getLogger("theirs").error(word)
    logging.getLogger("theirs").removeHandler(handler)


def _wrapped_anew(word: str) -> None:
    sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="latin-1")
    print(word, flush=True)


def _detached(word: str) -> None:
    sys.stdout = io.TextIOWrapper(_stdout().detach(), encoding="utf-8", line_buffering=True)
    print(word)


def _reconfigured(word: str) -> None:
    _stdout().reconfigure(encoding="ascii", errors="strict", line_buffering=False)
    print(word)
    sys.stdout.flush()


def _with_a_closed_descriptor(word: str) -> None:
    print(word)
    os.close(2)


def _elsewhere_for_a_while(word: str) -> None:
    kept, null = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    print("not this")
    os.dup2(kept, 1)
    print(word)


WAYS: dict[str, Callable[[str], object]] = {
    "print": print,
    "stderr": lambda word: print(word, file=sys.stderr),
    "stdout as it was made": lambda word: print(word, file=sys.__stdout__, flush=True),
    "buffer": lambda word: (sys.stdout.buffer.write(f"{word}\n".encode()), sys.stdout.buffer.flush()),
    "descriptor 1": lambda word: os.write(1, f"{word}\n".encode()),
    "descriptor 2": lambda word: os.write(2, f"{word}\n".encode()),
    "fileno": lambda word: os.write(sys.stdout.fileno(), f"{word}\n".encode()),
    "C": lambda word: _libc.puts(word.encode()),
    "subprocess": lambda word: subprocess.run(["echo", word], check=True),
    "system": lambda word: os.system(f"echo {word} >&2"),
    "fork": _in_a_fork,
    "multiprocessing fork": lambda word: _by("fork", word),
    "multiprocessing spawn": lambda word: _by("spawn", word),
    "thread": _on_a_thread,
    "logging": _by_log,
    "wrapped anew": _wrapped_anew,
    "detached": _detached,
    "reconfigured": _reconfigured,
    "closed descriptor": _with_a_closed_descriptor,
    "elsewhere for a while": _elsewhere_for_a_while,
}


def _raise() -> None:
    raise ValueError("the end")


def _until_cancelled() -> None:
    while True:
        progress(1)
        time.sleep(0.005)


def _until_interrupted() -> None:
    """Say that all is written: a time limit that comes before that would be too short."""
    progress(1)
    time.sleep(1000)


ENDS: dict[str, Callable[[], object]] = {
    "return": lambda: None,
    "raise": _raise,
    "cancel": _until_cancelled,
    "timeout": _until_interrupted,
}


def write(way: str, end: str) -> None:
    """Print, write in that way, and print without a line end."""
    print("before")
    WAYS[way]("middle")
    print("behind", end="", file=sys.__stdout__)
    ENDS[end]()


def write_and_stay_in_c() -> None:
    """Write without Python's streams, then hold the interpreter's lock."""
    os.write(1, b"one\n")
    _libc.puts(b"two")
    subprocess.run(["echo", "three"], check=True)
    progress(1)
    re.match(r"(a+)+$", "a" * 60 + "b")


def describe_stdout() -> dict[str, object]:
    """What a program may ask of its standard output."""
    out = _stdout()
    return {
        "encoding": out.encoding,
        "fileno": (out.fileno(), sys.stderr.fileno()),
        "isatty": (out.isatty(), os.isatty(1)),
        "line_buffering": out.line_buffering,
        "writable": (out.writable(), out.readable(), out.closed),
        "name": (out.name, sys.stderr.name),
        "is text": isinstance(out, io.TextIOWrapper),
        "buffer": isinstance(out.buffer, io.BufferedWriter),
    }


def close_both() -> None:
    """Some programs do at their end."""
    sys.stdout.close()
    sys.stderr.close()
    os.close(1)


def leave_a_writer() -> None:
    """A child that would write when the function is over."""
    subprocess.Popen("sleep 0.2; echo late", shell=True)
    print("mine")
