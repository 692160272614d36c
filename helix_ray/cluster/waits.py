"""Waits for futures of tasks, on threads and event loops: long ones in a task's code give back its CPUs.

Each waits for up to BLOCKED_AFTER_S as concurrent.futures and asyncio do, and then says what it waits for
(execution/blocking.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from helix_ray.execution.blocking import BLOCKED_AFTER_S, Until, waiting

T = TypeVar("T")

# What ends a wait, as execution/blocking.py says it; FIRST_EXCEPTION depends on how the tasks end.
UNTIL: dict[str, Until] = {"ALL_COMPLETED": "all", "FIRST_COMPLETED": "any", "FIRST_EXCEPTION": "unblocked"}


def result_of(future: Future[T], task_id: str, timeout: float | None) -> T:
    """Return what a future does; raises TimeoutError after `timeout` seconds."""
    if timeout is not None and timeout <= BLOCKED_AFTER_S:
        return future.result(timeout)
    try:
        return future.result(BLOCKED_AFTER_S)
    except TimeoutError:
        if future.done():
            return future.result()
    with waiting((task_id,)):
        return future.result(None if timeout is None else timeout - BLOCKED_AFTER_S)


async def result_soon(future: Future[T], task_id: str) -> T:
    """Return what a future does, without blocking the event loop; the future outlives this wait."""
    # Shielded: a caller that stops waiting must not cancel it for the others.
    return await _awaited(asyncio.shield(asyncio.wrap_future(future)), task_id)


async def work_done(work: Future[T], task_id: str) -> T:
    """Return the result of work that waits for a task without blocking the event loop; a cancelled wait
    cancels the work."""
    return await _awaited(asyncio.wrap_future(work), task_id)


async def _awaited(future: asyncio.Future[T], task_id: str) -> T:
    try:
        await asyncio.wait((future,), timeout=BLOCKED_AFTER_S)
    except BaseException:  # a wait that is closed too: asyncio.wait leaves what it waits for running
        future.cancel()
        raise
    if future.done():
        return await future
    with waiting((task_id,)):
        return await future


def some_done(
    futures: Collection[Future[Any]], ids: Iterable[str], timeout: float | None, return_when: str
) -> tuple[set[Future[Any]], set[Future[Any]]]:
    """Return the futures that are done and those that are not, as concurrent.futures.wait does."""
    short = BLOCKED_AFTER_S if timeout is None else min(timeout, BLOCKED_AFTER_S)
    began = time.monotonic()
    found = wait_for(futures, short, return_when)
    if not found.not_done or time.monotonic() - began < short or short == timeout:
        return found.done, found.not_done
    left = None if timeout is None else max(0.0, timeout - (time.monotonic() - began))
    with waiting(ids, UNTIL[return_when]):
        found = wait_for(futures, left, return_when)
    return found.done, found.not_done


def as_done(ids: dict[Future[Any], str], timeout: float | None) -> Iterator[Future[Any]]:
    """Yield each future, given with the id of its task, when it is done; raises TimeoutError after `timeout`
    seconds in all."""
    ends_at = None if timeout is None else time.monotonic() + timeout
    done: SimpleQueue[Future[Any]] = SimpleQueue()
    left = dict(ids)
    for future in ids:
        future.add_done_callback(done.put)
    while left:
        future = _next(done, left, ends_at)
        del left[future]
        yield future


def _next(done: SimpleQueue[Future[Any]], left: dict[Future[Any], str], ends_at: float | None) -> Future[Any]:
    for_s = None if ends_at is None else max(0.0, ends_at - time.monotonic())
    try:
        return done.get(timeout=BLOCKED_AFTER_S if for_s is None else min(for_s, BLOCKED_AFTER_S))
    except Empty:
        for_s = None if ends_at is None else max(0.0, ends_at - time.monotonic())
    try:
        if for_s == 0.0:
            return done.get_nowait()
        with waiting(left.values(), "any"):
            return done.get(timeout=for_s)
    except Empty:
        raise TimeoutError(f"{len(left)} of the tasks have not ended") from None
