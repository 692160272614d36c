"""Webhooks while their notifier is killed every few seconds, and a third of the receivers behave badly.

The engine is in this process. Each notifier is a fork of it, so it has the whole journal, and only the outbox
outlives it. Events are committed between the kills. Every message is then compared with the journal: its id,
its number and its signatures, which the library `standardwebhooks` verifies.

No sender knows whether a receiver has got what it was answering at a kill, so that is sent again. How much it
is follows from how long receivers took and how often there was a kill; it is the anchor of what came twice.
What was answered before the kill and came twice all the same is the notifier's own part.
"""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import tempfile
import time
from bisect import bisect
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.report import Goal, Line, Report, Series
from benchmarks.scale import Scale
from benchmarks.webhooks import Notified, Receiving
from helix_ray.core import events as ev
from helix_ray.webhooks.desk import PlaneDesk
from helix_ray.webhooks.messages import Mark
from helix_ray.webhooks.signing import message_id

NAME = "webhook_chaos"
RECEIVERS = 20
BAD = ("fail", "hang", "redirect", "reset", "slow", "half", "fail")
TWICE_MAX = 0.001
LIVES_S = (3.0, 4.0, 5.0)
SEND_S_MAX = 1.5
BATCH_EVENTS = 1000
# A line says how far it is, after so many kills.
TOLD_KILLS = 20
# Bounds the run where something is never delivered.
SILENT_S_MAX = 60.0


class ForkedDesk(PlaneDesk):
    """A desk in a fork, whose own facts would take the places of those that the benchmark commits next."""

    async def note(self, marks: Mapping[str, Mark]) -> None:
        """Note nothing: only who loses the outbox needs marks."""


def run(scale: Scale) -> Report:
    """Deliver so many messages, and count what is wrong with them."""
    events = scale.webhook_chaos_events
    receiving = Receiving()
    try:
        with tempfile.TemporaryDirectory() as folder:
            notified = Notified(Path(folder))
            for number in range(RECEIVERS):
                how = f"flaky/{BAD[number]}" if number < len(BAD) else "ok"
                notified.hook(receiving.url(f"{how}/{number}", number))
            killed_at = _delivered(notified, receiving, events)
            rows = receiving.rows()
    finally:
        receiving.close()
    return _report(_wrong(notified, rows, killed_at), events, len(killed_at))


def _delivered(notified: Notified, receiving: Receiving, events: int) -> list[float]:
    """Commit events, kill notifiers until everything has arrived, and return the times of the kills."""
    killed_at: list[float] = []
    left, came, last = events, 0, time.monotonic()
    while came < events * RECEIVERS and time.monotonic() - last < SILENT_S_MAX:
        if left:
            notified.submit(min(left, BATCH_EVENTS))
            left -= min(left, BATCH_EVENTS)
        process = os.fork()
        if process == 0:
            _notify(notified)
        time.sleep(LIVES_S[len(killed_at) % len(LIVES_S)])
        killed_at.append(time.time())
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        before, came = came, receiving.messages()
        if came > before:
            last = time.monotonic()
        if len(killed_at) % TOLD_KILLS == 0:
            print(f"{came:,} of {events * RECEIVERS:,} messages, {len(killed_at)} kills", flush=True)
    return killed_at


def _notify(notified: Notified) -> None:
    """Deliver until this process is killed."""

    async def work() -> None:
        async with notified.notifier(SEND_S_MAX, ForkedDesk(notified.plane)):
            await asyncio.Event().wait()

    try:
        asyncio.run(work())
    finally:
        os._exit(1)


def _wrong(notified: Notified, rows: list[list[Any]], killed_at: list[float]) -> Counter[str]:
    """Count what was lost, came twice, or had another id, number or signature than it should."""
    facts = _facts(notified)
    seqs = [fact.seq for fact in facts if isinstance(fact.event, ev.TaskSubmitted)]
    hooks = [fact.event.id for fact in facts if isinstance(fact.event, ev.WebhookCreated)]
    ids = {
        message_id(hook, seq): (place, number)
        for place, hook in enumerate(hooks)
        for number, seq in enumerate(seqs, 1)
    }
    found: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    with_receivers_s = 0.0
    answered_at: dict[str, float] = {}
    for path, name, number, _, arrived, verified, answered_s in rows:
        with_receivers_s += answered_s
        seen[name] += 1
        if seen[name] > 1:
            found["twice_slow"] += path.startswith("/flaky/slow/")
            found["twice_answered"] += bisect(killed_at, answered_at[name]) < bisect(killed_at, arrived)
        answered_at[name] = arrived + answered_s
        if name not in ids:
            found["invented"] += 1
        elif ids[name] != (int(path.rsplit("/", 1)[1]), number):
            found["misnumbered"] += 1
        if not verified:
            found["unverified"] += 1
    found["lost"] = len(ids.keys() - seen.keys())
    found["twice"] = sum(count - 1 for count in seen.values())
    found["messages"] = len(ids)
    found["answered_at_kills"] = round(with_receivers_s / statistics.mean(LIVES_S))
    return found


def _facts(notified: Notified) -> list[ev.Fact]:
    engine = notified.plane.engine
    found: list[ev.Fact] = []
    while (page := engine.facts(found[-1].seq if found else 0, BATCH_EVENTS)).facts:
        found += page.facts
    return found


def _report(found: Counter[str], events: int, kills: int) -> Report:
    total = found["messages"]

    def line(what: str, count: int, goal: str, is_met: bool) -> Line:
        return Line(what, Series(what, "", (float(count),)), None, Goal(goal, is_met))

    wrong = {name: found[name] for name in ("lost", "invented", "misnumbered", "unverified")}
    again = found["twice_answered"]
    unknown = found["answered_at_kills"]
    lines = (
        *(line(f"messages {name}", count, "0", count == 0) for name, count in wrong.items()),
        Line(
            "messages sent again", Series("sent again", "", (float(found["twice"]),)),
            Series("being answered at a kill", "", (float(unknown),)),
            Goal(f"<= {TWICE_MAX:.1%}", found["twice"] <= TWICE_MAX * total),
        ),
        line("of them answered before the kill", again, f"<= {TWICE_MAX:.1%}", again <= TWICE_MAX * total),
    )  # fmt: skip
    notes = (
        f"{events:,} events to {RECEIVERS} receivers ({total:,} messages), of which {len(BAD)} behave badly; "
        f"the notifier was killed {kills} times",
        f"{found['twice'] / total:.2%} were sent again, {found['twice_slow']:,} of them to the slow receiver",
        f"{again / total:.3%} were answered before the kill and sent again",
    )
    return Report(NAME, "webhooks while their notifier is killed", lines, notes)
