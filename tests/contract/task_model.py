"""What the API promises of tasks, as a model that takes one operation at a time.

A *family* is what hangs together: a task alone, a task and one that depends on it, a whole and its shards, a
task for workers outside. Nobody but the clients of a test changes a family: its tasks have no `run`, or one
that does not end by itself and starts by `distribute` only. So a family is a register whose value is the
statuses of its members.

Answers are short words: a status, "ok", "missing" (404), "conflict" (409), "open" (no
result yet), "eof" and "more".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from tests.contract.linearizability import Operation

Kind = Literal["alone", "pair", "whole", "placed", "leased"]

WITH_SHARDS = ("whole", "placed")

ENDED = frozenset({"completed", "failed", "cancelled"})
GONE, ABSENT = "gone", "absent"
MEMBERS: dict[Kind, int] = {"alone": 1, "pair": 2, "whole": 3, "placed": 3, "leased": 1}
FIRST: dict[Kind, tuple[str, ...]] = {
    "alone": ("pending",),
    "pair": ("pending", "waiting"),
    "whole": ("pending", "pending", "pending"),
    "placed": ("pending", "pending", "pending"),
    "leased": ("pending",),
}


@dataclass(frozen=True, slots=True)
class Family:
    """The statuses of a family's members; of a leased one also its newest attempt and who has it."""

    kind: Kind
    members: tuple[str, ...]
    attempt: int = 0
    worker: str = ""


def absent(kind: Kind) -> Family:
    """Return a family that nobody has made yet."""
    return Family(kind, (ABSENT,) * MEMBERS[kind])


Steps = Iterator[tuple[str, Family]]


@dataclass(frozen=True, slots=True)
class Model:
    """What is promised, whether tasks are in memory or have left it."""

    def step(self, family: Family, operation: Operation) -> Steps:
        """Give the ways in which an operation may go."""
        kind, argument = operation.kind, operation.argument
        if kind == "create":
            if family.members[0] == ABSENT:
                yield "ok", replace(family, members=FIRST[family.kind])
        elif kind in ("given", "report", "distribute"):
            yield from getattr(self, f"_{kind}")(family, argument)
        else:
            index, *rest = argument if isinstance(argument, tuple) else (argument,)
            status = family.members[index]
            if status == GONE:
                yield "missing", family
            else:
                yield from getattr(self, f"_{kind}")(family, index, status, *rest)

    # ------------------------------------------------------------------------------------- reads

    def _get(self, family: Family, index: int, status: str) -> Steps:
        yield status, family

    def _result(self, family: Family, index: int, status: str) -> Steps:
        yield (status if status in ENDED else "open"), family

    def _log(self, family: Family, index: int, status: str) -> Steps:
        yield ("eof" if status in ENDED else "more"), family

    # ------------------------------------------------------------------------------------- writes

    def _put(self, family: Family, index: int, status: str, wanted: str) -> Steps:
        if wanted == status:
            yield "ok", family
        elif status in ENDED or status == "waiting":
            yield "conflict", family
        else:
            yield "ok", _moved(family, index, wanted)

    def _cancel(self, family: Family, index: int, status: str) -> Steps:
        if status == "cancelled":
            yield "ok", family
        elif status in ENDED:
            yield "conflict", family
        else:
            yield "ok", _moved(family, index, "cancelled")

    def _retry(self, family: Family, index: int, status: str) -> Steps:
        first = family.members[0] if family.kind == "pair" and index == 1 else "completed"
        if status not in ("failed", "cancelled") or first in ("failed", "cancelled"):
            yield "conflict", family
        else:
            yield "ok", _moved(family, index, "pending" if first in ("completed", GONE) else "waiting")

    def _delete(self, family: Family, index: int, status: str) -> Steps:
        yield "ok", _moved(family, index, GONE)

    def _distribute(self, family: Family, index: int) -> Steps:
        status = family.members[0]
        if status == GONE:
            yield "missing", family
        elif status in ENDED:
            yield "conflict", family
        elif status == "running":
            yield "already", family
        else:
            yield "ok", replace(family, members=("running",) * 3)

    # ------------------------------------------------------------------------------------- leases

    def _given(self, family: Family, argument: tuple[str, int | None]) -> Steps:
        """A heartbeat's answer: the task that it hands out, or that the worker has already."""
        worker, attempt = argument
        if family.members[0] == "pending" and attempt in (None, family.attempt + 1):
            yield "ok", replace(family, members=("running",), attempt=family.attempt + 1, worker=worker)
        elif family.members[0] == "running" and (family.worker, family.attempt) == (worker, attempt):
            yield "ok", family

    def _report(self, family: Family, argument: tuple[str, int]) -> Steps:
        status = family.members[0]
        if status == GONE:
            yield "missing", family
        elif status == "running" and (family.worker, family.attempt) == argument:
            yield "ok", replace(family, members=("completed",))
        elif status == "completed" and (family.worker, family.attempt) == argument:
            yield "ok", family
        else:
            yield "conflict", family


def _moved(family: Family, index: int, to: str) -> Family:
    members = list(family.members)
    if family.kind in WITH_SHARDS:
        # Shards go with their whole; what has ended stays as it is.
        members = [to if to in (GONE, "pending") or each not in ENDED else each for each in members]
        return replace(family, members=tuple(members))
    members[index] = to
    if family.kind == "pair" and index == 0 and members[1] == "waiting":
        members[1] = {"completed": "pending", "pending": "waiting", "running": "waiting"}.get(to, "failed")
    return replace(family, members=tuple(members))
