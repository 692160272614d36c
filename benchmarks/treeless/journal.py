"""A journal without tree and signatures: what is left is what any durable log in SQLite does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from helix_ray.core.events import Fact
from helix_ray.journal.interned import Author
from helix_ray.journal.rows import SALT_BYTES, TILE_FACTS, WRITTEN, Row, ShortRow, insert
from helix_ray.journal.sqlite import SqliteJournal

# Where the salt is, so that the same code reads the rows.
_NO_SALT = bytearray(SALT_BYTES)


class Treeless(SqliteJournal):
    """The same file and commits, written with the same care, without salts, leaves, nodes and HEAD."""

    def append(self, facts: Sequence[Fact]) -> list[int]:
        """Insert facts in one commit."""
        if not facts:
            return []
        with self._transaction() as con:
            rows = self._rows(facts)
            insert(con, rows)
        self._edge.size += len(facts)
        return [len(row[3]) - SALT_BYTES for row in rows]

    def _rows(self, facts: Sequence[Fact]) -> list[Row | ShortRow]:
        rows: list[Row | ShortRow] = []
        known: dict[type[Any], tuple[bool, Callable[[Any], tuple[Any, ...]], int]] = {}
        said: tuple[object, ...] = ()
        for fact in facts:
            event = fact.event
            written = known.get(type(event))
            if written is None:
                _, with_subject, values, kind_of = WRITTEN[type(event)]
                written = known[type(event)] = with_subject, values, self._words.number_of_kind(kind_of)
            with_subject, values, kind = written
            subject = event.id if with_subject else ""  # type: ignore[union-attr]  # these have one
            body = _NO_SALT + orjson.dumps(values(event))
            of = (fact.at, fact.actor, fact.request_id, fact.origin)
            if of == said and (fact.seq - 1) % TILE_FACTS:
                rows.append((fact.seq, kind, subject, body))
                continue
            said = of
            author = self._words.number_of_author(Author.of(self.epoch, fact.actor, fact.origin))
            rows.append((fact.seq, kind, subject, body, fact.at, author, fact.request_id))
        return rows

    def root(self, size: int | None = None) -> bytes:
        """Return zeros where the root would be."""
        return bytes(32)
