"""The effects that the state of a node (node_state.py) requests from the node worker.

Effects are values: the node worker carries them out in order, and tests compare them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from helix_ray.core.orders import AttemptReport
from helix_ray.core.state import Demand
from helix_ray.execution.assignment import Assignment, Finished
from helix_ray.execution.runtime_env import RuntimeEnv

Key = tuple[str, int]  # task id, attempt


@dataclass(frozen=True, slots=True)
class StartExecutor:
    """Start an executor with these resources, in a runtime environment; `ready`, `start_refused`,
    `environment_failed` or `gone` follows.

    `on_released`: it runs on CPUs that blocked attempts have released (released_cpus.py); Ray gives it none.
    """

    slot_id: str
    demand: Demand
    environment: RuntimeEnv | None = None
    on_released: bool = False


@dataclass(frozen=True, slots=True)
class FetchBlobs:
    """Bring files to this node, and keep them while it has the attempt; `fetched` or `fetch_failed`
    follows."""

    attempt: Key
    digests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GiveAttempts:
    """Send attempts to an executor, which runs them in this order after those that it has."""

    slot_id: str
    batch: tuple[Assignment, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class CancelAttempt:
    """Ask an executor to cancel an attempt."""

    slot_id: str
    attempt: Key


@dataclass(frozen=True, slots=True)
class AskBack:
    """Ask an executor for the attempts that it has not started; `returned` follows."""

    slot_id: str


@dataclass(frozen=True, slots=True)
class ReleaseExecutor:
    """End an executor and release its resources; nothing follows. `at_once`: something may run in it."""

    slot_id: str
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class KillExecutor:
    """Kill an executor that does not respond; `gone` follows."""

    slot_id: str


@dataclass(frozen=True, slots=True)
class Say:
    """Report an attempt to the control plane."""

    report: AttemptReport


@dataclass(slots=True)
class SayFinished:
    """Report the end of an attempt to the control plane, after storing its result. It is built for each
    attempt, and so not frozen (assignment.py)."""

    finished: Finished
    assignment: Assignment


Effect: TypeAlias = (
    StartExecutor
    | FetchBlobs
    | GiveAttempts
    | CancelAttempt
    | AskBack
    | ReleaseExecutor
    | KillExecutor
    | Say
    | SayFinished
)
