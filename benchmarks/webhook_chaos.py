"""Webhooks while their notifier is killed every few seconds, and a third of the receivers behave badly.

The engine is in this process. Each notifier is a fork of it, so it has the whole journal, and only the outbox
outlives it. Events are committed between the kills. Every message is then compared with the journal: its id,
its number and its signatures, which the library `standardwebhooks` verifies.

What comes twice has two parts. What was answered before the kill and is sent again is the notifier's own. No
sender knows whether a receiver has got what it was answering at a kill, so that is sent again as well: of all
messages the time that receivers take for an answer, divided by the time between kills. One of 20 receivers is
slow, 100 ms for a quarter of its messages, so the mean answer takes at least 1.25 ms; a kill each 4 s makes
0.03 % of that. (At 150 ms for each message of that receiver it would be 0.19 %, whatever the sender does.)
"""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import tempfile
import time
from array import array
from bisect import bisect
from collections import Counter
from collections.abc import Iterable, Mapping
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
TWICE_MAX, OWN_TWICE_MAX = 0.001, 0.0005
LIVES_S = (3.0, 4.0, 5.0)
SEND_S_MAX = 1.5
BATCH_EVENTS = 1000
# Events are committed as they are delivered: so many wait for the mean receiver.
AHEAD_EVENTS = 5000
# What was answered so long before a kill should have been noted: something held the notifier's loop.
LATE_S = 0.01
# A line says how far it is, after so many kills.
TOLD_KILLS = 10
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
            found = _wrong(notified, receiving.rows(), killed_at)
    finally:
        receiving.close()
    return _report(found, events, len(killed_at))


def _delivered(notified: Notified, receiving: Receiving, events: int) -> list[float]:
    """Commit events, kill notifiers until everything has arrived, and return the times of the kills."""
    killed_at: list[float] = []
    left, came, began = events, 0, time.monotonic()
    last, benchmark = began, os.getpid()
    while came < events * RECEIVERS and time.monotonic() - last < SILENT_S_MAX:
        if left and events - left - came // RECEIVERS < AHEAD_EVENTS:
            notified.submit(min(left, BATCH_EVENTS))
            left -= min(left, BATCH_EVENTS)
        process = os.fork()
        if process == 0:
            _notify(notified, benchmark)
        time.sleep(LIVES_S[len(killed_at) % len(LIVES_S)])
        killed_at.append(time.time())
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        before, came = came, receiving.messages()
        if came > before:
            last = time.monotonic()
        if len(killed_at) % TOLD_KILLS == 0:
            passed_s = time.monotonic() - began
            so_far = f"{came:,} of {events * RECEIVERS:,} messages in {passed_s:.0f} s"
            print(f"{so_far}, {came / passed_s:,.0f}/s, {len(killed_at)} kills", flush=True)
    return killed_at


def _notify(notified: Notified, parent: int) -> None:
    """Deliver until this process is killed, or the benchmark was."""

    async def work() -> None:
        async with notified.notifier(SEND_S_MAX, ForkedDesk(notified.plane)):
            while os.getppid() == parent:
                await asyncio.sleep(1)

    try:
        asyncio.run(work())
    finally:
        os._exit(1)


def _wrong(notified: Notified, rows: Iterable[list[Any]], killed_at: list[float]) -> Counter[str]:
    """Count what was lost, came twice, or had another id, number or signature than it should."""
    facts = _facts(notified)
    seqs = [fact.seq for fact in facts if isinstance(fact.event, ev.TaskSubmitted)]
    hooks = [fact.event.id for fact in facts if isinstance(fact.event, ev.WebhookCreated)]
    found: Counter[str] = Counter()
    # When each message was answered, by receiver and number; 0 for those that have not come.
    answered_at = [array("d", bytes(8 * len(seqs))) for _ in hooks]
    with_receivers_s = 0.0
    for path, name, number, _, arrived, verified, answered_s in rows:
        place = int(path.rsplit("/", 1)[1])
        found["unverified"] += not verified
        with_receivers_s += answered_s
        if not (1 <= number <= len(seqs) and name == message_id(hooks[place], seqs[number - 1])):
            is_known = any(name == message_id(hook, seq) for hook in hooks for seq in seqs)
            found["misnumbered" if is_known else "invented"] += 1
            continue
        before = answered_at[place][number - 1]
        if before:
            found["twice"] += 1
            found["twice_slow"] += path.startswith("/flaky/slow/")
            kill = bisect(killed_at, before)
            if kill < bisect(killed_at, arrived):
                found["twice_answered"] += 1
                found["twice_late"] += killed_at[kill] - before > LATE_S
        answered_at[place][number - 1] = arrived + answered_s
    found["lost"] = sum(each.count(0.0) for each in answered_at)
    found["messages"] = len(seqs) * len(hooks)
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
    own = found["twice_answered"]
    others = found["twice"] - own
    law = Series("time of answers / time between kills", "", (float(found["answered_at_kills"]),))
    lines = (
        *(line(f"messages {name}", count, "0", count == 0) for name, count in wrong.items()),
        line(
            "messages sent again", found["twice"], f"<= {TWICE_MAX:.2%}", found["twice"] <= TWICE_MAX * total
        ),
        line(
            "of them answered before the kill", own, f"<= {OWN_TWICE_MAX:.2%}", own <= OWN_TWICE_MAX * total
        ),
        Line("of them being answered at the kill", Series("sent again", "", (float(others),)), law, None),
    )
    notes = (
        f"{events:,} events to {RECEIVERS} receivers ({total:,} messages), of which {len(BAD)} behave badly; "
        f"the notifier was killed {kills} times",
        f"{found['twice'] / total:.3%} were sent again, {found['twice_slow']:,} to the slow receiver: "
        f"{own / total:.3%} were answered before the kill "
        f"({found['twice_late']:,} by more than {LATE_S * 1000:g} ms), "
        f"{others / total:.3%} were being answered at it",
    )
    return Report(NAME, "webhooks while their notifier is killed", lines, notes)
