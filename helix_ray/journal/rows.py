"""Converts facts to rows of format 2 and back; journal/leaves.py computes the leaves of those it encodes.

A row omits values that are equal in the row before (`at`, `author`, `request`), except the first row of a
commit and of a tile of 256 facts. So a reader that starts anywhere looks back at most 255 rows. `RowReader`
fills in the omitted values.

A row has either content, from which its digest is computed, or the digest that an erasure left in its place:
one with both was changed, since a leaf says nothing of a digest beside content.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import chain, groupby
from ssl import RAND_bytes
from typing import Any, NamedTuple

import orjson

from helix_ray.core.codec import FIELDS, KINDS, SUBJECT, VERSIONS, maker_of, values_of
from helix_ray.core.events import Erased, Event, Fact
from helix_ray.core.origin import OK
from helix_ray.journal import layout
from helix_ray.journal.encoding import to_json
from helix_ray.journal.errors import JournalDamaged, SeqGap
from helix_ray.journal.interned import Author, Interned, Kind, Words
from helix_ray.journal.proofs import leaf_of
from helix_ray.plain import stored

# Tree nodes are stored from this level on; those within a tile are computed from its rows.
TILE_LEVEL = 8
TILE_FACTS = 1 << TILE_LEVEL
SALT_BYTES = 16
SALTS_AHEAD_BYTES = 4096

COLUMNS = "seq, kind, subject, content, at, author, request, digest"
# As written: (seq, kind, subject, content, at, author, request), or the first four where it omits the rest.
# A bytearray is bound at once, where Python's sqlite3 first looks for an adapter of bytes.
ROW_COLUMNS = 7
ShortRow = tuple[int, int, str, bytearray]
Row = tuple[int, int, str, bytearray, float | None, int | None, str | None]
# As read: its digest follows.
ReadRow = tuple[int, int, str, bytes | None, float | None, int | None, str | None, bytes | None]

_SALT = struct.Struct(f"{SALT_BYTES}s")


class WrittenKind(NamedTuple):
    """How facts of one event class are written."""

    header: bytes
    with_subject: bool
    values: Callable[[Any], tuple[Any, ...]]
    kind: Kind


def _written(made: type[Any]) -> WrittenKind:
    name = made.__name__
    kind = Kind(name, VERSIONS.get(name, 1), getattr(made, "outcome", OK))
    return WrittenKind(header_of_kind(kind), SUBJECT in FIELDS[name], values_of(name), kind)


def header_of_kind(kind: Kind) -> bytes:
    """Return the part of a fact's header that depends on its kind."""
    return orjson.dumps(tuple(kind))


def header_of_order(author: Author, at: float, request: str) -> bytes:
    """Return the part of a header that all facts of an order share."""
    epoch, actor, *origin = author
    return orjson.dumps((epoch, at, actor, request, *origin))


def header_of(order: bytes, seq: int, subject: str, kind: bytes) -> bytes:
    """Return a fact's header from its parts."""
    return order + orjson.dumps((seq, subject)) + kind


WRITTEN = {made: _written(made) for made in KINDS.values()}


class Shared(NamedTuple):
    """The values that a row may omit when they are equal in the row before."""

    at: float | None = None
    author: int | None = None
    request: str | None = None


ALONE = Shared()


def _unsaid(said: Shared, shared: Shared) -> tuple[float | None, int | None, str | None]:
    """Return the values that a row must contain after a row with the values `said`."""
    return (
        None if said.at == shared.at else shared.at,
        None if said.author == shared.author else shared.author,
        None if said.request == shared.request else shared.request,
    )


class Salts:
    """Random bytes, made in advance by OpenSSL's generator, which is as strong as the kernel's and takes an
    eighth of its time."""

    def __init__(self) -> None:
        self._left = b""
        self._place = 0

    def take(self, count: int) -> Iterable[bytes]:
        """Return `count` salts, each used once."""
        size = SALT_BYTES * count
        if self._place + size > len(self._left):
            self._left, self._place = RAND_bytes(max(size, SALTS_AHEAD_BYTES)), 0
        start, self._place = self._place, self._place + size
        return chain.from_iterable(_SALT.iter_unpack(self._left[start : self._place]))


class Encoded(NamedTuple):
    """The rows of a commit, and what their leaves are made of beside them: for each order the place of its
    first row and its part of the headers, and the part of each kind by its number."""

    rows: list[Row | ShortRow]
    orders: list[tuple[int, Author, float, str]]
    headers: dict[int, bytes]

    def body_sizes(self) -> list[int]:
        """Return how many bytes of JSON each row's body has."""
        return [len(row[3]) - SALT_BYTES for row in self.rows]


