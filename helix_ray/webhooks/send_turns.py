"""What became of messages since the outbox's last transaction: noted in a file beside it, one line a turn.

A turn ends some requests and begins others, up to thousands of times a second. A line costs a fraction of a
transaction and outlives a kill as well as one does. Many turns then go into the tables together. A line says
which transaction it follows, so lines that the tables have already are left out when they are read again.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from helix_ray.webhooks.ended_counts import add_ended
from helix_ray.webhooks.messages import DELIVERED, DROPPED, FAILED, WAITING, HookMessage, Settled, Standing
from helix_ray.webhooks.outbox_file import Transaction

ENDED = (DELIVERED, FAILED, DROPPED)
# What is stored together: beyond some hundred, transactions hardly become cheaper.
UNSTORED_MAX = 256
SUFFIX = "-turns"
# A response's beginning is bytes, and JSON has none.
BYTES_AS = "latin-1"


_STORE_END = (
    "UPDATE messages SET state = ?, due_at = ?, tries = ?, ended_at = ?, why = ?, number = ? "
    "WHERE hook = ? AND seq = ? AND state < 2"
)
_IS_STORED = (
    "SELECT 1 FROM messages WHERE state = ? AND due_at = ? AND tries = ? AND ended_at IS ? AND why IS ? "
    "AND number IS ? AND hook = ? AND seq = ?"
)


@dataclass(slots=True)
class _Unstored:
    """The rows that the tables are still to get: by webhook and seq, or by webhook."""

    ends: dict[tuple[str, int], Sequence[Any]] = field(default_factory=dict)
    begun: dict[tuple[str, int], int | None] = field(default_factory=dict)
    tries: list[tuple[Any, ...]] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    standings: dict[str, Sequence[float | None]] = field(default_factory=dict)
    ended: dict[str, set[int]] = field(default_factory=dict)
    # The webhooks of messages that wait for another try.
    waiting: set[str] = field(default_factory=set)
    is_any: bool = False

    def add(self, line: Sequence[Any]) -> None:
        """Add a turn as its line has it."""
        self.is_any = True
        ends, tries, begun, numbers, standings = line
        for end in ends:
            hook, seq, state = end[:3]
            self.begun.pop((hook, seq), None)
            self.ends[hook, seq] = end[2:]
            self.ended.setdefault(hook, set()).add(seq)
            if state == WAITING:
                self.waiting.add(hook)
        for hook, seq, number in begun:
            self.begun[hook, seq] = number
        self.tries += tries
        self.numbers.update(numbers)
        self.standings.update(standings)

    def store(self, con: sqlite3.Connection) -> None:
        """Bring the tables up to date."""
        rows = [(*row, *key) for key, row in self.ends.items()]
        if con.executemany(_STORE_END, rows).rowcount != len(rows):
            # A message of a deleted webhook stays dropped.
            rows = [row for row in rows if con.execute(_IS_STORED, row).fetchone()]
        add_ended(con, Counter((row[6], row[0]) for row in rows if row[0] in ENDED))
        con.executemany(
            "UPDATE messages SET state = 1, number = ? WHERE hook = ? AND seq = ? AND state < 2",
            [(number, *key) for key, number in self.begun.items()],
        )
        con.executemany(
            "INSERT OR REPLACE INTO tries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(*row[:-1], row[-1].encode(BYTES_AS)) for row in self.tries],
        )
        con.executemany(
            "UPDATE hooks SET number = ? WHERE id = ?",
            [(number, hook) for hook, number in self.numbers.items()],
        )
        con.executemany(
            "UPDATE hooks SET failing_since = ?, quiet_until = ? WHERE id = ?",
            [(*standing, hook) for hook, standing in self.standings.items()],
        )


class SendTurns:
    """The turns since the last transaction; for one thread, and one connection in autocommit mode."""

    def __init__(self, con: sqlite3.Connection, path: Path) -> None:
        """Store what an earlier process has noted and not stored. Raises OSError or sqlite3.Error."""
        self._con = con
        self._unstored = _Unstored()
        (self._stored,) = con.execute("SELECT stored FROM turns").fetchone()
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._file = os.open(path.with_name(path.name + SUFFIX), flags, 0o600)
        try:
            self._read()
        except BaseException:
            os.close(self._file)
            raise

    def close(self) -> None:
        """Close the file; safe to call twice. What is not stored is when it is opened again."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    @property
    def are_many(self) -> bool:
        """Whether it is time to store them."""
        return len(self._unstored.ends) >= UNSTORED_MAX

    def ended(self, hook: str) -> set[int]:
        """Return the seqs of a webhook's messages that are otherwise in the tables than they are."""
        return self._unstored.ended.get(hook, set())

    def has_waiting(self, hook: str) -> bool:
        """Say whether messages of a webhook wait for another try, of which the tables do not know."""
        return hook in self._unstored.waiting

    def note(
        self,
        settled: Sequence[Settled],
        sending: Sequence[HookMessage],
        numbers: Mapping[str, int],
        standings: Mapping[str, Standing],
    ) -> None:
        """Note a turn. Raises OSError, and nothing is noted then."""
        line = (
            [*map(_end, settled)],
            [_try(one) for one in settled if one.made is not None],
            [(message.hook, message.seq, message.number) for message in sending],
            numbers,
            {hook: [*standing] for hook, standing in standings.items()},
        )
        text = orjson.dumps((self._stored, *line)) + b"\n"
        written = os.write(self._file, text)
        if written != len(text):
            os.ftruncate(self._file, os.fstat(self._file).st_size - written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._unstored.add(line)

    @contextlib.contextmanager
    def stored(self) -> Iterator[None]:
        """A transaction that begins with all turns so far."""
        unstored = self._unstored
        with Transaction(self._con):
            if unstored.is_any:
                unstored.store(self._con)
                self._con.execute("UPDATE turns SET stored = stored + 1")
            yield
        if unstored.is_any:
            self._unstored = _Unstored()
            self._stored += 1
            # Lines of before count no more, whether they are there or not.
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, 0)

    def store(self) -> None:
        """Store all turns so far, where there are any."""
        if self._unstored.is_any:
            with self.stored():
                pass

    def _read(self) -> None:
        with open(self._file, "rb", closefd=False) as file:
            for text in file:
                try:
                    stored, *line = orjson.loads(text)
                except ValueError:
                    # The process was killed before it had written the line.
                    break
                if stored == self._stored:
                    self._unstored.add(line)
        self.store()
        os.ftruncate(self._file, 0)


def _end(one: Settled) -> tuple[Any, ...]:
    message, made = one.message, one.made
    ended_at = (made.at if made else one.due_at) if one.state in ENDED else None
    tries = message.tries + (made is not None)
    return (message.hook, message.seq, one.state, one.due_at, tries, ended_at, one.why, message.number)


def _try(one: Settled) -> tuple[Any, ...]:
    assert one.made is not None
    return (one.message.hook, one.message.seq, *one.made[:-1], one.made.body.decode(BYTES_AS))
