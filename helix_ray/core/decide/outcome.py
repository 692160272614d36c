"""What decide gives back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from helix_ray.core.errors import Rejected
from helix_ray.core.events import Event
from helix_ray.core.liveness import Sign
from helix_ray.core.orders import Order, Refusal
from helix_ray.core.policy import Policy
from helix_ray.core.state import State, Task


@dataclass(slots=True)
class Decision:
    """Facts to append, and what the receipt says.

    `author` is whose the facts are where the order comes from somebody else: a login is its user's, though a
    replica of the API gives the order. None: whoever gave it.
    """

    events: list[Event] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    author: str | None = None
    # Parts of the order that were refused while it was carried out.
    refused: list[Rejected] = field(default_factory=list)
    # What was refused elsewhere, and is to be counted here.
    noted: Sequence[Refusal] = ()
    # What it says of who is alive.
    signs: Sequence[Sign] = ()


@dataclass(frozen=True, slots=True)
class Context:
    """All that a decision may look at. `now` is epoch seconds."""

    state: State
    order: Order
    now: float
    policy: Policy

    def task(self, task_id: str) -> Task | None:
        """Return a task of memory, or one that the history knows and that the order
        brings; None: there is none."""
        task = self.state.tasks.get(task_id)
        recalled = self.order.recalled
        # What is noted as rewritten and not in memory was deleted.
        if task is not None or recalled is None or task_id in self.state.rewritten:
            return task
        return recalled.tasks.get(task_id)


Decider = Callable[[Any, Context], Decision | Rejected]
