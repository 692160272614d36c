"""The result of decide."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Generic

from helix_ray.core.errors import Rejected
from helix_ray.core.events import Event
from helix_ray.core.liveness import Sign
from helix_ray.core.orders import AnyOrder, Refusal
from helix_ray.core.orders.kind import Data_co
from helix_ray.core.policy import Policy
from helix_ray.core.state import State, Task


@dataclass(slots=True)
class Decision(Generic[Data_co]):
    """Facts to append, and the data of the receipt, which is of the type that the order's kind names.

    `author` is the author of the facts where that is not the order's: a login belongs to its user, although
    an API replica gives the order. None: the order's author.
    """

    events: list[Event]
    data: Data_co
    _: KW_ONLY
    author: str | None = None
    # Refused parts of an order that was carried out.
    refused: list[Rejected] = field(default_factory=list)
    # Refusals of replicas, to be counted here.
    noted: Sequence[Refusal] = ()
    # Its signs of life.
    signs: Sequence[Sign] = ()


@dataclass(frozen=True, slots=True)
class Context:
    """The input of a decision. `now` is epoch seconds."""

    state: State
    order: AnyOrder
    now: float
    policy: Policy

    def task(self, task_id: str) -> Task | None:
        """Return a task in memory, or from the records in the order; None where there is none."""
        task = self.state.tasks.get(task_id)
        recalled = self.order.recalled
        # A rewritten task that is not in memory was deleted.
        if task is not None or recalled is None or task_id in self.state.rewritten:
            return task
        return recalled.tasks.get(task_id)


AnyDecision = Decision[Mapping[str, object]]
Decider = Callable[[Any, Context], AnyDecision | Rejected]
