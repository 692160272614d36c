"""Every process of a live server is killed in random order under load; what clients saw must keep the rules.

Short here; `make chaos` runs it for CHAOS_S seconds and prints the figures. CHAOS_SEED
repeats an order of kills.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import psutil
import pytest

from tests.e2e.chaos_clients import LEASE_S, Client, ExternalWorker, crowd
from tests.e2e.chaos_history import DELETED, Final, History, violations
from tests.e2e.live import Live, count, listed, serving
from tests.ray.signals import until

CHAOS_S = float(os.environ.get("CHAOS_S", "25"))
SEED = int(os.environ.get("CHAOS_SEED", "0")) or random.randrange(1, 1 << 30)
KILL_EVERY_S = (0.8, 2.5)
# This share of the processes is stopped, not killed, and goes on after STOPPED_S.
STOPS = 0.2
STOPPED_S = 3.0
DRAIN_S_MAX = 120.0
ENDS = ("TaskCompleted", "TaskFailed", "TaskCancelled")
# Not met: Ray's processes that wait for work, and its agents, which share the raylet's fate: with the head's,
# `helix up` says so and ends (test_up.py).
LEFT_ALONE = ("ray::IDLE", "ray::RuntimeEnvAgent", "ray::DashboardAgent")


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serving(tmp_path_factory.mktemp("chaos") / "data", lease_s=LEASE_S, losses_max=1000) as server:
        yield server


def targets(live: Live) -> dict[str, list[psutil.Process]]:
    """Return the product's processes and Serve's by what they are."""
    found: dict[str, list[psutil.Process]] = {}
    for process in psutil.Process(live.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error, OSError):
            words = process.cmdline()
            if words and words[0].startswith("ray::") and not words[0].startswith(LEFT_ALONE):
                kind = words[0].removeprefix("ray::").split(".")[0].split(":")[0]
                found.setdefault(kind, []).append(process)
    return found


def disturb(live: Live, chance: random.Random, seconds: float) -> list[str]:
    """Kill, or stop for a while, one process after the other in random order; return when each was met."""
    met: list[str] = []
    pause, begun = threading.Event(), time.monotonic()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pause.wait(chance.uniform(*KILL_EVERY_S))
        by_kind = targets(live)
        if not by_kind:
            continue
        kind = chance.choice(sorted(by_kind))
        process = chance.choice(by_kind[kind])
        with contextlib.suppress(psutil.NoSuchProcess):
            how = "stop" if chance.random() < STOPS else "kill"
            if how == "stop":
                process.send_signal(signal.SIGSTOP)
                threading.Timer(STOPPED_S, _resume, (process,)).start()
            else:
                process.kill()
            met.append(f"{time.monotonic() - begun:.1f} {how} {kind}")
    return met


def _resume(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGCONT)


def drain(live: Live, client: Client) -> None:
    """Wait until every task has ended; a worker outside does what is left for such."""
    worker = ExternalWorker("outside-last")
    numbers = iter(range(1_000_000))

    def over() -> bool:
        while worker.work(client, f"outside-last-{next(numbers)}"):
            pass
        return all(count(client.http, status=status) == 0 for status in ("waiting", "pending", "running"))

    until(over, DRAIN_S_MAX)


def finals(live: Live) -> dict[str, Final]:
    """Return how every task ended, by its title: its status from the API, the rest from the journal."""
    submitted = live.bodies("TaskSubmitted")
    titles = {body["id"]: body["spec"]["title"] for body in submitted}
    status = {task["id"]: task["status"] for task in listed(live.client())}
    submissions = Counter(body["id"] for body in submitted)
    ends = sum((live.facts(kind) for kind in ENDS), Counter[str]())
    tokens = {
        body["id"]: (body.get("result") or {}).get("token", "") for body in live.bodies("TaskCompleted")
    }
    return {
        title: Final(status.get(i, DELETED), submissions[i], ends[i], tokens.get(i, ""))
        for i, title in titles.items()
    }


@pytest.mark.timeout(900)
def test_whatever_is_killed_histories_keep_the_rules(
    live: Live, record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing acknowledged is lost, nothing happens twice, reads see what was answered
    before, and every task ends."""
    history, stop = History(), threading.Event()
    clients = crowd(live, history, stop)
    threads = [threading.Thread(target=client.run, args=(rounds,)) for client, rounds in clients]
    for thread in threads:
        thread.start()
    try:
        met = disturb(live, random.Random(SEED), CHAOS_S)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    failed = [client.failure for client, _ in clients if client.failure is not None]
    assert not failed, f"seed {SEED}, {met}: {failed}"
    drain(live, Client(live.client(), history, threading.Event()))
    assert violations(history, finals(live)) == [], f"seed {SEED}, {met}"
    figures = {
        "seed": SEED,
        "met": len(met),
        "of": dict(Counter(line.split(" ", 1)[1] for line in met)),
        "operations": len(history.operations),
        "unanswered": sum(client.unanswered for client, _ in clients),
        "slowest_s": round(max(o.ended - o.began for o in history.operations), 2),
        "tasks": len(history.by_task()),
    }
    for name, value in figures.items():
        record_property(name, value)
    with capsys.disabled():
        print(f"\nchaos: {figures}")
