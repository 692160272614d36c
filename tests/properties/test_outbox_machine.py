"""Whatever happens, every webhook gets what it wants: nothing is lost or invented, and only what was under
way at a kill comes twice.

The journal is a list of facts, time is a number, receivers are the machine's choice. A kill closes the file
without storing how the requests under way ended. A lost file goes on from the marks that were noted.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from helix_ray.webhooks import dropping, marking
from helix_ray.webhooks.deliveries import Again
from helix_ray.webhooks.messages import (
    DELIVERED,
    FAILED,
    START,
    STATES,
    WAITING,
    HookMessage,
    Mark,
    Match,
    Settled,
    Try,
)
from helix_ray.webhooks.outbox import HookOutbox
from helix_ray.webhooks.schedule import TRIES_MAX, verdict

EVENTS = ("a", "b", "c")
WAITING_MAX = 6
VERDICTS = {"delivered": DELIVERED, "waiting": WAITING, "failed": FAILED}


class Hook:
    """A webhook of the model: what it wants, and what it got."""

    def __init__(self, events: frozenset[str], since: int) -> None:
        self.events = events
        self.since = since
        self.paused = False
        self.owed: set[int] = set()
        self.asked: set[int] = set()
        self.got: list[tuple[int, int]] = []
        self.doubles_max = 0
        self.gave_up: set[int] = set()
        self.mark = START


class OutboxMachine(RuleBasedStateMachine):
    """Facts, webhooks, kills and lost files in any order."""

    @initialize()
    def begin(self) -> None:
        self.portions = pytest.MonkeyPatch()
        self.portions.setattr(dropping, "ROWS_AT_ONCE", 2)
        self.portions.setattr(marking, "MARK_ROWS", 2)
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "outbox.sqlite"
        self.journal: list[str] = []
        self.hooks: dict[str, Hook] = {}
        self.names = 0
        self.deleted: list[str] = []
        self.now = 1_000.0
        self.sending: list[HookMessage] = []
        self.lost_files = 0
        self.open()
        self.outbox.begin_at(0)

    def open(self) -> None:
        self.outbox = HookOutbox(self.path, waiting_max=WAITING_MAX)

    def teardown(self) -> None:
        if not hasattr(self, "outbox"):
            return
        self.finish()
        self.outbox.close()
        self.folder.cleanup()
        self.portions.undo()

    # ------------------------------------------------------------------------------------------ the board

    @rule(events=st.frozensets(st.sampled_from(EVENTS), min_size=1))
    def create(self, events: frozenset[str]) -> None:
        self.names += 1
        name = f"webhook-{self.names}"
        self.hooks[name] = Hook(events, len(self.journal))
        self.outbox.add(name, Mark(len(self.journal), 0))

    @precondition(lambda self: self.hooks)
    @rule(data=st.data())
    def delete(self, data: Any) -> None:
        name = self.some(data)
        self.outbox.remove(name)
        del self.hooks[name]
        self.deleted.append(name)

    @precondition(lambda self: self.hooks)
    @rule(data=st.data())
    def pause(self, data: Any) -> None:
        name = self.some(data)
        self.hooks[name].paused = True
        self.outbox.hold(name)

    @precondition(lambda self: any(hook.paused for hook in self.hooks.values()))
    @rule(data=st.data(), replay=st.booleans())
    def resume(self, data: Any, replay: bool) -> None:
        name = data.draw(st.sampled_from([name for name, hook in self.hooks.items() if hook.paused]))
        hook = self.hooks[name]
        hook.paused = False
        if not replay:
            # What is under way at the moment may still arrive.
            hook.since = len(self.journal)
            hook.owed &= hook.asked
            self.outbox.skip(name, hook.since)
        self.outbox.resumed(name)

    @rule()
    def drop_some(self) -> None:
        """One turn drops no more than it may."""
        counts, names = self.outbox.counts, [*self.hooks, *self.deleted]
        before = sum(counts(name)["dropped"] for name in names)
        self.outbox.drop_some(self.now)
        assert 0 <= sum(counts(name)["dropped"] for name in names) - before <= dropping.ROWS_AT_ONCE

    def drop_all(self) -> None:
        while self.outbox.drop_some(self.now) is not None:
            pass
        for name in self.deleted:
            assert self.rows(name)["waiting"] == self.rows(name)["sending"] == 0

    def rows(self, name: str) -> dict[str, int]:
        """The rows of a webhook in each state, one by one."""
        listed = self.outbox.deliveries.listed
        found = Counter(row.state for row in listed(name, None, None, 10_000))
        assert found == {
            state: count for state in STATES if (count := len(listed(name, state, None, 10_000)))
        }
        return dict.fromkeys(STATES, 0) | found

    def some(self, data: Any) -> str:
        return data.draw(st.sampled_from(sorted(self.hooks)))

    # ------------------------------------------------------------------------------------------ facts

    @rule(events=st.lists(st.sampled_from(EVENTS), min_size=1, max_size=5))
    def commit(self, events: list[str]) -> None:
        for event in events:
            self.journal.append(event)
            for hook in self.hooks.values():
                if event in hook.events:
                    hook.owed.add(len(self.journal))

    @rule(limit=st.integers(1, 7))
    def take(self, limit: int) -> None:
        before = self.outbox.cursor or 0
        after = min(len(self.journal), before + limit)
        found = {name: self.wanted(name, before, after) for name in self.hooks}
        self.outbox.take(
            after,
            {name: found[name] for name, hook in self.hooks.items() if found[name] and not hook.paused},
            {name: found[name] for name, hook in self.hooks.items() if hook.paused},
        )

    @rule(limit=st.integers(1, 7))
    def catch_up(self, limit: int) -> None:
        behind = {
            name: cursor for name, cursor in self.outbox.behind().items() if not self.hooks[name].paused
        }
        if not behind:
            return
        before = min(behind.values())
        after = min(self.outbox.cursor or 0, before + limit)
        late = [name for name, cursor in behind.items() if cursor < after]
        self.outbox.catch_up(after, {name: self.wanted(name, before, after) for name in late})

    @precondition(lambda self: self.hooks and self.journal)
    @rule(data=st.data())
    def send_again(self, data: Any) -> None:
        name = self.some(data)
        after = data.draw(st.integers(0, len(self.journal) - 1))
        through = data.draw(st.integers(after + 1, len(self.journal)))
        events = self.hooks[name].events
        found = [Match(seq, self.journal[seq - 1]) for seq in range(after + 1, through + 1)]
        found = [match for match in found if match.event in events]
        again = Again(name, len(self.journal) * 1000 + after, after, through)
        self.outbox.deliveries.ask(again)
        self.outbox.send_again(again, through, found)
        hook = self.hooks[name]
        hook.asked.update(match.seq for match in found)
        hook.owed.update(match.seq for match in found)
        hook.gave_up -= {match.seq for match in found}
        hook.doubles_max += len(found)

    def wanted(self, name: str, before: int, after: int) -> list[Match]:
        hook = self.hooks[name]
        return [
            Match(seq, self.journal[seq - 1])
            for seq in range(before + 1, after + 1)
            if seq > hook.since and self.journal[seq - 1] in hook.events
        ]

    # ------------------------------------------------------------------------------------------ sending

    @rule(data=st.data())
    def send(self, data: Any) -> None:
        claimed = [
            message
            for name, hook in self.hooks.items()
            if not (hook.paused or name in self.outbox.drops)
            for message in self.outbox.due(name, self.now, 4)
        ]
        self.sending += self.outbox.turn([], claimed[: data.draw(st.integers(0, 6))], {})

    @rule(data=st.data())
    def end(self, data: Any) -> None:
        ending, self.sending = self.sending[:3], self.sending[3:]
        self.settle(ending, [data.draw(st.booleans()) for _ in ending])

    def settle(self, ending: list[HookMessage], successes: list[bool]) -> None:
        settled = []
        for message, success in zip(ending, successes, strict=True):
            hook = self.hooks.get(message.hook)
            if hook is not None and success:
                hook.got.append((message.seq, message.number or 0))
            found = verdict(200 if success else 500, message.tries + 1, self.now, 0.5)
            if hook is not None and found.state == "failed":
                hook.gave_up.add(message.seq)
            made = Try(self.now, message.tries + 1, 0.1, 200 if success else 500, None, "")
            settled.append(Settled(message, VERDICTS[found.state], found.again_at or self.now, None, made))
        self.outbox.turn(settled, [], {})

    @rule(seconds=st.sampled_from([1.0, 5.0, 400.0, 90_000.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    # ------------------------------------------------------------------------------------------ disasters

    @rule(data=st.data())
    def kill(self, data: Any) -> None:
        self.die(data)
        self.open()
        for name, hook in self.hooks.items():
            self.outbox.skip(name, hook.since)

    @rule(names=st.booleans())
    def note(self, names: bool) -> None:
        for name, hook in self.hooks.items():
            found = None
            while found is None:
                found = self.outbox.mark(name)
            hook.mark = max(hook.mark, found)

    @rule(data=st.data())
    def lose_the_file(self, data: Any) -> None:
        self.die(data)
        for path in Path(self.folder.name).iterdir():
            path.unlink()
        self.lost_files += 1
        self.open()
        marks = {name: max(Mark(hook.since, 0), hook.mark) for name, hook in self.hooks.items()}
        self.outbox.begin_at(min((mark.through for mark in marks.values()), default=len(self.journal)))
        for name, hook in self.hooks.items():
            # What was asked for, and what was skipped while it was under way, was only in the file.
            hook.owed -= {seq for seq in hook.owed if seq <= marks[name].through}
            hook.gave_up.clear()
            hook.asked.clear()
            hook.doubles_max += len(hook.got)
            self.outbox.add(name, marks[name])

    def die(self, data: Any) -> None:
        """End the process: some of the requests under way arrived, and nobody stored it."""
        for message in self.sending:
            hook = self.hooks.get(message.hook)
            if hook is not None and data.draw(st.booleans()):
                hook.got.append((message.seq, message.number or 0))
                hook.doubles_max += 1
        self.sending = []
        self.outbox.close()

    # ------------------------------------------------------------------------------------------ claims

    @invariant()
    def counts_are_true(self) -> None:
        if not hasattr(self, "outbox"):
            return
        for name, place in self.outbox.places.items():
            assert self.outbox.counts(name) == self.rows(name), name
            hook = self.hooks[name]
            assert place.waiting <= WAITING_MAX + 7 + hook.doubles_max + len(hook.asked)
        for name in self.deleted:
            kept = self.rows(name)
            assert self.outbox.deliveries.ended(name) == {
                state: kept[state] for state in ("delivered", "failed", "dropped") if kept[state]
            }

    def finish(self) -> None:
        """Let all receivers work, and check what each webhook has got in the end."""
        for hook in self.hooks.values():
            hook.paused = False
        self.drop_all()
        for _ in range(40 + 4 * len(self.journal)):
            self.settle(self.sending, [True] * len(self.sending))
            self.now += 100_000.0
            self.take(1_000)
            self.catch_up(1_000)
            claimed = [m for name in self.hooks for m in self.outbox.due(name, self.now, 32)]
            self.sending = self.outbox.turn([], claimed, {})
            if not claimed and not self.outbox.behind():
                break
        assert self.outbox.waiting == 0
        for name, hook in self.hooks.items():
            got = Counter(seq for seq, _ in hook.got)
            assert hook.owed - hook.gave_up <= set(got), f"{name} lost something"
            unwanted = [seq for seq in got if self.journal[seq - 1] not in hook.events]
            assert not unwanted, f"{name} got what it does not want"
            assert got.total() - len(got) <= hook.doubles_max, f"{name} got more twice than was under way"
            if not self.lost_files:
                numbers = dict(hook.got)
                assert len(set(hook.got)) == len(numbers), "a message had two numbers"
                rows = self.outbox.deliveries.listed(name, None, None, 10_000)
                tried = sorted(row.message.number for row in rows if row.message.number is not None)
                assert tried == list(range(1, self.outbox.places[name].number + 1))


OutboxMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestOutbox = OutboxMachine.TestCase


def test_a_message_is_tried_for_three_days() -> None:
    """The ten tries follow the published schedule, with jitter of a fifth; then the message has failed."""
    pauses = []
    for tries in range(1, TRIES_MAX):
        least, most = (verdict(500, tries, 0.0, chance).again_at or 0.0 for chance in (0.0, 1.0))
        assert most == 1.5 * least or abs(most / least - 1.5) < 1e-9
        pauses.append((least + most) / 2)
    assert [round(pause, 6) for pause in pauses] == [
        5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0,
    ]  # fmt: skip
    assert verdict(500, TRIES_MAX, 0.0, 0.5).state == "failed"
