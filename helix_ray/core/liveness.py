"""The last signs of life of workers, by monotonic time. They live in memory only: a
restart costs one lease time.

A stall of the control loop must not end leases: when the last call of `judge` was too long ago, all
workers get that time added.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import KW_ONLY, dataclass, field

from helix_ray.core.changes import DirtyLog
from helix_ray.core.device_history import DeviceHistory
from helix_ray.core.device_usage import devices_in
from helix_ray.core.host_sample import HeardSample, HostSample
from helix_ray.core.specs import Usage
from helix_ray.core.state import State, TaskClass
from helix_ray.core.waits import Reservation, WaitLog

# A longer pause between calls of `judge` counts as a stall.
STALL_S = 1.0
# What the history has not taken is bounded: about a second of the largest clusters.
HOST_SAMPLES_MAX = 10_000
# Uses of sessions that have ended are swept out when there are so many more than open sessions.
SESSIONS_USED_MIN = 1_000


@dataclass(slots=True)
class Pulse:
    """A worker's last sign of life."""

    mono: float
    wall: float
    _: KW_ONLY
    status: str | None = None
    current_task: str | None = None
    usage: Usage = field(default_factory=Usage)
    # Extra time for stalls since then, in seconds.
    grace_s: float = 0.0
    # The number of the heartbeat in this boot; None where it is not numbered.
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """A worker gave a sign of life; `number` counts them in its boot."""

    worker_id: str
    status: str | None = None
    current_task: str | None = None
    usage: Usage = field(default_factory=Usage)
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """A worker has registered."""

    worker_id: str


@dataclass(frozen=True, slots=True)
class Gone:
    """A worker was removed."""

    worker_id: str


Sign = Heard | Begun | Gone


def _overtaken(number: int | None, newest: int | None) -> bool:
    return number is not None and newest is not None and number <= newest


class Liveness:
    """Pulses by worker id, and why tasks waited."""

    def __init__(self) -> None:
        self.pulses: dict[str, Pulse] = {}
        # Workers with a sign of life.
        self.dirty = DirtyLog()
        self.waits = WaitLog()
        self.devices = DeviceHistory()
        # Samples of hosts that the history has not taken yet: worker, when it was heard, sample.
        self.hosts: deque[tuple[str, float, HostSample]] = deque(maxlen=HOST_SAMPLES_MAX)
        # The reservations of the last plan.
        self.reservations: tuple[Reservation, ...] = ()
        # Nodes that classes did not get in the last plan because they are reserved for other tasks.
        self.kept_out: dict[TaskClass, tuple[str, ...]] = {}
        # When API replicas last asked about a session, epoch seconds: within a second of each use.
        self.sessions_used: dict[str, float] = {}
        self._judged: float | None = None

    def use(self, session_id: str, sessions: Collection[str], wall: float) -> None:
        """Note that one of the open sessions is in use; those that have ended are forgotten."""
        if len(self.sessions_used) > 2 * len(sessions) + SESSIONS_USED_MIN:
            self.sessions_used = {each: at for each, at in self.sessions_used.items() if each in sessions}
        if session_id in sessions:
            self.sessions_used[session_id] = wall

    def note(self, sign: Sign, mono: float, wall: float) -> None:
        """Record a sign of life from an order."""
        if isinstance(sign, Heard):
            pulse = Pulse(
                mono,
                wall,
                status=sign.status,
                current_task=sign.current_task,
                usage=sign.usage,
                number=sign.number,
            )
            self.heard(sign.worker_id, pulse)
            self.devices.note(sign.worker_id, devices_in(sign.usage), wall)
            if "host" in sign.usage:
                self.hosts.append((sign.worker_id, wall, sign.usage["host"]))
        elif isinstance(sign, Begun):
            self.begin(sign.worker_id, Pulse(mono, wall))
        else:
            self.forget(sign.worker_id)

    def take_hosts(self, state: State) -> list[HeardSample]:
        """Return the samples of hosts since the last call."""
        taken = [*self.hosts]
        self.hosts.clear()
        workers = state.workers
        return [
            HeardSample(workers[by].hostname, by, wall, sample) for by, wall, sample in taken if by in workers
        ]

    def heard(self, worker_id: str, pulse: Pulse) -> None:
        """Record a sign of life; one that is older than the last one, or was
        overtaken by it, changes nothing."""
        known = self.pulses.get(worker_id)
        if known is not None and (pulse.mono < known.mono or _overtaken(pulse.number, known.number)):
            return
        self.begin(worker_id, pulse)

    def begin(self, worker_id: str, pulse: Pulse) -> None:
        """Record that a worker has registered: its heartbeats are numbered from the start."""
        self.pulses[worker_id] = pulse
        self.dirty.note(worker_id)

    def forget(self, worker_id: str) -> None:
        """Remove a worker."""
        self.pulses.pop(worker_id, None)
        self.devices.forget(worker_id)

    def judge(self, lease_s: dict[str, float], now: float) -> list[str]:
        """Return the workers, of those in `lease_s`, that were silent for longer than their lease.

        A worker without a pulse (after a restart) gets one now.
        """
        stall = 0.0 if self._judged is None else max(0.0, now - self._judged - STALL_S)
        self._judged = now
        if stall > 0:
            for pulse in self.pulses.values():
                pulse.grace_s += stall
        silent = []
        for worker_id, lease in lease_s.items():
            pulse = self.pulses.setdefault(worker_id, Pulse(now, 0.0))
            if now - pulse.mono - pulse.grace_s > lease:
                silent.append(worker_id)
        return silent
