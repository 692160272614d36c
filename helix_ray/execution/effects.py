"""What the state of a node (node_state.py) asks of whoever holds its processes and its link to the master.

Effects are values: the node worker carries them out in order, a test compares them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from helix_ray.core.orders import AttemptReport
from helix_ray.core.state import Demand
from helix_ray.execution.assignment import Assignment, Finished

Key = tuple[str, int]  # task id, attempt


@dataclass(frozen=True, slots=True)
class StartExecutor:
    """Start an executor with these resources; `ready`, `start_refused` or `gone` follows."""

    slot_id: str
    demand: Demand


@dataclass(frozen=True, slots=True)
class GiveAttempts:
    """Send attempts to an executor, which runs them in this order after what it has."""

    slot_id: str
    batch: tuple[Assignment, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class CancelAttempt:
    """Ask an executor to end an attempt."""

    slot_id: str
    attempt: Key


@dataclass(frozen=True, slots=True)
class AskBack:
    """Ask an executor for what it has not begun; `returned` follows."""

    slot_id: str


@dataclass(frozen=True, slots=True)
class ReleaseExecutor:
    """End an executor and give its resources back; nothing follows."""

    slot_id: str


@dataclass(frozen=True, slots=True)
class KillExecutor:
    """Kill an executor that does not listen; `gone` follows."""

    slot_id: str


@dataclass(frozen=True, slots=True)
class EndGroup:
    """End what is left of a command whose executor is gone."""

    pgid: int
    attempt: Key


@dataclass(frozen=True, slots=True)
class Say:
    """Tell the control plane about an attempt."""

    report: AttemptReport


@dataclass(frozen=True, slots=True)
class SayFinished:
    """Tell the control plane how an attempt ended, its result first put where it belongs."""

    finished: Finished
    assignment: Assignment


Effect: TypeAlias = (
    StartExecutor
    | GiveAttempts
    | CancelAttempt
    | AskBack
    | ReleaseExecutor
    | KillExecutor
    | EndGroup
    | Say
    | SayFinished
)
