"""The outbox: which message each webhook is still to get, and how far the journal was read for it.

The journal is the truth; this file only says how far it was followed. Every webhook has a cursor:

    level        its cursor is the outbox's: facts become messages as they come
    behind       it has an older cursor: it was just created or resumed, or has too many messages waiting;
                 the journal is read again for it (catching_up.py) until it is level
    held         paused or switched off: its cursor stands, and what it would have got is counted

So no webhook needs more than `waiting_max` rows that wait, whatever happens to it, and all of them together
hardly more than `all_waiting_max`: beyond it each has WAITING_FEW. A lost file costs nothing: each webhook
goes on behind the last mark in the journal (NoteDeliveries). What was delivered after the mark is
then delivered again, with the same id and number.

A message gets its number with its first try. Everything that belongs together is one transaction, or one line
of the turns that transactions begin with (send_turns.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from itertools import islice
from pathlib import Path

from helix_ray.webhooks.deliveries import Again, Deliveries
from helix_ray.webhooks.dropping import DELETED, SKIPPED, Drop, Drops
from helix_ray.webhooks.due_clock import ClockPlace
from helix_ray.webhooks.marking import mark_of
from helix_ray.webhooks.messages import (
    DROPPED,
    SENDING,
    STATES,
    WAITING,
    HookMessage,
    HookPlace,
    Mark,
    Match,
    Matches,
    Settled,
    Standing,
)
from helix_ray.webhooks.outbox_file import TABLES, checkpoint, opened
from helix_ray.webhooks.send_turns import SendTurns

# What may wait of one webhook where too much waits of all of them.
WAITING_FEW = 1_000
# To read past more messages that have ended already costs more than to store that they have.
PASSED_MAX = 64


class HookOutbox:
    """The messages of all webhooks; for one thread. Methods raise sqlite3.Error, and change nothing then."""

    def __init__(self, path: Path, *, waiting_max: int, all_waiting_max: float = math.inf) -> None:
        self._path = path
        self._waiting_max = waiting_max
        self._all_waiting_max = all_waiting_max
        # Some webhooks have messages beyond the cursor.
        self.is_between = False
        self._con = opened(path)
        try:
            self._turns = SendTurns(self._con, path)
            # Messages that were being sent wait again: nobody knows whether they arrived.
            self._con.execute("UPDATE messages SET state = 0 WHERE state = 1")
        except BaseException:
            self._con.close()
            raise
        self._deliveries = Deliveries(self._con)
        # Nothing is sent to a webhook while messages of it are still to be dropped.
        self.drops = Drops(self._con)
        row = self._con.execute("SELECT ahead_s, seen_at FROM clock").fetchone()
        # Where the clock of what is due was.
        self.clock = ClockPlace(*row) if row else ClockPlace()
        row = self._con.execute("SELECT cursor FROM place").fetchone()
        self._cursor: int | None = None if row is None else row[0]
        self.places: dict[str, HookPlace] = {
            row[0]: HookPlace(row[1], row[2], row[3], Standing(row[4], row[5]))
            for row in self._con.execute(
                "SELECT id, cursor, number, held, failing_since, quiet_until FROM hooks"
            )
        }
        counted = "SELECT hook, count(*) FROM messages WHERE state = 0 GROUP BY hook"
        for hook, waiting in self._con.execute(counted):
            if hook in self.places:
                self.places[hook].waiting = waiting
            else:
                self.drops.add(Drop(hook, DELETED))

    @property
    def cursor(self) -> int | None:
        """The seq up to which facts have become messages; None in a new file."""
        return self._cursor

    @property
    def waiting(self) -> int:
        """How many messages wait, of all webhooks."""
        return sum(place.waiting for place in self.places.values())

    @property
    def most(self) -> int:
        """How many messages of one webhook may wait."""
        return (
            self._waiting_max
            if self.waiting <= self._all_waiting_max
            else min(WAITING_FEW, self._waiting_max)
        )

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._turns.close()
        self._con.close()

    def checkpoint(self) -> None:
        """Write a large log of transactions into the file; for another thread. Raises sqlite3.Error."""
        checkpoint(self._path)

    @property
    def deliveries(self) -> Deliveries:
        """The log of messages, as of now. Raises sqlite3.Error."""
        self._turns.store()
        return self._deliveries

    # ------------------------------------------------------------------------------------------ webhooks

    def begin_at(self, cursor: int) -> None:
        """Follow the journal from a seq on, in a new file or with another journal."""
        with self._turns.stored():
            self._con.execute("INSERT OR REPLACE INTO place VALUES (1, ?)", (cursor,))
        self._cursor = cursor

    def note_clock(self, clock: ClockPlace) -> None:
        """Note where the clock of what is due is."""
        with self._turns.stored():
            self._con.execute("INSERT OR REPLACE INTO clock VALUES (1, ?, ?)", clock)
        self.clock = clock

    def counts(self, hook: str) -> dict[str, int]:
        """Return how many messages of a webhook are in each state, without counting: millions may be kept."""
        place = self.places.get(hook) or HookPlace(None)
        open_ones = {STATES[WAITING]: place.waiting, STATES[SENDING]: len(place.sending)}
        return dict.fromkeys(STATES, 0) | open_ones | self.deliveries.ended(hook)

    def begin_anew(self) -> None:
        """Forget everything: the journal is another one."""
        with self._turns.stored():
            for table in TABLES:
                self._con.execute(f"DELETE FROM {table}")
        self._cursor = None
        self.places.clear()
        self.drops.clear()

    def add(self, hook: str, mark: Mark) -> None:
        """Add a webhook that goes on behind a mark."""
        with self._turns.stored():
            self._con.execute(
                "INSERT INTO hooks VALUES (?, ?, ?, 0, NULL, 0)", (hook, mark.through, mark.number)
            )
        self.places[hook] = HookPlace(mark.through, mark.number)

    def remove(self, hook: str) -> None:
        """Forget a deleted webhook; drop_some() then drops its messages."""
        with self._turns.stored():
            self._con.execute("DELETE FROM hooks WHERE id = ?", (hook,))
            self._con.execute("DELETE FROM again WHERE hook = ?", (hook,))
        self.places.pop(hook, None)
        self.drops.add(Drop(hook, DELETED))

    def skip(self, hook: str, through: int) -> None:
        """Go on behind a seq for a webhook; drop_some() then drops what waits up to there."""
        place = self.places[hook]
        if place.cursor is not None and place.cursor < through:
            with self._turns.stored():
                self._con.execute("UPDATE hooks SET cursor = ?, held = 0 WHERE id = ?", (through, hook))
            place.cursor, place.held = through, 0
        if place.waiting:
            self.drops.add(Drop(hook, SKIPPED, through=through))

    def drop_some(self, now: float) -> str | None:
        """Drop the next messages that are to be; return their webhook, None where there are none."""
        drop = self.drops.next()
        if drop is None:
            return None
        with self._turns.stored():
            dropped, left = self.drops.carry_out(drop, now)
        self.drops.note(drop, left)
        if (place := self.places.get(drop.hook)) is not None:
            place.waiting -= dropped
        return drop.hook

    def hold(self, hook: str) -> None:
        """Let the cursor of a webhook stand where it is."""
        place = self.places[hook]
        if place.cursor is None:
            with self._turns.stored():
                self._con.execute("UPDATE hooks SET cursor = ? WHERE id = ?", (self._cursor, hook))
            place.cursor = self._cursor

    # ------------------------------------------------------------------------------------------ facts

    def take_first(self, matches: Matches) -> list[str]:
        """Take what level webhooks want of facts to which take() moves afterwards; return those that have got
        it.

        After a kill in between, the same facts are taken again, and what is there already stays as it is.
        """
        places, most = self.places, self.most
        level = {
            hook: found
            for hook, found in matches.items()
            if hook in places and places[hook].cursor is None and places[hook].waiting + len(found) <= most
        }
        with self._turns.stored():
            added = self._insert(level)
        self.is_between = True
        return self._counted(added)

    def take(self, cursor: int, matches: Matches, held: Matches) -> list[str]:
        """Move to a cursor: what level webhooks want becomes messages, what held ones would get is counted.

        Return the webhooks that have messages to send. One with too many waiting falls behind.
        """
        before = self._cursor or 0
        wanted = {hook: self._ahead(hook, found) for hook, found in matches.items() if self._is_here(hook)}
        most = self.most
        full = [hook for hook, found in wanted.items() if self.places[hook].waiting + len(found) > most]
        moved = dict.fromkeys(full, before) | {
            hook: None
            for hook, place in self.places.items()
            if place.cursor is not None and before <= place.cursor <= cursor and hook not in held
        }
        for hook in full:
            moved[hook] = max(before, self.places[hook].cursor or 0)
            del wanted[hook]
        counts = {hook: len(self._ahead(hook, found)) for hook, found in held.items()}
        with self._turns.stored():
            added = self._insert(wanted)
            self._move(moved)
            self._con.executemany(
                "UPDATE hooks SET held = held + ? WHERE id = ?",
                [(count, hook) for hook, count in counts.items() if count],
            )
            self._con.execute("INSERT OR REPLACE INTO place VALUES (1, ?)", (cursor,))
        self._cursor = cursor
        self.is_between = False
        for hook, to in moved.items():
            self.places[hook].cursor = to
        for hook, count in counts.items():
            self.places[hook].held += count
        return self._counted(added)

    def behind(self) -> dict[str, int]:
        """Return the cursors of the webhooks that are behind and have room for more messages."""
        before, half = self._cursor or 0, self.most // 2
        return {
            hook: place.cursor
            for hook, place in self.places.items()
            if place.cursor is not None and place.cursor < before and place.waiting <= half
        }

    def catch_up(self, through: int, matches: Matches) -> list[str]:
        """Take what webhooks that are behind want up to a seq; one that reaches the outbox's cursor is level.

        Return those that have messages to send.
        """
        wanted = {hook: self._ahead(hook, found) for hook, found in matches.items() if hook in self.places}
        cursor = None if through >= (self._cursor or 0) else through
        with self._turns.stored():
            added = self._insert(wanted)
            self._move(dict.fromkeys(wanted, cursor))
        for hook in wanted:
            self.places[hook].cursor = cursor
        return self._counted(added)

    def resumed(self, hook: str) -> None:
        """Forget how many messages were held: they are sent, or were skipped."""
        with self._turns.stored():
            self._con.execute("UPDATE hooks SET held = 0 WHERE id = ?", (hook,))
        self.places[hook].held = 0

    def send_again(self, again: Again, through: int, matches: Sequence[Match]) -> None:
        """Let messages be sent again because somebody asked, also ones that are finished."""
        self.places[again.hook].waiting += self.deliveries.moved(again, through, matches)

    def _is_here(self, hook: str) -> bool:
        place = self.places.get(hook)
        return place is not None and (place.cursor is None or place.cursor >= (self._cursor or 0))

    def _ahead(self, hook: str, found: Sequence[Match]) -> Sequence[Match]:
        after = self.places[hook].cursor
        return found if after is None else [match for match in found if match.seq > after]

    def _insert(self, matches: Matches) -> dict[str, int]:
        """Insert messages; return how many of each webhook are new."""
        rows = [(hook, match.seq, match.event) for hook, found in matches.items() for match in found]
        # A message that is there was asked for while its webhook was behind, or taken before the rest.
        insert = "INSERT OR IGNORE INTO messages VALUES (?, ?, ?, NULL, 0, 0, 0, 0, NULL, NULL)"
        if self._con.executemany(insert, rows).rowcount == len(rows):
            return {hook: len(found) for hook, found in matches.items() if found}
        counted = "SELECT count(*) FROM messages INDEXED BY due WHERE hook = ? AND state = 0"
        return {
            hook: self._con.execute(counted, (hook,)).fetchone()[0] - self.places[hook].waiting
            for hook, found in matches.items()
            if found
        }

    def _move(self, cursors: Mapping[str, int | None]) -> None:
        self._con.executemany(
            "UPDATE hooks SET cursor = ? WHERE id = ?", [(cursor, hook) for hook, cursor in cursors.items()]
        )

    def _counted(self, added: Mapping[str, int]) -> list[str]:
        for hook, count in added.items():
            self.places[hook].waiting += count
        return list(added)

    # ------------------------------------------------------------------------------------------ sending

    def due(self, hook: str, now: float, limit: int) -> list[HookMessage]:
        """Return messages of a webhook that are due: further tries, and first ones in the order of their
        facts."""
        if len(self._turns.ended(hook)) >= PASSED_MAX:
            self._turns.store()
        place = self.places.get(hook)
        unlike = self._turns.ended(hook) | (place.sending if place else set())
        again = self._messages(
            hook, "due_at > 0 AND due_at <= ? ORDER BY due_at, seq", now, limit // 2, unlike
        )
        return again + self._messages(hook, "due_at = ? ORDER BY seq", 0.0, limit - len(again), unlike)

    def _messages(self, hook: str, which: str, at: float, limit: int, unlike: Set[int]) -> list[HookMessage]:
        """Return messages that wait, without those that are otherwise in the tables than they are."""
        found = self._con.execute(
            "SELECT seq, event, number, tries FROM messages INDEXED BY due "
            f"WHERE hook = ? AND state = 0 AND {which} LIMIT ?",
            (hook, at, limit + len(unlike)),
        )
        return list(islice((HookMessage(hook, *row) for row in found if row[0] not in unlike), limit))

    def next_due_at(self, hook: str) -> float | None:
        """Return when the next message of a webhook is due (0: at once); None where none waits."""
        if self._turns.has_waiting(hook):
            self._turns.store()
        place = self.places.get(hook)
        unlike = self._turns.ended(hook) | (place.sending if place else set())
        found = self._con.execute(
            "SELECT seq, due_at FROM messages INDEXED BY due WHERE hook = ? AND state = 0 "
            "ORDER BY due_at LIMIT ?",
            (hook, len(unlike) + 1),
        )
        return next((float(due_at) for seq, due_at in found if seq not in unlike), None)

    def turn(
        self, settled: Sequence[Settled], claimed: Sequence[HookMessage], standings: Mapping[str, Standing]
    ) -> list[HookMessage]:
        """Note what became of messages and webhooks, and that other messages are being sent.

        Return those, with their numbers. Raises OSError as well.
        """
        places = self.places
        numbers: dict[str, int] = {}
        sending = []
        for message in claimed:
            hook, seq, event, number, tries = message
            before = numbers.get(hook)
            if before is None:
                before = numbers[hook] = places[hook].number
            if number is None:
                numbers[hook] = before + 1
                # `_replace` takes ten times as long.
                message = HookMessage(hook, seq, event, before + 1, tries)
            sending.append(message)
        if self._turns.are_many:
            self._turns.store()
        self._turns.note(settled, sending, numbers, standings)
        for hook, last in numbers.items():
            places[hook].number = last
        for hook in standings.keys() & places.keys():
            places[hook].standing = standings[hook]
        for message, state, *_ in settled:
            if (place := places.get(message.hook)) is not None:
                place.sending.discard(message.seq)
                # A dropped message was never claimed.
                place.waiting += (state == WAITING) - (state == DROPPED)
        for message in sending:
            place = places[message.hook]
            place.waiting -= 1
            place.sending.add(message.seq)
        return sending

    def mark(self, hook: str) -> Mark | None:
        """Return how far a webhook has got: everything up to there is delivered, failed or dropped. None
        while there are more messages to look at: then ask again."""
        self._turns.store()
        return mark_of(self._con, hook, self.places[hook], self._cursor or 0)
