"""The commits of the master: each turn of its loop commits orders of callers or of followers.

Each commit is limited twice: by the weight of its orders, which is known before, and by the number of their
facts, which only decide knows. The rest waits for the next commit, and other work runs in between.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

from actors.inbox import Answers, Inbox
from helix_ray.core.access import SYSTEM
from helix_ray.core.audit.kinds import ACTS
from helix_ray.core.fact_figures import FactFigures
from helix_ray.core.histogram import Histogram
from helix_ray.core.orders import AnyOrder, Order
from helix_ray.engine import Engine
from helix_ray.followers.base import Follower, News
from helix_ray.wire.ids import new_seed

# After this many facts no further order of a commit is started: about 20 ms.
COMMIT_FACTS_MAX = 1000


class Commits:
    """Queues orders and commits them. Only `commit` and `react` carry out orders; no method waits."""

    def __init__(self, engine: Engine, followers: Sequence[Follower], ran: Callable[[str], None]) -> None:
        """`ran` is called with the kind of each order that is carried out."""
        self._engine = engine
        self._followers = followers
        self._ran = ran
        self._inbox = Inbox(lambda order: order.work_in(engine.state))
        # How long commits took that have facts, and what their facts say.
        self.took, self.figures = Histogram(), FactFigures()
        # The newest fact since the start that the audit has a record of.
        self.acted = 0
        # Orders of the followers, which react again only when all of them are carried out.
        self._ordered: deque[AnyOrder] = deque()

    def __bool__(self) -> bool:
        """Say whether orders of callers are waiting."""
        return bool(self._inbox)

    def put(self, orders: Sequence[AnyOrder], future: asyncio.Future[Answers]) -> None:
        """Add the orders of one call; `future` gets their answers, in order, when all of them are durable."""
        self._inbox.put(orders, future)

    def commit(self) -> None:
        """Carry out orders of callers, up to the limits of one commit."""
        calls = self._inbox.next()
        if calls:
            self._inbox.answer(calls, self._execute([order for call in calls for order in call.left()]))

    def react(self) -> bool:
        """Carry out orders of the followers, up to the limits of one commit; say whether they may
        have more to do at once."""
        if not self._ordered:
            self._look()
        if not self._ordered:
            return any(follower.busy for follower in self._followers)
        for _ in self._execute(list(self._ordered)):
            self._ordered.popleft()
        return True

    def _look(self) -> None:
        clock = self._engine.clock
        news = News(self._engine.state, self._engine.liveness, clock.wall(), clock.monotonic())
        for follower in self._followers:
            for body in follower.react(news):
                self._ordered.append(Order(body, SYSTEM, f"req-{type(body).__name__.lower()}", new_seed()))

    def _execute(self, orders: Sequence[AnyOrder]) -> Answers:
        began = self._engine.clock.monotonic()
        answers = self._engine.execute(orders, COMMIT_FACTS_MAX)
        if facts := self._engine.committed:
            self.took.note(self._engine.clock.monotonic() - began)
            self.figures.note(self._engine.state, facts)
            self.acted = next((fact.seq for fact in reversed(facts) if type(fact.event) in ACTS), self.acted)
        for order in islice(orders, len(answers)):
            self._ran(type(order.body).__name__)
        return answers
