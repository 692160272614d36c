"""Sample functions: the default allow-list (`helix_ray.samples:*`) lets REST callers run them.

Arguments and results are JSON. The result of each shows tests and benchmarks that the work was really done.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from typing import Any, NoReturn

from helix_ray.execution.progress import progress as _progress

__all__ = [
    "add",
    "count_primes",
    "crash",
    "echo",
    "fail",
    "mean_of",
    "noop",
    "sleep_until_cancelled",
    "squares",
    "word_count",
]

PRIMES_LIMIT_MAX = 50_000_000
"""The sieve takes a byte a number: 50 MB."""

SLEEP_STEP_S = 0.05
"""How often `sleep_until_cancelled` looks whether it was cancelled."""


def noop() -> None:
    """Do nothing, which measures the cost of the control plane."""


def add(a: float, b: float) -> float:
    """Return a + b."""
    return a + b


def echo(value: Any) -> Any:
    """Return the value unchanged."""
    return value


def count_primes(limit: int) -> int:
    """Return how many primes are below limit (sieve of Eratosthenes): pure Python that keeps one core busy.

    Raises ValueError where limit is above PRIMES_LIMIT_MAX.
    """
    if limit > PRIMES_LIMIT_MAX:
        raise ValueError(f"limit must be at most {PRIMES_LIMIT_MAX}, not {limit}")
    if limit < 3:
        return 0
    is_prime = bytearray([1]) * limit
    is_prime[0:2] = b"\0\0"
    for n in range(2, math.isqrt(limit - 1) + 1):
        if is_prime[n]:
            is_prime[n * n :: n] = bytes(len(range(n * n, limit, n)))
    return sum(is_prime)


def mean_of(values: list[float]) -> float:
    """Return the arithmetic mean; raises ValueError for an empty list."""
    if not values:
        raise ValueError("the mean of an empty list is undefined")
    return math.fsum(values) / len(values)


def word_count(text: str) -> int:
    """Return the number of words in the text, separated by white space."""
    return len(text.split())


def squares(count: int) -> Iterator[int]:
    """Yield the squares of 0 to count - 1: shows that over REST the result of a generator is a list."""
    for number in range(count):
        yield number * number


def fail(message: str) -> NoReturn:
    """Raise ValueError with the message: shows how an exception is reported."""
    raise ValueError(message)


def crash() -> NoReturn:
    """End the executor's process at once with exit status 1: shows the loss of an executor."""
    os._exit(1)


def sleep_until_cancelled(seconds: float) -> float:
    """Sleep, report progress, and return the seconds slept; a cancelled attempt ends within SLEEP_STEP_S.

    `progress` raises helix_ray.execution.progress.Cancelled here once the attempt is cancelled.
    """
    started = time.monotonic()
    elapsed = 0.0
    while elapsed < seconds:
        _progress(elapsed, seconds)
        time.sleep(min(SLEEP_STEP_S, seconds - elapsed))
        elapsed = time.monotonic() - started
    _progress(seconds, seconds)
    return elapsed
