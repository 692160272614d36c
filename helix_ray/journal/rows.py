"""Facts to rows of format 2 and back, and the leaf of each (journal/proofs.py says what a leaf is made of).

A row leaves out what the row before says (`at`, `author`, `request`), but for the first of a commit and of a tile of 256 facts: so
whoever reads from somewhere looks back 255 rows at most. `RowReader` fills them in.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

import orjson

from helix_ray.core.codec import KINDS, VERSIONS, from_values, values_of
from helix_ray.core.events import Erased, Fact, subject_of
from helix_ray.core.origin import OK
from helix_ray.journal.encoding import to_json
from helix_ray.journal.errors import JournalDamaged, SeqGap
from helix_ray.journal.interned import Author, Interned, Kind, Words
from helix_ray.journal.proofs import leaf_of
from helix_ray.plain import stored

# Nodes of the tree are stored from this level on: what stands over a tile is computed from its rows.
TILE_LEVEL = 8
TILE_FACTS = 1 << TILE_LEVEL
SALT_BYTES = 16

COLUMNS = "seq, kind, subject, content, at, author, request, digest"
# As written: (seq, kind, subject, content, at, author, request); a row is read with its digest behind them.
Row = tuple[int, int, str, bytes | None, float | None, int | None, str | None]
ReadRow = tuple[int, int, str, bytes | None, float | None, int | None, str | None, bytes | None]

_LEAF = b"\x00"


@dataclass(frozen=True, slots=True)
class _Written:
    """How facts of a kind of event are written."""

    kind: Kind
    header: bytes
    values: Callable[[Any], tuple[Any, ...]]


def _written(made: type[Any]) -> _Written:
    name = made.__name__
    kind = Kind(name, VERSIONS.get(name, 1), getattr(made, "outcome", OK))
    return _Written(kind, header_of_kind(kind), values_of(name))


def header_of_kind(kind: Kind) -> bytes:
    """Return the part of a fact's header that its kind makes up."""
    return orjson.dumps(tuple(kind))


def header_of_order(author: Author, at: float, request: str) -> bytes:
    """Return the part of a header that all facts of an order share."""
    epoch, actor, *origin = author
    return orjson.dumps((epoch, at, actor, request, *origin))


def header_of(order: bytes, seq: int, subject: str, kind: bytes) -> bytes:
    """Return a fact's header from its parts."""
    return order + orjson.dumps((seq, subject)) + kind


_WRITTEN = {made: _written(made) for made in KINDS.values()}


def encode(facts: Sequence[Fact], seq: int, epoch: int, words: Interned) -> tuple[list[Row], list[bytes]]:
    """Return rows and leaves of facts that follow row `seq`, adding what is new to the side tables. Raises SeqGap."""
    rows: list[Row] = []
    leaves: list[bytes] = []
    dumps, hashed = orjson.dumps, sha256
    numbers: dict[type[Any], int] = {}
    salts = os.urandom(SALT_BYTES * len(facts))
    at, actor, request, origin = None, None, None, None
    said_at, said_author, said_request = None, None, None
    author, order = 0, b""
    for place, fact in enumerate(facts):
        if fact.seq != seq + 1:
            raise SeqGap(f"fact {fact.seq} does not follow {seq}")
        if seq % TILE_FACTS == 0:
            said_at, said_author, said_request = None, None, None
        seq += 1
        if fact.at != at or fact.actor != actor or fact.request_id != request or fact.origin is not origin:
            at, actor, request, origin = float(fact.at), fact.actor, fact.request_id, fact.origin
            who = Author.of(epoch, actor, origin)
            author, order = words.number_of_author(who), header_of_order(who, at, request)
        event = fact.event
        made = type(event)
        written = _WRITTEN[made]
        kind = numbers.get(made)
        if kind is None:
            kind = numbers[made] = words.number_of_kind(written.kind)
        subject = subject_of(event)
        content = salts[SALT_BYTES * place : SALT_BYTES * (place + 1)] + to_json(written.values(event))
        header = order + dumps((seq, subject)) + written.header
        leaves.append(hashed(_LEAF + header + hashed(content).digest()).digest())
        rows.append((
            seq, kind, subject, content,
            None if said_at == at else at,
            None if said_author == author else author,
            None if said_request == request else request,
        ))  # fmt: skip
        said_at, said_author, said_request = at, author, request
    return rows, leaves


class Shared(NamedTuple):
    """What a row may leave to the one before it."""

    at: float | None = None
    author: int | None = None
    request: str | None = None


ALONE = Shared()


class RowReader:
    """Turns rows into facts and leaves; `words` says what the integers in them stand for."""

    def __init__(self, words: Words) -> None:
        self._words = words

    def facts(self, rows: Iterable[ReadRow], shared: Shared = ALONE) -> list[Fact]:
        """Return the facts of rows, of which the first follows one that said `shared`. Raises UnknownKind, JournalDamaged.

        What an older release took in, and no answer could show, comes escaped (helix_ray/plain.py).
        """
        found: list[Fact] = []
        at, author, request = shared
        kind_of, author_of = self._words.kind, self._words.author
        actor, origin, known = "", None, None
        try:
            for seq, kind, subject, content, at_, author_, request_, _ in rows:
                if at_ is not None:
                    at = at_
                if author_ is not None:
                    author = author_
                if request_ is not None:
                    request = request_
                if author != known or origin is None:
                    who = author_of(author)  # type: ignore[arg-type]  # a row without an author raises KeyError
                    actor, origin, known = who.actor, who.origin(), author
                name, version, _ = kind_of(kind)
                event = (
                    from_values(name, version, subject, stored(content[SALT_BYTES:]))
                    if content is not None
                    else Erased(subject, name)
                )
                found.append(Fact(seq, at, actor, request, event, origin))  # type: ignore[arg-type]
        except KeyError as error:
            raise JournalDamaged(
                f"fact {seq} refers to a kind or an author that is not in the journal"
            ) from error
        return found

    def leaves(self, rows: Iterable[ReadRow], seq: int, shared: Shared = ALONE) -> Iterator[bytes]:
        """Yield the leaves of rows that should follow row `seq`. Raises JournalDamaged for a gap, or what is no row."""
        at, author, request = shared
        order, known = b"", ALONE
        kinds: dict[int, bytes] = {}
        for found, kind, subject, content, at_, author_, request_, digest in rows:
            if found != seq + 1:
                raise JournalDamaged(f"facts {seq + 1} to {found - 1} are missing from the journal")
            seq = found
            if at_ is not None:
                at = at_
            if author_ is not None:
                author = author_
            if request_ is not None:
                request = request_
            try:
                if known != (at, author, request):
                    known = Shared(at, author, request)
                    order = header_of_order(self._words.author(author), at, request)  # type: ignore[arg-type]
                if kind not in kinds:
                    kinds[kind] = header_of_kind(self._words.kind(kind))
                yield leaf_of(header_of(order, seq, subject, kinds[kind]), content, digest)
            except (KeyError, TypeError, ValueError) as error:
                # A damaged row can hold text where bytes belong, or integers that stand for nothing.
                raise JournalDamaged(f"fact {seq} was changed after it was written") from error
