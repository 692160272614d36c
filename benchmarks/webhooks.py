"""Webhooks: events a second through one notifier, from commit to arrival, and healthy receivers beside ones
that hang.

The notifier and an engine share a process, and the receivers have one of their own. Beside it, plain loops
send a body that was made before: with the notifier's own client and all that it checks, which the goal is
about, and with the library below it as it comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpcore
import httpx

from actors.collector import collect_less_often
from benchmarks.hook_receivers import SECRET, SIGNING_SECRET
from benchmarks.report import Goal, Line, Report, Series
from benchmarks.scale import Scale
from helix_ray.core.access import SYSTEM
from helix_ray.core.orders import CreateWebhook, SubmitTasks
from helix_ray.core.policy import Policy
from helix_ray.core.specs import TaskSpec
from helix_ray.core.webhooks import FilterRecord
from helix_ray.followers.feed import BatchLimits
from helix_ray.followers.following import Following
from helix_ray.outward.addresses import Allowed
from helix_ray.outward.transport import Sender
from helix_ray.ports import Batch
from helix_ray.testing import MemoryControlPlane, add_user
from helix_ray.webhooks.desk import Desk, PlaneDesk
from helix_ray.webhooks.lanes import YOUNG_MAX
from helix_ray.webhooks.notifying import Notifying
from helix_ray.webhooks.signing import signed_headers

NAME = "webhooks"
RATIO_MIN = 0.7
ARRIVAL_MS_MAX = 20.0
RAISED_MAX = 0.10
TASK: TaskSpec = {"title": "Test Task", "type": "building"}
FILTER: FilterRecord = {"events": ["task.created"], "projects": [], "types": [], "labels": {}, "statuses": []}
WEBHOOKS_MAX = 2000
# A round alternates so often between the notifier and the loops beside it, with so many events each.
ALTERNATIONS, EVENTS = 3, 2000
SEND_S_MAX = 15.0
PACE_S = 0.01
DEADLINE_S = 300.0
# At one event each PACE_HEALTHY_S, requests to receivers that hang end by SEND_S_MAX within the run.
HEALTHY_EVENTS, PACE_HEALTHY_S = 36, 0.5


class Receiving:
    """The process of the receivers."""

    def __init__(self) -> None:
        self._file = tempfile.NamedTemporaryFile("r")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.hook_receivers", self._file.name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def url(self, path: str, number: int = 0) -> str:
        """Return the address of a receiver; each number has an address of its own."""
        return f"http://127.0.{number // 250}.{number % 250 + 1}:{self.port}/{path}"

    def rows(self) -> Iterator[list[Any]]:
        """Yield what came since the last call, which was read to its end."""
        httpx.get(self.url("report"), timeout=60, trust_env=False)
        yield from map(json.loads, self._file)

    def forget(self) -> None:
        """Leave out what came so far."""
        for _ in self.rows():
            pass

    def messages(self) -> int:
        """Return how many messages came, each counted once."""
        return int(httpx.get(self.url("count"), timeout=60, trust_env=False).text)

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._file.close()


class Notified:
    """An engine with webhooks and a notifier in this process."""

    def __init__(self, folder: Path) -> None:
        self.plane = MemoryControlPlane(Policy(webhooks_per_user_max=WEBHOOKS_MAX))
        self.owner = add_user(self.plane, "owner", "a password", ["admin"])
        self.sender = Sender(Allowed((ip_network("127.0.0.0/8"),), True))
        self._folder = folder

    def hook(self, url: str) -> None:
        """Create a webhook for `task.created`."""
        self.plane.give(
            CreateWebhook(url=url, filter=FILTER, secret=SECRET, signing_secret=SIGNING_SECRET), self.owner
        )

    def submit(self, count: int) -> None:
        """Commit so many events."""
        self.plane.give(SubmitTasks((TASK,) * count), self.owner)

    async def after(self, cursor: int, limits: BatchLimits, wait_s: float) -> Batch:
        """Return new facts: followers.feed.Feed."""
        return await self.plane.events(cursor, limits.facts_max, SYSTEM, wait_s, abouts=True)

    @contextlib.asynccontextmanager
    async def notifier(
        self, send_s_max: float = SEND_S_MAX, desk: Desk | None = None
    ) -> AsyncIterator[Notifying]:
        """Run a notifier."""
        path = self._folder / "outbox.sqlite"
        made = Notifying(
            self.plane, desk or PlaneDesk(self.plane), self.sender.post, path, send_s_max=send_s_max
        )
        await made.begin()
        collect_less_often()
        following = Following("webhooks", made, self, BatchLimits(1000))
        works = (following.step, made.catch_up, made.read_unread, made.send, made.care_soon)
        tasks = [asyncio.create_task(_for_ever(work)) for work in works]
        try:
            yield made
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await made.stop()
            await self.sender.aclose()


async def _for_ever(work: Callable[[], Awaitable[object]]) -> None:
    while True:
        await work()


def run(scale: Scale) -> Report:
    """Measure all of it."""
    events = EVENTS
    receiving, hanging = Receiving(), Receiving()
    try:
        ours, plain, stock = [], [], []
        for _ in range(ALTERNATIONS * scale.rounds):
            stock.append(asyncio.run(_stock(receiving, events)))
            plain.append(asyncio.run(_plain(receiving, events)))
            ours.append(asyncio.run(_through(receiving, events)))
        arrival = [asyncio.run(_arrival(receiving, 200)) for _ in range(scale.rounds)]
        alone, beside = [], []
        for _ in range(scale.rounds):
            alone.append(asyncio.run(_healthy(receiving, hanging, 0)))
            beside.append(asyncio.run(_healthy(receiving, hanging, 900)))
    finally:
        receiving.close()
        hanging.close()
    ratio = statistics.median(a / b for a, b in zip(ours, plain, strict=True))
    raised = statistics.median(a / b for a, b in zip(beside, alone, strict=True)) - 1
    lines = (
        Line(
            "events in a second of CPU through one notifier", Series("notifier", "/s", tuple(ours)),
            Series("plain loop", "/s", tuple(plain)), Goal(f">= {RATIO_MIN} x the loop", ratio >= RATIO_MIN),
        ),
        Line(
            "events in a second of CPU through one notifier", Series("notifier", "/s", tuple(ours)),
            Series("plain loop of httpcore's pool", "/s", tuple(stock)), None,
        ),
        Line(
            "commit to arrival, p50", Series("p50", "ms", tuple(arrival)), None,
            Goal(f"<= {ARRIVAL_MS_MAX:g} ms", statistics.median(arrival) <= ARRIVAL_MS_MAX),
        ),
        Line(
            "p99 to 100 receivers beside 900 that hang", Series("beside", "ms", tuple(beside)),
            Series("alone", "ms", tuple(alone)), Goal(f"raised < {RAISED_MAX:.0%}", raised < RAISED_MAX),
        ),
    )  # fmt: skip
    notes = (
        f"{events:,} events to one receiver; the receivers are a process of their own, on loopback",
        f"receivers that hang are another process; {HEALTHY_EVENTS} events, one each {PACE_HEALTHY_S} s",
    )
    return Report(NAME, "webhooks through one notifier", lines, notes)


BODY = b'{"data":{},"event":"task.created","signature":"","timestamp":"2025-11-07T11:00:00Z"}'


def _headers() -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "User-Agent": "plain",
        "helix-event": "task.created",
        "helix-number": "1",
        "helix-try": "1",
        **signed_headers(BODY, "msg_1", int(time.time()), SECRET, [SIGNING_SECRET]),
    }


async def _plain(receiving: Receiving, events: int) -> float:
    """Return requests in a second of CPU of a loop of the client, as many at once as the notifier sends."""
    sender = Sender(Allowed((ip_network("127.0.0.0/8"),), True))
    url, headers = receiving.url("ok/probe"), _headers()

    async def send() -> None:
        outcome = await sender.post(url, BODY, headers, timeout_s=SEND_S_MAX)
        assert outcome.failure is None, outcome

    try:
        return await _in_loops(send, events)
    finally:
        await sender.aclose()


async def _stock(receiving: Receiving, events: int) -> float:
    """Return the same of the library below it as it comes, which checks neither addresses nor sizes."""
    url, headers = receiving.url("ok/probe"), [*_headers().items()]
    async with httpcore.AsyncConnectionPool() as pool:

        async def send() -> None:
            answer = await pool.request("POST", url, headers=headers, content=BODY)
            assert answer.status == 200, answer

        return await _in_loops(send, events)


async def _in_loops(send: Callable[[], Awaitable[None]], events: int) -> float:
    async def loop() -> None:
        for _ in range(events // YOUNG_MAX):
            await send()

    began = time.process_time()
    await asyncio.gather(*(loop() for _ in range(YOUNG_MAX)))
    return events // YOUNG_MAX * YOUNG_MAX / (time.process_time() - began)


async def _through(receiving: Receiving, events: int) -> float:
    """Return events in a second of CPU of the notifier, which has a backlog and reads the journal."""
    with tempfile.TemporaryDirectory() as folder:
        notified = Notified(Path(folder))
        notified.hook(receiving.url("ok/probe"))
        for before in range(0, events, 1000):
            notified.submit(min(1000, events - before))
        async with notified.notifier() as notifying:
            began, cpu = time.perf_counter(), time.process_time()
            while notifying.courier.tally.delivered < events:
                _in_time(began)
                await asyncio.sleep(0.01)
            return events / (time.process_time() - cpu)


async def _arrival(receiving: Receiving, events: int) -> float:
    """Return the median of milliseconds from a commit to its arrival."""
    receiving.forget()
    with tempfile.TemporaryDirectory() as folder:
        notified = Notified(Path(folder))
        notified.hook(receiving.url("ok/arrival"))
        committed = []
        async with notified.notifier() as notifying:
            for _ in range(events):
                committed.append(time.time())
                notified.submit(1)
                await asyncio.sleep(PACE_S)
            began = time.perf_counter()
            while notifying.courier.tally.delivered < events:
                _in_time(began)
                await asyncio.sleep(0.01)
    arrived = {number: at for path, _, number, _, at, *_ in receiving.rows() if path == "/ok/arrival"}
    return 1000.0 * float(statistics.median(arrived[n] - at for n, at in enumerate(committed, 1)))


async def _healthy(receiving: Receiving, hanging: Receiving, count: int) -> float:
    """Return the p99 in milliseconds from commit to arrival at 100 receivers beside so many that hang."""
    events = HEALTHY_EVENTS
    receiving.forget()
    with tempfile.TemporaryDirectory() as folder:
        notified = Notified(Path(folder))
        for number in range(100):
            notified.hook(receiving.url(f"ok/{number}", number))
        for number in range(count):
            notified.hook(hanging.url("hang", 100 + number))
        committed = []
        async with notified.notifier() as notifying:
            for _ in range(events):
                committed.append(time.time())
                notified.submit(1)
                await asyncio.sleep(PACE_HEALTHY_S)
            began = time.perf_counter()
            while notifying.courier.tally.delivered < 100 * events:
                _in_time(began)
                await asyncio.sleep(0.01)
    # The first event opens the connections.
    late = sorted(at - committed[number - 1] for _, _, number, _, at, *_ in receiving.rows() if number > 1)
    return 1000.0 * float(late[int(len(late) * 0.99)])


def _in_time(began: float) -> None:
    if time.perf_counter() - began > DEADLINE_S:
        raise TimeoutError("the messages were not delivered in time")
