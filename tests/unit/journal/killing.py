"""Work on a data directory, killed before each change of a file in turn."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# What changes a file has one of these names.
CHANGING = frozenset({"executemany", "fsync", "link", "rename", "unlink", "pwrite", "write"})
# Statements change it as well, or only ask.
STATEMENTS = CHANGING | {"execute"}
CHANGES_MAX = 10_000


def killed_at(number: int, work: Callable[[], object], names: frozenset[str] = CHANGING) -> bool:
    """Do some work in a child that is killed before its `number`th call of these names;
    say whether it came so far."""
    child = os.fork()
    if child == 0:
        left = number

        def count(frame: Any, event: str, called: Any) -> None:
            nonlocal left
            if event == "c_call" and called.__name__ in names:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        code = 1
        try:
            sys.setprofile(count)
            work()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def lives_before(
    data: Path,
    tmp_path: Path,
    work: Callable[[Path], object],
    names: frozenset[str] = CHANGING,
    every: int = 1,
) -> Iterator[Path]:
    """Yield what kills at these calls, every so many of them, leave of a copy of a data directory."""
    for number in range(1, CHANGES_MAX, every):
        copy = Path(shutil.copytree(data, tmp_path / f"killed-{number}"))
        if not killed_at(number, lambda copy=copy: work(copy), names):  # type: ignore[misc]
            return
        yield copy
        shutil.rmtree(copy)
    raise AssertionError("it never ends")
