"""A command from its submit over REST to its end seen, beside a no-op function, Ray Jobs, Celery and a
bare fork."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from benchmarks import anchors
from benchmarks.anchors import WORKERS, Anchor, CeleryRedis, one_by_one
from benchmarks.latency import WARM_UP_TASKS, latencies
from benchmarks.load import percentile
from benchmarks.processes import DidNotStart, helix, scratch
from benchmarks.report import Goal, Line, Report, Series, at_least, ratio_at_most
from benchmarks.scale import Scale
from benchmarks.throughput import NOOP, Completed

NAME = "commands"
ARGV = ["/bin/true"]
COMMAND: dict[str, object] = {"kind": "command", "argv": ARGV}
AT_ONCE_TASKS = 1_000
TIMES_FUNCTION = 1.5
# Eight times the rate that a Python start per command allowed on two slow cores.
RATE_MIN = 392.0
JOBS, JOB_S_MAX, JOB_ASK_S = 3, 60.0, 0.02
ENDED = {"SUCCEEDED", "FAILED", "STOPPED"}


class BareFork:
    """subprocess.run in this process: what no system can be faster than."""

    name = "bare fork"

    def tasks_per_s(self, count: int) -> float:
        """Start and wait for one after another."""
        started = time.perf_counter()
        for _ in range(count):
            _run()
        return count / (time.perf_counter() - started)

    def latencies(self, count: int) -> list[float]:
        """Start and wait for one after another, each timed."""
        return one_by_one(_run, count)


class CelerySubprocess(CeleryRedis):
    """Celery tasks that run the program by subprocess.run."""

    name = "Celery, subprocess"

    def __init__(self) -> None:
        from benchmarks.celery_app import run_program

        self._send = partial(run_program.delay, ARGV)


class RayJobs:
    """Jobs through Ray's own job server; at most JOBS of them, since each takes a second."""

    name = "Ray Jobs"

    def __init__(self, client: Any) -> None:
        self._client = client

    def tasks_per_s(self, count: int) -> float:
        """Submit a few, then wait for all."""
        started = time.perf_counter()
        jobs = [self._submit() for _ in range(min(count, JOBS))]
        for job in jobs:
            self._wait(job)
        return len(jobs) / (time.perf_counter() - started)

    def latencies(self, count: int) -> list[float]:
        """Submit and wait, one by one."""
        return one_by_one(lambda: self._wait(self._submit()), min(count, JOBS))

    def _submit(self) -> str:
        return str(self._client.submit_job(entrypoint=" ".join(ARGV)))

    def _wait(self, job: str) -> None:
        give_up = time.monotonic() + JOB_S_MAX
        while self._client.get_job_status(job).value not in ENDED:
            if time.monotonic() > give_up:
                raise TimeoutError(f"Ray job {job} does not end")
            time.sleep(JOB_ASK_S)


def _run() -> None:
    subprocess.run(ARGV, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)


@contextmanager
def ray_jobs() -> Iterator[Anchor]:
    """Start Ray with its dashboard, which serves jobs; raises DidNotStart where that is not installed."""
    import ray

    with scratch() as folder:
        context = ray.init(
            num_cpus=WORKERS, include_dashboard=True, log_to_driver=False, _temp_dir=str(folder)
        )
        try:
            if not context.dashboard_url:
                raise DidNotStart("Ray's dashboard did not start")
            from ray.job_submission import JobSubmissionClient

            yield RayJobs(JobSubmissionClient(f"http://{context.dashboard_url}"))
        except (RuntimeError, ConnectionError) as error:
            raise DidNotStart(str(error)) from error
        finally:
            ray.shutdown()


@contextmanager
def celery_subprocess() -> Iterator[Anchor]:
    """Start Celery as its anchor of no-op tasks does."""
    with anchors.celery_redis():
        yield CelerySubprocess()


def run(scale: Scale) -> Report:
    """One at a time and a thousand at once, in turn with the anchors."""
    p50: dict[str, list[float]] = {}
    rates: dict[str, list[float]] = {}
    functions: list[float] = []
    with helix() as server, ExitStack() as stack:
        others, missing = _anchors(stack)
        completed = Completed(server)
        for work in (NOOP, COMMAND):
            latencies(server, WARM_UP_TASKS, work)
        completed.others(2 * WARM_UP_TASKS)
        completed.tasks_per_s(WARM_UP_TASKS, COMMAND)
        for _ in range(scale.rounds):
            functions.append(_p50(latencies(server, scale.latency_tasks, NOOP)))
            p50.setdefault("", []).append(_p50(latencies(server, scale.latency_tasks, COMMAND)))
            completed.others(2 * scale.latency_tasks)
            rates.setdefault("", []).append(completed.tasks_per_s(AT_ONCE_TASKS, COMMAND))
            for other in others:
                p50.setdefault(other.name, []).append(_p50(other.latencies(scale.latency_tasks)))
                rates.setdefault(other.name, []).append(other.tasks_per_s(AT_ONCE_TASKS))
    return Report(NAME, f"{ARGV[0]}, submit to end", _lines(p50, rates, functions), (*_NOTES, *missing))


_NOTES = (
    "ours: as `latency` and `throughput` measure functions; isolation as this machine offers it",
    f"Ray Jobs: {JOBS} jobs a round; Celery: two workers that call subprocess.run; bare fork: a loop of it",
)


def _anchors(stack: ExitStack) -> tuple[list[Anchor], list[str]]:
    started: list[Anchor] = [BareFork()]
    missing: list[str] = []
    for start in (celery_subprocess, ray_jobs):
        try:
            started.append(stack.enter_context(start()))
        except (DidNotStart, ImportError) as error:
            missing.append(f"left out: {start.__name__}: {error}")
    return started, missing


def _p50(taken: list[float]) -> float:
    return percentile(taken, 0.5) * 1e3


def _lines(
    p50: dict[str, list[float]], rates: dict[str, list[float]], functions: list[float]
) -> tuple[Line, ...]:
    ours = Series("", "ms", tuple(p50[""]))
    function = Series("no-op function", "ms", tuple(functions))
    lines = [Line("p50", ours, function, ratio_at_most(TIMES_FUNCTION, "a no-op function", ours, function))]
    lines += [Line("p50", ours, Series(name, "ms", tuple(found))) for name, found in p50.items() if name]
    mine = Series("", "/s", tuple(rates[""]))
    goal: Goal | None = at_least(RATE_MIN, "/s", mine)
    for name, found in rates.items():
        if name:
            lines.append(Line(f"{AT_ONCE_TASKS:,} at once", mine, Series(name, "/s", tuple(found)), goal))
            goal = None
    return tuple(lines)
