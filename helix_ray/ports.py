"""The seams: what the engine, the actors and the HTTP routes know of each other.

ControlPlane is the one door (three verbs). Journal is the one store of truth. Clock is time as an argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from helix_ray.core.access import Principal
from helix_ray.core.errors import Rejected
from helix_ray.core.events import Fact
from helix_ray.core.orders import Order, Receipt
from helix_ray.core.questions import Question


@dataclass(frozen=True, slots=True)
class Batch:
    """Facts after a cursor. `head` is the newest seq there is."""

    facts: tuple[Fact, ...]
    cursor: int
    head: int


STARTING = "it is still starting"


@dataclass(frozen=True, slots=True)
class NotReady:
    """The answer of an actor that does not live yet; `reason` is None while its first try is under way."""

    reason: str | None


class ControlPlane(Protocol):
    """The one door: HTTP routes, workers, devices, the Python API and the followers all use these verbs."""

    async def execute(self, order: Order) -> Receipt | Rejected:
        """Carry out an order; when a Receipt comes back, its facts are durable."""
        ...

    async def query(
        self, question: Question, by: Principal, wait_s: float = 0.0
    ) -> dict[str, Any] | Rejected:
        """Answer a question; one that can wait for news is answered at the latest after `wait_s`."""
        ...

    async def events(self, after: int, limit: int, by: Principal, wait_s: float = 0.0) -> Batch:
        """Return what somebody sees of the facts after a cursor (core/feeds.py), waiting
        up to `wait_s` for news.

        The cursor moves past what they do not see, so that a batch may be empty and its cursor
        a later one. Raises Refused (UNAUTHORIZED) when they are gone, and where the control
        plane does not answer (SERVICE_UNAVAILABLE).
        """
        ...


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A folded state as JSON values. One of another `fold_version` is thrown away and the journal folded."""

    seq: int
    fold_version: int
    body: dict[str, Any]


class Journal(Protocol):
    """The append-only truth. One writer; every method is synchronous."""

    epoch: int

    def append(self, facts: Sequence[Fact]) -> None:
        """Make facts durable, in one commit; on return they survive kill -9 and power loss."""
        ...

    def head(self) -> int:
        """Return the seq of the newest fact (0 when empty)."""
        ...

    def read_after(self, seq: int, limit: int) -> list[Fact]:
        """Return up to `limit` facts after `seq`, in order."""
        ...

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep a snapshot; older ones may be dropped."""
        ...

    def load_snapshot(self) -> Snapshot | None:
        """Return the newest snapshot."""
        ...

    def erase(self, fact: Fact) -> None:
        """Make a FactsErased durable and take what the facts that it names said away; all
        proofs stay as they are."""
        ...

    def root(self, size: int | None = None) -> bytes:
        """Return the root of the Merkle tree over the first `size` facts, over all without one."""
        ...

    def leaf(self, seq: int) -> bytes:
        """Return a fact's leaf in that tree."""
        ...

    def inclusion_proof(self, seq: int, size: int | None = None) -> list[bytes]:
        """Return the path from a fact to the root of the first `size` facts."""
        ...

    def consistency_proof(self, old: int, new: int | None = None) -> list[bytes]:
        """Return the proof that the tree of the first `new` facts begins with that of the first `old`."""
        ...

    def close(self) -> None:
        """Release the store; safe to call twice."""
        ...


class Clock(Protocol):
    """Time for the shells; the core gets it as arguments."""

    def wall(self) -> float:
        """Return epoch seconds."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...
