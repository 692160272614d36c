"""Links to an engine in this process that lose, delay, repeat and reorder calls; the master behind them dies
and comes back, and the history is behind. All of it by a seed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from actors.archive import Archive
from helix_ray.core.access import Principal
from helix_ray.core.answers import Answer
from helix_ray.core.orders import ArchiveTasks, Order, Receipt
from helix_ray.core.questions import Question
from helix_ray.engine import Engine
from helix_ray.plane.links import LinkLost
from helix_ray.plane.names import HISTORIAN
from helix_ray.plane.read_board import BoardWriter
from helix_ray.ports import Batch, NotReady
from helix_ray.testing import MemoryControlPlane
from helix_ray.views.history import History


@dataclass(frozen=True)
class Faults:
    """How often each of them happens to a call, and for how long the longest delay is."""

    lost_before: float = 0.05
    lost_after: float = 0.05
    repeated: float = 0.05
    refused: float = 0.02
    delayed_s: float = 0.05
    master_dies: float = 0.003
    away_s: float = 2.0


# How often the master finds time to publish views (helix_ray/plane/published_views.py).
PUBLISHES = 0.7
NONE = Faults(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass
class World:
    """One master over its lives, and one history."""

    plane: MemoryControlPlane
    history: History
    data_dir: Path
    chance: Random
    faults: Faults = field(default_factory=Faults)
    life: int = 0
    up_at: float = 0.0
    board: BoardWriter | None = None

    def __post_init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.board = self.plane.engine.board = BoardWriter(self.data_dir)
        self.life += 1

    def die(self) -> None:
        """End the master; the next one folds the journal, and lives after a while."""
        old = self.plane.engine
        engine = Engine(old.journal, self.plane.policy, self.plane.clock)
        engine.recover()
        # Ids of workers that are heard of are in memory: all of them are young again.
        engine.liveness = old.liveness
        self.plane.engine = engine
        self._begin()
        self.up_at = asyncio.get_running_loop().time() + self.chance.uniform(0, self.faults.away_s)

    @property
    def up(self) -> bool:
        """Say whether the master takes calls."""
        return asyncio.get_running_loop().time() >= self.up_at

    def follow(self, facts_max: int) -> None:
        """Have the history take some facts in."""
        facts = self.plane.engine.facts(self.history.cursor, facts_max).facts
        if facts:
            self.history.ingest(facts)

    def archive(self, limit: int) -> int:
        """Let tasks that the history has leave memory, however young they are."""
        return int(self.plane.give(ArchiveTasks(self.history.cursor, 1e12, limit)).data["archived"])

    async def age(self, stop: Callable[[], bool]) -> None:
        """Follow and archive at random moments, until the function says that it is over."""
        while not stop():
            await asyncio.sleep(self.chance.uniform(0, 0.2))
            if self.chance.random() < 0.5:
                self.follow(self.chance.choice((1, 5, 50)))
            elif self.up:
                self.archive(self.chance.choice((1, 3)))


class FaultyLinks:
    """plane.links.Links to a world; each caller has links of its own."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def master(self) -> MasterLink:
        await self._delay()
        world = self._world
        if not world.up:
            raise LinkLost("nobody is there")
        return MasterLink(self, world, world.life)

    async def call(self, actor: str, method: str, *arguments: Any) -> Any:
        world = self._world
        if actor != HISTORIAN:
            raise LinkLost(f"there is no {actor}")
        archive = Archive(world.history, world.plane, _at_once)
        if method == "read_log":
            return None
        return await self.carried(lambda: getattr(archive, method)(*arguments))

    async def carried(
        self, work: Callable[[], Awaitable[Any]], lost: Callable[[], bool] = lambda: False
    ) -> Any:
        """Do a call, with whatever happens to it on its way there and back."""
        world, faults = self._world, self._world.faults
        await self._delay()
        if world.chance.random() < faults.lost_before or lost():
            raise LinkLost("lost on the way there")
        if world.chance.random() < faults.repeated:
            await work()
            await self._delay()
            if lost():
                raise LinkLost("lost between two")
        answer = await work()
        await self._delay()
        if world.chance.random() < faults.lost_after or lost():
            raise LinkLost("lost on the way back")
        return answer

    async def _delay(self) -> None:
        world = self._world
        if world.faults.delayed_s:
            await asyncio.sleep(world.chance.uniform(0, world.faults.delayed_s))


class MasterLink:
    """A connection to one life of the master."""

    def __init__(self, links: FaultyLinks, world: World, life: int) -> None:
        self._links = links
        self._world = world
        self._life = life
        assert world.board is not None
        self.board: str | None = world.board.path

    def close(self) -> None:
        """Leave it."""

    async def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the master, which may die before, after or while it answers."""
        world = self._world
        if world.chance.random() < world.faults.refused:
            await asyncio.sleep(0)
            return NotReady(None)

        async def work() -> Any:
            answer = await getattr(self, method)(*arguments)
            if world.chance.random() < world.faults.master_dies:
                # It has committed, and nobody hears of it.
                world.die()
            return answer

        return await self._links.carried(work, lambda: self._life != world.life or not world.up)

    async def execute_batch(self, orders: Sequence[Order]) -> list[Receipt | Any]:
        """Carry out orders in one commit, as the master does."""
        plane = self._world.plane
        answers = plane.engine.execute(orders)
        plane.react()
        if self._world.chance.random() < PUBLISHES:
            plane.engine.publish()
        return answers

    async def query(self, question: Question, by: Principal, wait_s: float) -> Answer:
        """Answer one question."""
        return await self._world.plane.query(question, by, wait_s)

    async def query_batch(self, pairs: Sequence[tuple[Question, Principal]]) -> tuple[int, list[Answer]]:
        """Answer questions, as of a seq that was taken first."""
        plane = self._world.plane
        seq = plane.engine.state.seq
        return seq, [plane.ask(question, by) for question, by in pairs]

    async def events(self, after: int, limit: int, by: Principal, wait_s: float, abouts: bool) -> Batch:
        """Return facts after a cursor."""
        return await self._world.plane.events(after, limit, by, wait_s, abouts=abouts)


async def _at_once(call: Callable[..., Any], *arguments: Any) -> Any:
    return call(*arguments)
