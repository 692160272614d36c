"""Functions that the executor under test runs by name."""

from __future__ import annotations

import functools
import logging
import os
import sys
import time
from collections.abc import Callable
from os import getpid
from typing import Any

import numpy as np

from helix_ray.execution.progress import current, progress

__all__ = ["getpid"]


def identity(value: Any = None) -> Any:
    return value


def variable(name: str) -> str | None:
    return os.environ.get(name)


def touch(path: str) -> None:
    with open(path, "a"):
        pass


def special(kind: str) -> Any:
    return {
        "nan": {"a": [1.0, float("nan")]},
        "object": {"a": [1, object()]},
        "key": {"a": {1: 2}},
        "numpy": {
            "a": np.arange(6, dtype=np.float32).reshape(2, 3)[:, ::2],
            "b": np.int64(3),
            "c": (1, None),
        },
        "numpy_nan": [np.array([1.0, np.inf])],
        "huge": 2**70,
    }[kind]


class OddError(Exception):
    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


def raise_odd() -> None:
    raise OddError(code=7)


def raise_nested() -> None:
    try:
        _ = {}["missing"]
    except KeyError as error:
        raise RuntimeError("outer") from error


def leave() -> None:
    sys.exit(3)


def say(count: int) -> None:
    for index in range(count):
        print("line", index)
    sys.stderr.write("no newline at the end")


def say_nothing() -> None:
    logging.getLogger(__name__).debug("nothing is shown")


def nap(seconds: float) -> None:
    time.sleep(seconds)


def spin_stubborn(seconds: float) -> str:
    """Swallows the first interruption, as bad code does."""
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        try:
            sum(range(1000))
        except BaseException:
            return "swallowed"
    return "not interrupted"


def count_to(total: int) -> list[Any]:
    for n in range(total + 1):
        progress(n, total, f"at {n}")
    info = current()
    assert info is not None
    return [info.task_id, info.attempt]


def until_cancelled() -> None:
    while True:
        progress(1, 2)
        time.sleep(0.01)


async def answer() -> int:
    return 42


def _hidden() -> None:
    """Not for callers."""


def _decorated(function: Callable[..., Any]) -> Any:
    class Wrapped:
        __helix_function__ = staticmethod(function)

    functools.update_wrapper(Wrapped, function, updated=())
    return Wrapped()


@_decorated
def wrapped(a: int) -> int:
    return a + 1
