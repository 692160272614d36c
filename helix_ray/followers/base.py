"""The interface of the followers in the master: they get news and return orders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from helix_ray.core.liveness import Liveness
from helix_ray.core.orders import OrderBody
from helix_ray.core.state import State


@dataclass(frozen=True, slots=True)
class News:
    """The state after a commit (or a tick). `now` is epoch seconds, `mono` monotonic seconds. The state is
    read only."""

    state: State
    liveness: Liveness
    now: float
    mono: float


class Follower(Protocol):
    """Reacts to news with orders, which decide may refuse as stale.

    A `busy` follower has more to do than fits in one call: it is called again at once, even without news.
    """

    busy: bool

    def react(self, news: News) -> list[OrderBody]:
        """Return the orders that the news calls for."""
        ...
