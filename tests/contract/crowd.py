"""Clients that write and read families of tasks (task_model.py) through many doors at
once, and what they saw."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from math import inf
from random import Random
from typing import Any

from tests.contract.doors import Door, Json
from tests.contract.linearizability import Operation, stuck_at
from tests.contract.task_model import FIRST, WITH_SHARDS, Kind, Model, absent
from tests.ray.signals import until_answered

# A family is let go after so many operations: a checker's work grows with what overlaps.
OPERATIONS_MAX = 40
FAMILIES_MAX = 5
WAIT_S = 0.05
TICK_S = 1e-9
LEASED_TYPE = "design"
READ_KINDS = frozenset({"get", "result", "log"})
READS = ("get", "get", "get", "result", "wait", "log")
PUT_STATUSES = ("running", "completed", "failed", "pending")
KINDS: tuple[Kind, ...] = ("alone", "pair", "pair", "whole", "placed", "leased")


def specs_of(kind: Kind, project: str) -> list[Json]:
    """Return the tasks of a family, as they are submitted in one batch."""
    task = {"title": kind, "type": "planning", "project_id": project}
    if kind == "pair":
        return [task, {**task, "depends_on": ["#0"]}]
    if kind in WITH_SHARDS:
        # It runs until it is cancelled or deleted, and starts by `distribute` only.
        run = {"kind": "command", "shell": "exec sleep 600"}
        small = {"cpu": 0.01}
        return [{**task, "shards": {"count": 2}, "strategy": "manual", "run": run, "resources": small}]
    return [{**task, "type": LEASED_TYPE}] if kind == "leased" else [task]


@dataclass(eq=False)
class Known:
    """A family that somebody made: the ids of its members, and what was seen of it."""

    kind: Kind
    ids: tuple[str, ...]
    operations: list[Operation]


@dataclass
class Crowd:
    """What the clients share."""

    doors: Sequence[Door]
    clock: Callable[[], float]
    chance: Random
    model: Model = field(default_factory=Model)
    kinds: Sequence[Kind] = KINDS
    project: str = "crowd"
    stop: Callable[[], bool] = lambda: False
    families: list[Known] = field(default_factory=list)
    answered: Counter[str] = field(default_factory=Counter)
    _open: list[Known] = field(default_factory=list)
    _of: dict[str, tuple[Known, int]] = field(default_factory=dict)
    _early: dict[str, list[Operation]] = field(default_factory=lambda: defaultdict(list))
    _lost_beats: list[Operation] = field(default_factory=list)
    _last: float = 0.0
    _numbers: Any = field(default_factory=count)

    async def run(self, clients: int, rounds: int) -> None:
        """Have clients go round until each has done its rounds, or all are told to stop."""
        async with asyncio.TaskGroup() as group:
            for number in range(clients):
                group.create_task(self._client(number, rounds))

    async def _client(self, number: int, rounds: int) -> None:
        worker = _Worker(f"{self.project}-{number}")
        for _ in range(rounds):
            if self.stop():
                return
            if len(self._open) < FAMILIES_MAX:
                await self._create(self.chance.choice(self.kinds))
            elif self.chance.random() < 0.1:
                await self._list()
            elif "leased" in self.kinds and self.chance.random() < 0.2:
                await self._work(worker)
            elif self._open:
                await self._touch(self.chance.choice(self._open))

    def _now(self) -> float:
        """Return a moment later than every one before: virtual time may stand still while things happen."""
        self._last = max(self.clock(), self._last + TICK_S)
        return self._last

    def _door(self, author: str | None = None) -> Door:
        return self.chance.choice([door for door in self.doors if author in (None, door.author)])

    def _note(
        self, known: Known, kind: str, argument: Any, began: float, answer: str | None, door: str
    ) -> None:
        ended = self._now() if answer is not None else inf
        known.operations.append(Operation(kind, argument, began, ended, answer, door))
        self.answered[kind if answer is not None else "nothing"] += 1
        if len(known.operations) >= OPERATIONS_MAX and known in self._open:
            self._open.remove(known)

    async def _create(self, kind: Kind) -> None:
        key = f"{self.project}-family-{next(self._numbers)}"
        began, specs, door = self._now(), specs_of(kind, self.project), self._door()
        # The same key: an answer that was lost is given again, through this door.
        ids = await until_answered(lambda: door.create(specs, key))
        if kind in WITH_SHARDS:
            ids += [f"{ids[0]}-s0", f"{ids[0]}-s1"]
        known = Known(kind, tuple(ids), self._early.pop(ids[0], []))
        if kind == "leased":
            known.operations += [beat for beat in self._lost_beats if beat.ended > began]
        self.families.append(known)
        self._of.update({task_id: (known, index) for index, task_id in enumerate(ids)})
        self._open.append(known)
        self._note(known, "create", None, began, "ok", door.name)

    async def _touch(self, known: Known) -> None:
        """Write a family, then read it through another door; or only read it."""
        if self.chance.random() < 0.5:
            await self._write(known)
        await self._read(known)

    async def _read(self, known: Known) -> None:
        index = self.chance.randrange(len(known.ids))
        kind = self.chance.choice(READS)
        if kind == "log" and known.kind == "placed":
            # What its node knows is not of the register.
            kind = "get"
        door, task_id, began = self._door(), known.ids[index], self._now()
        if kind == "wait":
            answer, kind = await door.wait(task_id, WAIT_S), "result"
        else:
            answer = await getattr(door, kind)(task_id)
        if answer is not None:
            self._note(known, kind, index, began, answer, door.name)

    async def _write(self, known: Known) -> None:
        # Shards are changed through their whole.
        index = self.chance.randrange(len(known.ids)) if known.kind == "pair" else 0
        kinds = ["cancel", "cancel", "delete"]
        kinds += ["put", "put"] if known.kind in ("alone", "pair") else []
        # A task that was distributed once is started by the scheduler when it is queued again.
        kinds += ["distribute", "distribute"] if known.kind == "placed" else ["retry", "retry"]
        kind = self.chance.choice(kinds)
        door, task_id, began = self._door(), known.ids[index], self._now()
        argument: Any = index
        if kind == "put":
            status = self.chance.choice(PUT_STATUSES)
            argument = (index, status)
            answer = await door.put(task_id, status)
        else:
            answer = await getattr(door, kind)(task_id)
        if answer != "no room":
            self._note(known, kind, argument, began, answer, door.name)

    async def _list(self) -> None:
        """Read every open family by one listing; what is missing there is missing."""
        before, door, began = list(self._open), self._door(), self._now()
        found = await door.listed(self.project)
        if found is None:
            return
        for known in before:
            for index, task_id in enumerate(known.ids):
                self._note(known, "get", index, began, found.get(task_id, "missing"), f"{door.name} list")

    async def _work(self, worker: _Worker) -> None:
        """Ask for work in the name of a worker outside, and report its end now or later."""
        if worker.held is not None and worker.held[0] in self._of and self.chance.random() < 0.7:
            task_id, attempt = worker.held
            worker.held = None
            known, _ = self._of[task_id]
            door, began = self._door(worker.author), self._now()
            answer = await door.report(worker.id, task_id, attempt)
            self._note(known, "report", (worker.id, attempt), began, answer, door.name)
            return
        if not worker.id:
            door = self._door()
            worker.author = door.author
            worker.id = await until_answered(lambda: door.register(worker.hostname, LEASED_TYPE))
        door, began = self._door(worker.author), self._now()
        given = await door.heartbeat(worker.id)
        # It is sent again where its answer was lost: it may have been given any of them, and lose it
        # before it hears of it.
        end = inf if given is None else self._now()
        lost = Operation("given", (worker.id, None), began, end, None, door.name)
        self._lost_beats.append(lost)
        for known in self.families:
            told = given is not None and given[0] in known.ids
            known.operations += [lost] if known.kind == "leased" and not told else []
        if given is not None and not isinstance(given, str):
            worker.held = given
            heard = Operation("given", (worker.id, given[1]), began, self._now(), "ok", door.name)
            # The worker may hear of a task before whoever made it does.
            known_or_not = self._of.get(given[0])
            into = self._early[given[0]] if known_or_not is None else known_or_not[0].operations
            into.append(heard)

    def violations(self) -> list[str]:
        """Return a story for every family whose history cannot be put in order."""
        found = []
        for known in self.families:
            longest = stuck_at(known.operations, absent(known.kind), self.model.step, READ_KINDS)
            if longest is not None:
                found.append(_told(known, longest))
        return found


@dataclass
class _Worker:
    """A worker outside: its id, in whose name it speaks, and the attempt that it has heard of."""

    hostname: str
    id: str = ""
    author: str = ""
    held: tuple[str, int] | None = None


def _told(known: Known, longest: Sequence[Operation]) -> str:
    start = min(each.began for each in known.operations)
    lines = [f"{known.kind} {known.ids} of {FIRST[known.kind]}: no order for"]
    placed: dict[int, int] = {id(each): place for place, each in enumerate(longest)}
    for each in sorted(known.operations, key=lambda each: each.began):
        place = placed.get(id(each))
        at = f"{each.began - start:9.4f} {each.ended - start:9.4f}"
        lines.append(
            f"  {at} {'--' if place is None else place:>3} {each.kind} {each.argument} "
            f"-> {each.answer} ({each.door})"
        )
    return "\n".join(lines)


def by_door(crowd: Crowd) -> dict[str, int]:
    """Return how many answers came through each door."""
    found: dict[str, int] = defaultdict(int)
    for known in crowd.families:
        for each in known.operations:
            if each.answer is not None:
                found[each.door.partition(" ")[0]] += 1
    return dict(found)
