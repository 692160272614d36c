"""The control plane as this cluster's own processes hold it: HTTP replicas, node
workers, the historian, the supervisor.

It is the plane that every caller has (helix_ray/plane) over Ray's links. What is added is the system's own:
whether all that requests need is there, and the turns of this process's event loop, which the master is told.
"""

from __future__ import annotations

from typing import Any

from actors.readiness import Readings
from actors.turn_meter import TurnMeter
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.answers import Answer
from helix_ray.core.questions import ListWorkers, Question, Readiness
from helix_ray.plane.control import Plane
from helix_ray.plane.ray_links import RayLinks


class RayControlPlane(Plane):
    """ports.ControlPlane over Ray; make it on the event loop that uses it."""

    def __init__(self, *, process: str = "", cached: bool = False) -> None:
        """`process` names the kind of process whose turns are told to the master; without it
        none are measured. `cached` keeps tasks that were read, and answers from them while they
        are known to be current."""
        self._meter = TurnMeter(process) if process else None
        super().__init__(RayLinks(), cached=cached, linked=self._measure)
        self._readings = Readings(lambda: self.query(ListWorkers(), SYSTEM))

    async def query(self, question: Question, by: Principal, wait_s: float = 0.0) -> Answer:
        """Answer a question from the master, the history or the node that knows: as of now, or of later."""
        if isinstance(question, Readiness):
            return {"missing": await self._readings.missing()}
        return await super().query(question, by, wait_s)

    async def aclose(self) -> None:
        """Let go of the master; what is under way is not waited for. Safe to call twice."""
        if self._meter is not None:
            self._meter.close()
        await super().aclose()

    def _measure(self) -> None:
        if self._meter is not None:
            self._meter.start(self._tell)

    async def _tell(self, kind: str, process: str, report: dict[str, Any]) -> None:
        await self.calls.master("take_turns", kind, process, report, patience_s=0.0)
