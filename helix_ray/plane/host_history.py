"""The history of hosts: the master says who may ask and which hosts there are, the historian reads it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, cast

from helix_ray.core.access import Principal
from helix_ray.core.answers import Answer
from helix_ray.core.errors import Rejected
from helix_ray.core.host_points import Span, span_of
from helix_ray.core.questions import SystemFigures, SystemHistory
from helix_ray.core.views.monitoring import SeriesView, SystemView
from helix_ray.plane.calls import Calls
from helix_ray.plane.nodes import Asks
from helix_ray.plane.responses import Response, as_answer, response_of


async def host_history(ask: Asks, calls: Calls, question: SystemHistory, by: Principal) -> Answer:
    """Answer how the hosts are and were."""
    figures = await ask(SystemFigures(question.node_id), by)
    if isinstance(figures, Rejected):
        return figures
    span = span_of(question, len(figures["hosts"]), time.time())
    if isinstance(span, Rejected):
        return span
    names = [host["hostname"] for host in figures["hosts"]]
    found: Response[Any] = response_of(await calls.history("read_hosts", names, span))
    series = as_answer(found)
    return series if isinstance(series, Rejected) else with_history(figures, span, names, series)


def with_history(
    figures: SystemView, span: Span, names: Sequence[str], series: Sequence[SeriesView]
) -> SystemView:
    """Return the answer with the points of its hosts."""
    hosts = [{"hostname": name, **points} for name, points in zip(names, series, strict=True)]
    until = span.start + span.count * span.step_s
    history = {"since": float(span.start), "until": float(until), "step": span.step_s, "hosts": hosts}
    return cast("SystemView", {**figures, "history": history})
