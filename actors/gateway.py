"""The control plane for the cluster's own processes: HTTP replicas, node workers, the
historian, the supervisor.

It is the plane of all callers (helix_ray/plane) over Ray's links, with two additions: the readiness of all
parts, and reports about this process's event loop for the master.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from actors.readiness import Readings
from actors.turn_meter import TurnMeter
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.errors import Rejected
from helix_ray.core.questions import ListWorkers, QuestionKind, Readiness, View
from helix_ray.core.views.figures import LoopReport, ReplicaReport, TraceFigures, WebhookFigures
from helix_ray.followers.lag import Lag
from helix_ray.plane.control import Plane
from helix_ray.plane.ray_links import RayLinks


class RayControlPlane(Plane):
    """ports.ControlPlane over Ray; construct it on the event loop that uses it."""

    def __init__(self, *, process: str = "", cached: bool = False, sync_shards: int = 1) -> None:
        """`process` is the kind of process for reports about its event loop; without it there are none.
        `cached`: answer reads of tasks from a cache while the entries are known to be current.
        `sync_shards` is how many SyncDevices actors there are."""
        self._meter = TurnMeter(process) if process else None
        super().__init__(RayLinks(), cached=cached, linked=self._measure, sync_shards=sync_shards)
        self._readings = Readings(lambda: self.query(ListWorkers(), SYSTEM))

    async def query(
        self, question: QuestionKind[View], by: Principal, wait_s: float = 0.0
    ) -> View | Rejected:
        """Answer a question from the master, the history or a node; the answer is
        as of the call, or later."""
        if isinstance(question, Readiness):
            return cast("View", {"missing": await self._readings.missing()})
        return await super().query(question, by, wait_s)

    async def aclose(self) -> None:
        """Close the link to the master without waiting for calls under way; safe to call twice."""
        if self._meter is not None:
            self._meter.close()
        await super().aclose()

    def report_lag(self, lag: Callable[[], Lag]) -> None:
        """Report how far behind a follower of this process is, along with the turns of its loop."""
        if self._meter is not None:
            self._meter.lags.append(lag)

    def report_webhooks(self, figures: Callable[[], WebhookFigures]) -> None:
        """Report figures about webhooks, along with the turns of this process's loop."""
        if self._meter is not None:
            self._meter.webhooks = figures

    def report_traces(self, figures: TraceFigures) -> None:
        """Report what this process has exported, along with the turns of its loop."""
        if self._meter is not None:
            self._meter.traces = figures

    def report_replica(self, report: Callable[[], ReplicaReport]) -> None:
        """Report what this API replica has answered, along with the turns of its loop."""
        if self._meter is not None:
            self._meter.replica = report

    def _measure(self) -> None:
        if self._meter is not None:
            self._meter.start(self._report_turns)

    async def _report_turns(self, kind: str, process: str, report: LoopReport) -> None:
        await self.calls.master("take_turns", kind, process, report, patience_s=0.0)
