"""The input of answers: state and pulses at one moment."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, TypeVar

from helix_ray.core.access import Principal
from helix_ray.core.errors import Rejected
from helix_ray.core.liveness import Liveness, Pulse
from helix_ray.core.placement import Fleet, RunningAttempt
from helix_ray.core.placement.node import prefetch_by
from helix_ray.core.placement.preempt import preemptible
from helix_ray.core.placement.tracked import TrackedFleet
from helix_ray.core.policy import Policy
from helix_ray.core.sign_ins import SignIns
from helix_ray.core.state import State, TaskClass, Worker

# The answer to a question of whatever kind: which view it is, the question says (core/questions.py).
Answer = Mapping[str, object] | Rejected


T = TypeVar("T")


def no_mac(text: str) -> str:
    """Return what authenticates nothing: there is no key."""
    return ""


@dataclass(slots=True)
class Picture:
    """State, pulses and policy for answers. `now` and `started_at` (of this epoch's
    master) in epoch seconds."""

    state: State
    liveness: Liveness
    _: KW_ONLY
    policy: Policy
    now: float
    epoch: int = 0
    started_at: float = 0.0
    # The nodes, kept from one question to the next so that each question costs only what has changed.
    tracked: TrackedFleet = field(default_factory=TrackedFleet)
    # Authenticates a text with the key of the control plane; "" without one.
    mac: Callable[[str], str] = no_mac
    sign_ins: SignIns = field(default_factory=SignIns)

    def nodes(self) -> list[Worker]:
        """Return the node workers, lost ones included."""
        return [worker for worker in self.state.workers.values() if worker.kind == "node"]

    def pulse(self, worker: Worker) -> Pulse | None:
        """Return a worker's last sign of life."""
        return self.liveness.pulses.get(worker.id)

    def prefetch(self, task_class: TaskClass) -> int:
        """Return the prefetch of a class."""
        return prefetch_by(self.state.durations, task_class)

    def fleet(self) -> Fleet:
        """Return the nodes that are not lost, as the scheduler sees them now; valid until the next call."""
        return self.tracked.pristine(self.state, self.liveness, self.now)

    def reserved_for(self) -> dict[str, str]:
        """Return, for each reserved node, the task it is reserved for."""
        return {
            node_id: reservation.task_id
            for reservation in self.liveness.reservations
            for node_id in reservation.nodes
        }

    def reservations_of(self, task_id: str, task_class: TaskClass) -> list[str]:
        """Return the nodes that are reserved for a task, or for its gang."""
        reservations = self.liveness.reservations
        mine = [
            reservation
            for reservation in reservations
            if reservation.task_id == task_id or (task_class.gang and reservation.task_class == task_class)
        ]
        return sorted(node_id for reservation in mine for node_id in reservation.nodes)

    def running(self, node_id: str) -> Sequence[RunningAttempt]:
        """Return the attempts of a node that may be preempted."""
        return tuple(preemptible(self.state, node_id, self.prefetch, self.policy.preemptions_max))


# By kind of question. A table cannot say that each gives the view of its question:
# tests/unit/core/test_verbs.py does.
Answerers = dict[type, Callable[[Picture, Any, Principal], Any]]
# For questions that are answered in steps: the state may change between two steps.
Steppers = dict[type, Callable[[Picture, Any, Principal], Generator[None, None, Any]]]
# Says of a question and its answer whether that has news, and should be sent before its wait is over.
NewsChecks = dict[type, Callable[[Any, Any], bool]]


def whole(steps: Generator[None, None, T]) -> T:
    """Return an answer that is made in steps, without a turn for others."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            found: T = done.value
            return found
