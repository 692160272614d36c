"""What the master does in a turn of its loop: one commit, of what callers ordered or
of what the followers did.

Each is bounded twice: by the weight of its orders, which is known before, and by the facts that they make,
which decide tells. What a commit has no room for waits for the next turn, with turns for others in between.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

from actors.inbox import Answers, Inbox
from helix_ray.core.access import SYSTEM
from helix_ray.core.orders import Order
from helix_ray.core.weight import weight_in
from helix_ray.engine import Engine
from helix_ray.followers.base import Follower, News
from helix_ray.wire.ids import new_seed

# No further order of a commit is begun after so many facts: some twenty milliseconds' worth.
COMMIT_FACTS_MAX = 1000
FACTS_PER_REACTION = 100_000


class Commits:
    """Orders on their way into the journal. Nothing here waits, and nothing is carried out
    but by `commit` and `react`."""

    def __init__(self, engine: Engine, followers: Sequence[Follower], ran: Callable[[str], None]) -> None:
        """`ran` is told the kind of each order that is carried out."""
        self._engine = engine
        self._followers = followers
        self._ran = ran
        self._inbox = Inbox(lambda order: weight_in(engine.state, order))
        # What the followers have ordered; they look at the state again when all of it is carried out.
        self._ordered: deque[Order] = deque()
        self._cursor = engine.state.seq

    def __bool__(self) -> bool:
        """Say whether a caller waits for something to be carried out."""
        return bool(self._inbox)

    def put(self, orders: Sequence[Order], future: asyncio.Future[Answers]) -> None:
        """Add the orders of one call; `future` gets their answers, in order, when all of them are durable."""
        self._inbox.put(orders, future)

    def commit(self) -> None:
        """Carry out what callers have ordered, as much as one commit may have."""
        calls = self._inbox.next()
        if calls:
            self._inbox.answer(calls, self._execute([order for call in calls for order in call.left()]))

    def react(self) -> bool:
        """Carry out what the followers order, as much as one commit may have; say whether they may have
        more to do at once."""
        if not self._ordered:
            self._look()
        if not self._ordered:
            return any(follower.busy for follower in self._followers)
        for _ in self._execute(list(self._ordered)):
            self._ordered.popleft()
        return True

    def _look(self) -> None:
        batch = self._engine.facts(self._cursor, FACTS_PER_REACTION)
        self._cursor = batch.cursor
        clock = self._engine.clock
        news = News(self._engine.state, self._engine.liveness, batch.facts, clock.wall(), clock.monotonic())
        for follower in self._followers:
            for body in follower.react(news):
                self._ordered.append(Order(body, SYSTEM, f"req-{type(body).__name__.lower()}", new_seed()))

    def _execute(self, orders: Sequence[Order]) -> Answers:
        answers = self._engine.execute(orders, COMMIT_FACTS_MAX)
        for order in islice(orders, len(answers)):
            self._ran(type(order.body).__name__)
        return answers
