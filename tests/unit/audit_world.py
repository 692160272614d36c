"""A journal of acts drawn by chance, and a history that follows it, for comparisons of the two."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from helix_ray.audit_compare import HISTORY_FILE, Compared, compare, compare_stopped
from helix_ray.core import events as ev
from helix_ray.core.access import SYSTEM
from helix_ray.core.audit.retention import Retention
from helix_ray.core.erasure import BY_ID_ONLY, NEVER_ERASED
from helix_ray.core.origin import Origin
from helix_ray.core.specs import TaskSpec
from helix_ray.journal.fact_reader import FactReader
from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.ports import Snapshot
from helix_ray.security.keys import HEAD_KEY_FILE, load_or_create_key
from helix_ray.views.audit_page import page_of
from helix_ray.views.history import History
from helix_ray.views.pruning import HistoryLimits

SPEC: TaskSpec = {"title": "a task", "type": "building"}
BEGAN = 1_790_000_000.0
EVERY = 1 << 62


class AuditWorld:
    """A data directory with a journal, and its history."""

    def __init__(self, data: Path, seed: int) -> None:
        data.mkdir(mode=0o700, exist_ok=True)
        self.data = data
        self.chance = random.Random(seed)
        self._signing = random.Random(seed)
        ring = load_or_create_key(data, HEAD_KEY_FILE)
        self.journal = SqliteJournal(data, ring.secrets[ring.current])
        self.history = History(data / HISTORY_FILE)
        self.at = BEGAN
        self.seq = 0
        # The retention where the journal has none.
        self.retention: Retention | None = None
        self._reader = FactReader(data)

    def close(self) -> None:
        """Close both, as a server that ends does."""
        self._reader.close()
        self.history.close()
        self.journal.close()

    def act(self, *events: ev.Event, by: str | None = None) -> None:
        """Append the facts of one request."""
        who = by or f"user-{self.chance.randrange(5)}"
        self.at += self.chance.choice([0.0, 0.5, 60.0])
        self._append(events, who, self.chance.choice([f"req-{self.seq}", "Own request ü"]))

    def _append(self, events: Sequence[ev.Event], who: str, request: str) -> None:
        origin = Origin(f"10.0.0.{self.chance.randrange(9)}", "session-1", "curl/8")
        self.journal.append(
            [
                ev.Fact(self.seq + place, self.at, who, request, event, origin)
                for place, event in enumerate(events, 1)
            ]
        )
        self.seq += len(events)

    def acts(self, count: int) -> None:
        """Append the facts of some requests, drawn by chance."""
        for _ in range(count):
            self.act(*self._events())
            if self._signing.random() < 0.2:
                self.act(ev.CheckpointSigned(f"root of {self.seq}", self.seq, f"signed\n{self.seq} ü\n"))
        self.act(ev.TaskCancelled("task-by-system", 1, "deadline"), by=SYSTEM.id)

    def _events(self) -> Iterator[ev.Event]:
        chance, seq = self.chance, self.seq
        drawn = chance.randrange(10)
        if drawn < 3:
            for place in range(chance.choice([1, 3, 12])):
                yield ev.TaskSubmitted(f"task-{seq}-{place}", "user-1", SPEC)
                if chance.random() < 0.2:
                    yield ev.TaskReleased(f"task-{seq}-{place}")
        elif drawn == 3:
            yield ev.QuotaSet(f"p-{chance.randrange(3)}", {"cpu": chance.choice([1.0, 2.5])})
        elif drawn == 4:
            yield ev.MemberAdded(f"p-{chance.randrange(3)}", f"user-{chance.randrange(9)}")
            yield ev.RolesChanged(f"user-{chance.randrange(5)}", [chance.choice(["viewer", "admin"])])
        elif drawn == 5:
            yield ev.RequestsRefused("ListUsers", chance.choice(["login", "token", "forbidden"]), "x", 3)
        elif drawn == 6:
            yield ev.LoginRefused(f"näme {seq}")
            yield ev.UserRemoved(f"user-{chance.randrange(5)}")
        elif drawn == 9:
            for n in range(4):
                changes = {chance.choice(["title", "description"]): "x"}
                yield ev.TaskEdited(f"task-{seq}-{n}", changes)  # type: ignore[misc]
        elif drawn == 7:
            yield ev.DataRead("results", 2, [f"task-{seq}", "Order 7\x00\ud800"])
        else:
            yield from (ev.TaskRequeued(f"task-{seq}-{n}", 1, "manual") for n in range(3))
            yield ev.ProjectRemoved(f"p-{chance.randrange(3)}")

    def follow(self, through: int = EVERY) -> None:
        """Have the history take in what is there, in batches of any length."""
        while facts := self._reader.read(
            self.history.cursor, through, self.chance.choice([1, 7, 90]), 1 << 20
        ):
            self.history.ingest(facts)

    def erase(self, *seqs: int) -> None:
        """Erase facts; the history does not know it yet."""
        self.journal.save_snapshot(Snapshot(self.seq, 1, {}))
        self.seq += 1
        self.journal.erase(
            ev.Fact(self.seq, self.at, "user-admin", "req-erase", ev.FactsErased([*seqs], "asked"))
        )

    def erasable(self, count: int) -> list[int]:
        """Return some facts that can be erased, by chance."""
        kept = (ev.Erased, *NEVER_ERASED, *BY_ID_ONLY)
        found = [f.seq for f in self._reader.read(0, EVERY, 10_000, 1 << 26) if not isinstance(f.event, kept)]
        return sorted(self.chance.sample(found, count))

    def compared(self, meanwhile: Callable[[int], None] = lambda seq: None) -> Compared:
        """Compare while the history is open, as a server does; something may happen after each page."""
        page = self.history.audit_page
        return compare(self.data, lambda a, b: page_of(page(a, b)), meanwhile, self.retention, self._now)

    def _now(self) -> float:
        return self.at

    def keep(self, keep_s: float, *, until_exported: bool = False, built_anew: bool = False) -> None:
        """Record another retention, as a start does."""
        said = ev.AuditRetentionSet("audit", keep_s, until_exported, built_anew)
        self._append([said], SYSTEM.id, "req-historian")

    def prune(self, keep_s: float, through: int | None = None) -> None:
        """Have retention remove the records that are older, of facts up to a seq."""
        self.history.prune(HistoryLimits(1e12, EVERY, keep_s, through), self.at, 0)

    def compared_stopped(self) -> Compared:
        """Compare the closed file."""
        return compare_stopped(self.data, unrecorded=self.retention, clock=self._now)

    def compared_file(self, path: Path) -> Compared:
        """Compare another file."""
        return compare_stopped(self.data, unrecorded=self.retention, clock=self._now, path=path)
