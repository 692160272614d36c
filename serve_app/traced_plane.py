"""The control plane with a span for each order of a traced request: until its facts are durable."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from helix_ray.core.access import Principal
from helix_ray.core.errors import Rejected
from helix_ray.core.orders import Order, Receipt
from helix_ray.core.orders.kind import Data
from helix_ray.core.questions import QuestionKind, View
from helix_ray.ports import Batch, ControlPlane
from helix_ray.tracing.span import TraceSpan
from serve_app.edge.request_traces import CURRENT


class TracedPlane:
    """A ControlPlane; it is used only where a collector is configured."""

    def __init__(self, control: ControlPlane, note: Callable[[TraceSpan], None]) -> None:
        self._control = control
        self._note = note

    async def execute(self, order: Order[Data]) -> Receipt[Data] | Rejected:
        """Carry out an order."""
        within = CURRENT.get()
        if within is None:
            return await self._control.execute(order)
        began = time.time()
        answer = await self._control.execute(order)
        attributes: dict[str, str | int] = {"helix.order": type(order.body).__name__}
        if isinstance(answer, Rejected):
            attributes["helix.error.code"] = answer.code.value
        else:
            attributes["helix.journal.seq"] = answer.seq
        span_id = os.urandom(8).hex()
        self._note(
            TraceSpan(
                within.trace_id, span_id, within.span_id, "commit", began, time.time(), attributes=attributes
            )
        )
        return answer

    async def query(
        self, question: QuestionKind[View], by: Principal, wait_s: float = 0.0
    ) -> View | Rejected:
        """Answer a question."""
        return await self._control.query(question, by, wait_s)

    async def events(
        self, after: int, limit: int, by: Principal, wait_s: float = 0.0, *, abouts: bool = False
    ) -> Batch:
        """Return the facts after a cursor."""
        return await self._control.events(after, limit, by, wait_s, abouts=abouts)