def encode(facts: Sequence[Fact], seq: int, epoch: int, words: Interned, salts: Salts) -> Encoded:
    """Return rows of facts that follow row `seq`, adding new kinds and authors to the side tables.
    Raises SeqGap.

    Every fact goes through this loop and those of leaves.py, which make as few calls as possible. One loop
    for both takes an eighth more of the time that the tree costs.
    """
    rows: list[Row | ShortRow] = []
    orders: list[tuple[int, Author, float, str]] = []
    headers: dict[int, bytes] = {}
    known: dict[type[Any], tuple[bool, Callable[[Any], tuple[Any, ...]], int]] = {}
    dumps, joined, add_row = orjson.dumps, bytearray().join, rows.append
    before: type[Any] | None = None
    at, actor, request, origin = None, None, None, None
    said, shared = ALONE, ALONE
    next_tile = seq - seq % -TILE_FACTS
    for fact, salt in zip(facts, salts.take(len(facts)), strict=True):
        if fact.seq != seq + 1:
            raise SeqGap(f"fact {fact.seq} does not follow {seq}")
        if seq == next_tile:
            said, next_tile = ALONE, seq + TILE_FACTS
        seq += 1
        event = fact.event
        made = type(event)
        if made is not before:
            before = made
            written = known.get(made)
            if written is None:
                header, with_subject, values, kind_of = WRITTEN[made]
                written = known[made] = with_subject, values, words.number_of_kind(kind_of)
                headers[written[2]] = header
            with_subject, values, kind = written
        subject = event.id if with_subject else ""  # type: ignore[union-attr]  # these have one
        try:
            content = joined((salt, dumps(values(event))))
        except TypeError:
            content = joined((salt, to_json(values(event))))
        # The facts of an order have the same objects; where equal ones differ, only a header is repeated.
        if (
            fact.request_id is not request
            or fact.origin is not origin
            or fact.at is not at
            or fact.actor is not actor
        ):
            at, actor, request, origin = fact.at, fact.actor, fact.request_id, fact.origin
            who = Author.of(epoch, actor, origin)
            shared = Shared(float(at), words.number_of_author(who), request)
            orders.append((len(rows), who, float(at), request))
        if said is shared:
            add_row((seq, kind, subject, content))
        else:
            add_row((seq, kind, subject, content, *_unsaid(said, shared)))
            said = shared
    return Encoded(rows, orders, headers)


def insert(con: sqlite3.Connection, rows: Iterable[Row | ShortRow]) -> None:
    """Insert rows in the open transaction, in order: each goes to the end of the table."""
    for columns, some in groupby(rows, len):
        con.executemany(layout.INSERT_FACT if columns == ROW_COLUMNS else layout.INSERT_SHORT_FACT, some)


class RowReader:
    """Turns rows into facts and leaves; `words` resolves their integers."""

    def __init__(self, words: Words) -> None:
        self._words = words

    def facts(self, rows: Iterable[ReadRow], shared: Shared = ALONE) -> list[Fact]:
        """Return the facts of rows; `shared` has the values of the row before the first. Raises
        UnknownKind, JournalDamaged.

        Values that an older release accepted and no answer can show are escaped (helix_ray/plain.py).
        """
        found: list[Fact] = []
        at, author, request = shared
        kind_of, author_of = self._words.kind, self._words.author
        actor, origin, known = "", None, None
        makers: dict[int, tuple[str, Callable[[str, list[Any]], Event]]] = {}
        try:
            for seq, kind, subject, content, at_, author_, request_, _ in rows:
                if at_ is not None:
                    at = at_
                if author_ is not None:
                    author = author_
                if request_ is not None:
                    request = request_
                if author != known or origin is None:
                    # A row without an author raises KeyError.
                    who = author_of(author)  # type: ignore[arg-type]
                    actor, origin, known = who.actor, who.origin(), author
                if kind not in makers:
                    name, version, _ = kind_of(kind)
                    makers[kind] = name, maker_of(name, version)
                name, make = makers[kind]
                event = (
                    make(subject, stored(content[SALT_BYTES:]))
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
        """Yield the leaves of rows that must follow row `seq`. Raises JournalDamaged for
        a gap or an invalid row."""
        for header, digest in self.parts(rows, seq, shared):
            yield leaf_of(header, None, digest)

    def parts(
        self, rows: Iterable[ReadRow], seq: int, shared: Shared = ALONE
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield header and digest of rows that must follow row `seq`: what their leaves are made of.
        Raises JournalDamaged for a gap or an invalid row."""
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
                if (content is None) is (digest is None):
                    raise ValueError("a row must have either content or its digest")
                if content is not None:
                    digest = sha256(content).digest()
                if not isinstance(digest, bytes):
                    raise ValueError("a digest must be bytes")
                header = header_of(order, seq, subject, kinds[kind])
            except (KeyError, TypeError, ValueError) as error:
                # A damaged row can contain text where bytes belong, or unknown integers.
                raise JournalDamaged(f"fact {seq} was changed after it was written") from error
            yield header, digest
