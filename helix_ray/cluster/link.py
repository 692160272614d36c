"""The way to the control plane, as the Python API sees it; RayLink in this package's __init__ is the real one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from helix_ray.core.access import Principal
from helix_ray.core.errors import Rejected
from helix_ray.core.orders import Order, Receipt
from helix_ray.core.questions import Question

# Whoever can start a Ray job may run any code on the cluster: there is nothing left to deny.
IN_CLUSTER = Principal("system", "in-cluster", ("system",))

Answer = dict[str, Any] | Rejected


class Link(Protocol):
    """Calls that come back once they were answered; a control plane that starts again is waited for."""

    async def execute(self, orders: Sequence[Order]) -> list[Receipt | Rejected]:
        """Carry out orders; raises ClusterUnavailable."""
        ...

    async def query(self, question: Question, wait_s: float = 0.0) -> Answer:
        """Answer a question, waiting up to `wait_s` for news; raises ClusterUnavailable."""
        ...

    async def stored(self, worker_id: str, task_id: str, attempt: int) -> dict[str, Any] | None:
        """Return a result that stayed on its node; None where it is gone."""
        ...
