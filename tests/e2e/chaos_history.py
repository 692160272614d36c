"""What clients saw while processes were killed, and the rules that every such history must keep.

A task is a register that its clients write (create, cancel, delete, report) and read. Each operation has
the moments at which it began and ended (monotonic seconds of one machine). Two operations that overlap
may have happened in either order; of two that do not, the later one must see what the earlier one did.
From that come the rules:

    one create, one task        the same key gives the same id, and the journal has one submission of it
    read after write            a read that began after a create, cancel or delete was answered sees it
    an end is final             what one read saw as ended, no later read sees otherwise
    one end                     the journal ends no task twice, and every task has an end at last
    one report counts           at most one report on a task is acknowledged; a refused one leaves nothing

An operation without an answer (a broken connection, a 5xx) may have happened or not, at any
time from its beginning on.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

ENDED = frozenset({"completed", "failed", "cancelled"})
DELETED = "deleted"

Kind = Literal["create", "cancel", "delete", "read", "report"]
Outcome = Literal["done", "refused", "unknown"]


@dataclass(frozen=True, slots=True)
class Operation:
    """One request: `task` is the task's title; `value` the id, the status that was
    read, or the report's token."""

    kind: Kind
    task: str
    began: float
    ended: float
    outcome: Outcome
    value: str = ""


@dataclass(frozen=True, slots=True)
class Final:
    """A task when all is over; `status` is "deleted" where there is none. `ends` counts
    its ends in the journal."""

    status: str
    submissions: int
    ends: int
    token: str = ""


class History:
    """Operations of many threads, in the order in which they ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.operations: list[Operation] = []

    def add(self, operation: Operation) -> None:
        """Keep an operation."""
        with self._lock:
            self.operations.append(operation)

    def by_task(self) -> dict[str, list[Operation]]:
        """Return the operations of each task."""
        found: dict[str, list[Operation]] = defaultdict(list)
        for operation in self.operations:
            found[operation.task].append(operation)
        return found


def violations(history: History, finals: Mapping[str, Final]) -> list[str]:
    """Return a sentence for every broken rule; `finals` has every task of the server by its title."""
    by_task = history.by_task()
    found = [f"{title}: a task that nobody created" for title in finals.keys() - by_task.keys()]
    for title, operations in by_task.items():
        final = finals.get(title, Final(DELETED, 0, 0))
        rules = (_created, _reads, _ends, _reports)
        found += [f"{title}: {broken}" for rule in rules for broken in rule(operations, final)]
    return found


def _created(operations: list[Operation], final: Final) -> Iterator[str]:
    done = [o for o in operations if o.kind == "create" and o.outcome == "done"]
    ids = {o.value for o in done}
    if len(ids) > 1:
        yield f"one key, but the ids {sorted(ids)}"
    if done and final.submissions != 1:
        yield f"it was acknowledged, and the journal has {final.submissions} submissions"
    if not done and final.submissions > 1:
        yield f"the journal has {final.submissions} submissions"


def _reads(operations: list[Operation], final: Final) -> Iterator[str]:
    """Every read must see each change that was answered before it began, and none
    that nobody had asked for."""
    reads = [o for o in operations if o.kind == "read" and o.outcome == "done"]
    for read in reads:
        before = [o for o in operations if o.outcome == "done" and o.ended < read.began]
        asked = {o.kind for o in operations if o.began < read.ended and o.outcome != "refused"}
        if read.value == DELETED and "delete" not in asked:
            yield f"it was not found at {read.began:.3f}, and nobody had deleted it"
        if read.value == "cancelled" and "cancel" not in asked:
            yield f"it was cancelled at {read.began:.3f}, and nobody had asked for that"
        yield from (_stale(earlier, read) for earlier in before if _contradicts(earlier, read))


def _contradicts(earlier: Operation, read: Operation) -> bool:
    """Say whether a read that began after `earlier` had ended did not see it."""
    if earlier.kind == "delete":
        return read.value != DELETED
    if earlier.kind == "cancel":
        return read.value not in ("cancelled", DELETED)
    if earlier.kind == "report":
        return read.value not in ("completed", DELETED)
    if earlier.kind == "read" and (earlier.value in ENDED or earlier.value == DELETED):
        return read.value not in (earlier.value, DELETED)
    return False


def _stale(earlier: Operation, read: Operation) -> str:
    said = f"{earlier.kind} {earlier.value}".strip()
    return f"{said} was answered at {earlier.ended:.3f}; a read from {read.began:.3f} on said {read.value}"


def _ends(operations: list[Operation], final: Final) -> Iterator[str]:
    if final.ends > 1:
        yield f"the journal ends it {final.ends} times"
    done = {o.kind for o in operations if o.outcome == "done"}
    if "delete" in done and final.status != DELETED:
        yield f"its deletion was acknowledged, and it is {final.status}"
    if "cancel" in done and final.status not in ("cancelled", DELETED):
        yield f"its cancellation was acknowledged, and it is {final.status}"
    if final.status != DELETED and final.status not in ENDED:
        yield f"it has no end: {final.status}"
    if final.status == "failed":
        yield "it failed, and nothing that it does can fail"
    created = any(o.kind == "create" and o.outcome == "done" for o in operations)
    asked = any(o.kind == "delete" and o.outcome != "refused" for o in operations)
    if created and final.status == DELETED and not asked:
        yield "it was acknowledged, and it is gone"


def _reports(operations: list[Operation], final: Final) -> Iterator[str]:
    reports = [o for o in operations if o.kind == "report"]
    done = {o.value for o in reports if o.outcome == "done"}
    maybe = done | {o.value for o in reports if o.outcome == "unknown"}
    if len(done) > 1:
        yield f"the reports {sorted(done)} were all acknowledged"
    if final.status == DELETED or not reports:
        return
    if done and final.token not in done:
        yield f"the report {sorted(done)} was acknowledged, and its result is {final.token!r}"
    if final.status == "completed" and final.token not in maybe:
        yield f"its result {final.token!r} was refused or never sent"
