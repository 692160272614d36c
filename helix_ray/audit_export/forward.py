"""Forwards the audit to a receiver: every record in order, at least once.

The journal is the queue. One batch is in memory; while the receiver is away nothing else is read, and the
cursor, a file of its own, says where to go on. What retention has removed meanwhile is a gap: the receiver
is told from which fact to which, before the records that follow it, and so is the server.

The server is told up to which fact everything was taken, once a minute while there is something else to tell
(HELIX_AUDIT_KEEP_UNTIL waits for it): a record of the audit, which is forwarded like all others. As often the
receiver gets the newest signed checkpoint.

A batch of syslog is known to be taken only when the connection is still there at the step after it. Until
then the cursor stays before it, and it is sent again if the connection breaks.

Files in the state's folder:

    cursors/forward    everything up to this seq was taken, or told as a gap
    lock               held by the one process that forwards from here
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from helix_ray.audit_export.messages import ForwardedMessage, of_checkpoint, of_gap, of_record
from helix_ray.audit_export.sinks import AuditReceiver, SinkAway
from helix_ray.client.transport import Retries
from helix_ray.core.reads import is_by_follower
from helix_ray.followers.cursor import CursorFile
from helix_ray.journal.lock import FileLock
from helix_ray.wire.times import iso

if TYPE_CHECKING:
    from helix_ray.wire.audit import AuditOut

NAME: Final = "forward"
LOCK_FILE: Final = "lock"
BATCH_RECORDS: Final = 200
# How long to wait between two tries: up to a minute, with jitter.
PAUSES: Final = Retries(pause_s=0.5, pause_s_max=60.0)

ACKNOWLEDGED_EVERY_S: Final = 60.0


class AuditSource(Protocol):
    """A server."""

    def read(self, after: int, limit: int) -> AuditOut:
        """Return at most so many records of facts after a seq, the oldest first."""
        ...

    def acknowledge(self, through: int, gap: tuple[int, int] | None) -> str:
        """Record on the server up to which fact everything was taken, or that a range was missing.

        Returns the newest checkpoint of the server's journal, a signed note.
        """
        ...


class AuditBehind(Exception):
    """The server's audit ends before the cursor: it is being rebuilt, or of another journal."""


class Sent(NamedTuple):
    """What a step has sent: how many records, up to which fact, and which range was missing."""

    records: int
    through: int
    gap: tuple[int, int] | None = None


class _Batch(NamedTuple):
    """What is sent at once: everything after `start`."""

    start: int
    messages: list[ForwardedMessage]
    sent: Sent
    # Whether somebody else has done something.
    is_news: bool


class Forwarder:
    """Forwards from a cursor in a folder, which no other process may use at the same time."""

    def __init__(
        self,
        folder: Path,
        source: AuditSource,
        receiver: AuditReceiver,
        begin_at: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises OSError, and JournalLocked where another process forwards from this folder."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = FileLock(folder / LOCK_FILE)
        self._file = CursorFile(folder, NAME, begin_at)
        self._source = source
        self._receiver = receiver
        self._clock = clock
        self._next = self._file.cursor
        self._kept: _Batch | None = None
        # The last news that the server does not know to be taken, and when it was last acknowledged.
        self._news = 0
        self._acknowledged_at = 0.0

    @property
    def cursor(self) -> int:
        """The fact up to which everything is known to be taken."""
        return self._file.cursor

    def close(self) -> None:
        """Let another process forward from the folder."""
        self._receiver.close()
        self._lock.release()

    def step(self) -> Sent:
        """Read a batch and send it, or send again what was not taken.

        Raises SinkAway, AuditBehind, OSError (the cursor cannot be kept), and what reading raises.
        """
        batch = self._kept or self._fill()
        try:
            # Without a message, too: it says whether the batch before was taken.
            self._receiver.send(batch.messages)
        except SinkAway:
            self._next = self._file.cursor
            self._kept = batch if batch.start == self._next else None
            raise
        if batch.sent.gap is not None:
            self._source.acknowledge(batch.sent.gap[1], batch.sent.gap)
        if batch.start > self._file.cursor:
            self._file.save(batch.start)
        self._next, self._kept = batch.sent.through, None
        if batch.is_news:
            self._news = batch.sent.through
        return batch.sent

    def acknowledge(self, every_s: float = ACKNOWLEDGED_EVERY_S) -> None:
        """Tell the server what was taken, at most every so often; raises what telling raises."""
        now = self._clock()
        if self._news == 0 or self._file.cursor < self._news or abs(now - self._acknowledged_at) < every_s:
            return
        note = self._source.acknowledge(self._file.cursor, None)
        self._news, self._acknowledged_at = 0, now
        self._receiver.send([of_checkpoint(note, iso(now))])

    def _fill(self) -> _Batch:
        start = self._next
        page = self._source.read(start, BATCH_RECORDS)
        if page["through"] < start and not page["logs"]:
            raise AuditBehind(
                f"the server's audit ends at fact {page['through']}, and everything up to {start} was sent: "
                "it is being rebuilt, or is that of another journal"
            )
        messages, gap = [], None
        # Records that the receiver had before they were removed are not a gap, even if it gets them again.
        known = max(start, self._file.cursor)
        if page["removed_through"] > known:
            gap = (known + 1, page["removed_through"])
            messages.append(of_gap(*gap, iso(self._clock())))
        messages.extend(of_record(log) for log in page["logs"])
        through = max(start, page["next_cursor"] or 0)
        is_news = not all(is_by_follower(log["action"], log["metadata"]["details"]) for log in page["logs"])
        return _Batch(start, messages, Sent(len(page["logs"]), through, gap), is_news)


def follow(
    forwarder: Forwarder,
    every_s: float,
    on_sent: Callable[[Sent], None],
    is_passing: Callable[[Exception], bool],
    pause: Callable[[float], None] = time.sleep,
    chance: Callable[[], float] = random.random,
) -> None:
    """Forward for ever. `is_passing` says whether to wait after an error, else it is raised."""
    tries = 0
    while True:
        try:
            sent = forwarder.step()
            forwarder.acknowledge()
        except Exception as error:
            if not is_passing(error):
                raise
            tries += 1
            pause(PAUSES.pause(tries, chance()))
            continue
        tries = 0
        on_sent(sent)
        if sent.records < BATCH_RECORDS:
            pause(every_s)
