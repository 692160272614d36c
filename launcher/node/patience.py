"""Decides what a worker node does about its head: stay, leave a cluster that has ended, or give up. No I/O,
no clock.

A head whose machine refuses the connection has stopped, and with it the cluster: the GCS keeps it in memory
only. A head that does not respond at all may be on the other side of a broken link, with the cluster alive.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

# A single refusal may only mean that the listen backlog is full.
REFUSALS_MIN = 2


class Head(Enum):
    """The result of a connection to the head's port."""

    OPEN = auto()
    REFUSED = auto()
    SILENT = auto()


class Advice(Enum):
    """What to do now."""

    JOIN = auto()  # the head responds: join its cluster
    WAIT = auto()  # leave running processes alone, start nothing
    LEAVE = auto()  # the cluster has ended: stop Ray, wait for the next cluster
    GIVE_UP = auto()  # exit


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to wait for a head that has stopped, and for one that is silent; seconds."""

    stopped_s_max: float
    silent_s_max: float


class Patience:
    """What one worker node remembers of its connections to the head."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._refusals = 0
        self._away_since: float | None = None
        self._refused_since: float | None = None

    def look(self, head: Head, now: float) -> Advice:
        """Record the result of a connection, about once a second, and return what to do."""
        if head is Head.OPEN:
            self._refusals, self._away_since, self._refused_since = 0, None, None
            return Advice.JOIN
        if self._away_since is None:
            self._away_since = now
        if head is Head.SILENT:
            self._refusals, self._refused_since = 0, None
            return Advice.GIVE_UP if now - self._away_since > self._limits.silent_s_max else Advice.WAIT
        self._refusals += 1
        if self._refused_since is None:
            self._refused_since = now
        if now - self._refused_since > self._limits.stopped_s_max:
            return Advice.GIVE_UP
        return Advice.LEAVE if self._refusals >= REFUSALS_MIN else Advice.WAIT
