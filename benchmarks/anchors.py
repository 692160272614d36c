"""What else runs no-op tasks: raw Ray, Celery with Redis, Dask. Each with two workers
and its faster settings.

All are measured in the way that suits them best: submit everything, then collect everything.
"""

from __future__ import annotations

import importlib
import logging
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

from benchmarks.processes import DidNotStart, free_port, process, scratch

WORKERS = 2
RESULT_S_MAX = 120.0
WARM_UP_TASKS = 50


class Anchor(Protocol):
    """Another system, running."""

    name: str

    def tasks_per_s(self, count: int) -> float:
        """Submit so many no-op tasks, collect all results; return tasks a second."""
        ...

    def latencies(self, count: int) -> list[float]:
        """Submit so many no-op tasks, each after the result of the one before; return the seconds of each."""
        ...


def one_by_one(run: Callable[[], object], count: int) -> list[float]:
    """Run so many times, each after the one before; return the seconds of each."""
    taken = []
    for _ in range(count):
        started = time.perf_counter()
        run()
        taken.append(time.perf_counter() - started)
    return taken


def _noop() -> None:
    """Do nothing."""


class RawRay:
    """`ray.get` of remote tasks, on a local cluster of two CPUs; connected in this process."""

    name = "Ray tasks"

    def __init__(self) -> None:
        import ray

        self._ray = ray
        self._noop = ray.remote(_noop)

    def tasks_per_s(self, count: int) -> float:
        """Submit, then get all."""
        started = time.perf_counter()
        self._ray.get([self._noop.remote() for _ in range(count)])
        return count / (time.perf_counter() - started)

    def latencies(self, count: int) -> list[float]:
        """Submit and get one by one."""
        return one_by_one(lambda: self._ray.get(self._noop.remote()), count)


class CeleryRedis:
    """Celery's prefork pool of two over a Redis of our own that writes nothing to disk."""

    name = "Celery"

    def __init__(self) -> None:
        from benchmarks.celery_app import noop

        self._send: Callable[[], Any] = noop.delay

    def tasks_per_s(self, count: int) -> float:
        """Send all, then join through the backend's own bulk read."""
        from celery.result import ResultSet

        started = time.perf_counter()
        results = ResultSet([self._send() for _ in range(count)])
        results.join_native(timeout=RESULT_S_MAX)
        taken = time.perf_counter() - started
        results.forget()
        return count / taken

    def latencies(self, count: int) -> list[float]:
        """Send and get one by one."""
        return one_by_one(lambda: self._send().get(timeout=RESULT_S_MAX), count)


class Dask:
    """A LocalCluster of two processes with one thread each."""

    name = "Dask"

    def __init__(self, client: Any) -> None:
        self._client = client

    def tasks_per_s(self, count: int) -> float:
        """Map, then gather."""
        started = time.perf_counter()
        futures = self._client.map(_ignore, range(count), pure=False)
        self._client.gather(futures)
        return count / float(time.perf_counter() - started)

    def latencies(self, count: int) -> list[float]:
        """Submit and ask for the result, one by one."""
        return one_by_one(lambda: self._client.submit(_noop, pure=False).result(), count)


def _ignore(number: int) -> None:
    """Do nothing with an argument: what `map` needs."""


@contextmanager
def raw_ray() -> Iterator[Anchor]:
    """Start Ray with two CPUs and workers that are warm."""
    import ray

    with scratch() as folder:
        ray.init(
            num_cpus=WORKERS,
            include_dashboard=False,
            object_store_memory=128 << 20,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _temp_dir=str(folder),
        )
        try:
            anchor = RawRay()
            anchor.tasks_per_s(WARM_UP_TASKS)
            yield anchor
        finally:
            ray.shutdown()


@contextmanager
def celery_redis() -> Iterator[Anchor]:
    """Start Redis on a free port without persistence, and a Celery worker; raises
    DidNotStart without redis-server."""
    if shutil.which("redis-server") is None:
        raise DidNotStart("redis-server is not installed (Debian: redis-server)")
    port = free_port()
    with ExitStack() as stack:
        folder = stack.enter_context(scratch())
        redis = [
            "redis-server",
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        log = folder / "redis.log"
        stack.enter_context(process([*redis, "--dir", str(folder)], {}, "Ready to accept", log))
        worker = [sys.executable, "-m", "benchmarks.celery_app", str(port)]
        stack.enter_context(process(worker, {}, "ready", folder / "celery.log"))
        from benchmarks import celery_app

        # A fresh application: one that was used keeps connections to the Redis of then.
        importlib.reload(celery_app).connect(port)
        anchor = CeleryRedis()
        anchor.tasks_per_s(WARM_UP_TASKS)
        yield anchor


@contextmanager
def dask() -> Iterator[Anchor]:
    """Start Dask's scheduler and two worker processes."""
    from distributed import Client, LocalCluster

    with ExitStack() as stack:
        local = LocalCluster(
            n_workers=WORKERS, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        )
        client = stack.enter_context(Client(stack.enter_context(local)))
        anchor = Dask(client)
        anchor.tasks_per_s(WARM_UP_TASKS)
        yield anchor


@contextmanager
def running() -> Iterator[tuple[list[Anchor], list[str]]]:
    """Start all anchors; one that cannot start is named in the second list instead."""
    started: list[Anchor] = []
    missing: list[str] = []
    with ExitStack() as stack:
        for start in (raw_ray, celery_redis, dask):
            try:
                started.append(stack.enter_context(start()))
            except (DidNotStart, ImportError) as error:
                missing.append(f"left out: {start.__name__}: {error}")
        yield started, missing
