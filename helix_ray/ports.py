"""The interfaces between the engine, the actors and the HTTP routes.

ControlPlane is the only way to the control plane (three verbs). Journal is the store.
Clock is time as an argument. Blobs are files named by their SHA-256.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # whoever has a snapshot or a batch need not load every order, fact and question
    from helix_ray.core.about import About
    from helix_ray.core.access import Principal
    from helix_ray.core.errors import Rejected
    from helix_ray.core.events import Fact
    from helix_ray.core.orders import Order, Receipt
    from helix_ray.core.orders.kind import Data
    from helix_ray.core.questions import QuestionKind, View


@dataclass(frozen=True, slots=True)
class Batch:
    """Facts after a cursor. `head` is the newest seq; `abouts`, where they were asked for, say of each fact
    what it is about as the state knew it then."""

    facts: tuple[Fact, ...]
    cursor: int
    head: int
    abouts: tuple[About, ...] = ()


STARTING = "it is still starting"


@dataclass(frozen=True, slots=True)
class NotReady:
    """The response of an actor that is not ready; `reason` is None during its first try."""

    reason: str | None


class ControlPlane(Protocol):
    """The control plane for all its users: HTTP routes, workers, devices, the Python API and followers."""

    async def execute(self, order: Order[Data]) -> Receipt[Data] | Rejected:
        """Carry out an order; when a Receipt comes back, its facts are durable."""
        ...

    async def query(
        self, question: QuestionKind[View], by: Principal, wait_s: float = 0.0
    ) -> View | Rejected:
        """Answer a question; one that waits for a change is answered after at most `wait_s`."""
        ...

    async def events(
        self, after: int, limit: int, by: Principal, wait_s: float = 0.0, *, abouts: bool = False
    ) -> Batch:
        """Return the facts after a cursor that `by` may see (core/feeds.py), waiting up to `wait_s` for some.

        The cursor also moves past other facts, so a batch may be empty with a later cursor. `abouts` says
        of each fact what it is about (core/about.py). Raises
        Refused when `by` does not exist any more (UNAUTHORIZED), or the control plane does not
        respond (SERVICE_UNAVAILABLE).
        """
        ...


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A folded state as JSON values. With another `fold_version` it is ignored, and the journal is folded.

    A long list of the body may be an iterable of rows instead.
    """

    seq: int
    fold_version: int
    body: dict[str, Any]


class Journal(Protocol):
    """The append-only store of facts. One writer; every method is synchronous."""

    epoch: int

    def append(self, facts: Sequence[Fact]) -> list[int]:
        """Make facts durable, in one commit; on return they survive kill -9 and power loss. Return how many
        bytes each body has."""
        ...

    def head(self) -> int:
        """Return the seq of the newest fact (0 when empty)."""
        ...

    def read_after(self, seq: int, limit: int, bytes_max: int | None = None) -> list[Fact]:
        """Return up to `limit` facts after `seq`, in order; they end with the one whose body
        reaches `bytes_max`, if that is given."""
        ...

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """Store a snapshot; older ones may be dropped."""
        ...

    def load_snapshot(self) -> Snapshot | None:
        """Return the newest snapshot."""
        ...

    def erase(self, fact: Fact) -> None:
        """Append a FactsErased and erase the bodies of the facts that it names; all proofs stay valid."""
        ...

    def root(self, size: int | None = None) -> bytes:
        """Return the root of the Merkle tree over the first `size` facts (default: all)."""
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


class Vault(Protocol):
    """Seals texts that are kept, and opens them again; authenticates texts that return."""

    def seal(self, text: str) -> str:
        """Return a sealed text, another one each time."""
        ...

    def open(self, sealed: str) -> str:
        """Return the text; one that was not sealed, or not with a key that is here, as it is."""
        ...

    def mac(self, text: str) -> str:
        """Return what only the holder of the key can make of a text, the same each time."""
        ...

    def genuine(self, text: str, mac: str) -> bool:
        """Say whether `mac` made this of the text, with a key that is here."""
        ...


class Blobs(Protocol):
    """Files that are named by the SHA-256 of their bytes, in hex; blobs/errors.py has what is raised."""

    async def write(self, chunks: AsyncIterable[bytes]) -> tuple[str, int]:
        """Write a blob and return its digest and bytes; it is durable then. One that is there stays.

        Where `chunks` raises, nothing is left of it. Raises StoreFull and UploadLost.
        """
        ...

    async def open(self, digest: str) -> AsyncIterator[bytes]:
        """Return the bytes of a blob in pieces. Raises BlobMissing at once, and BlobDamaged before the last
        piece."""
        ...

    async def has(self, digest: str) -> bool:
        """Say whether a blob is there."""
        ...


class Clock(Protocol):
    """The clock of the actors; the core takes times as arguments."""

    def wall(self) -> float:
        """Return epoch seconds."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...
