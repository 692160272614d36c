"""A journal without tree and signatures: what is left is what any durable log in SQLite does."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

from helix_ray.checkpoints import Checkpoint, CheckpointKeeper, Tree
from helix_ray.core.events import Fact
from helix_ray.journal import layout
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


class Switch:
    """Whether the journal of a data directory is written with its tree: one byte of a file, which the server
    and whoever measures it have in memory."""

    def __init__(self, data_dir: Path) -> None:
        path = data_dir / "tree.switch"
        if not path.exists():
            path.write_bytes(b"\x01")
        with path.open("r+b") as file:
            self._byte = mmap.mmap(file.fileno(), 1)

    @property
    def on(self) -> bool:
        """Whether facts are written with their tree."""
        return self._byte[0] == 1

    def turn(self, on: bool) -> None:
        """Have the commits from now on be written with the tree, or without."""
        self._byte[0] = int(on)


class Switched(Treeless):
    """Writes with the tree or without, as its switch says; what was written without is added to the tree
    by the first commit with it, so that the journal is whole."""

    def __init__(self, data_dir: Path, *arguments: Any, **named: Any) -> None:
        super().__init__(data_dir, *arguments, **named)
        self.switch = Switch(data_dir)
        # How many facts the tree lacks.
        self._lacks = 0

    def append(self, facts: Sequence[Fact]) -> list[int]:
        """Insert facts in one commit."""
        if not self.switch.on:
            sizes = super().append(facts)
            self._lacks += len(facts)
            return sizes
        if self._lacks:
            self._make_whole()
        return SqliteJournal.append(self, facts)

    @property
    def is_whole(self) -> bool:
        """Whether the tree has all facts, and is to have the next ones."""
        return self.switch.on and not self._lacks

    def _make_whole(self) -> None:
        with self._transaction() as con:
            head = self._edge.size
            leaves = b"".join(self._tree.leaves(head - self._lacks, head))
            self._edge.size = head - self._lacks
            growth = self._edge.growth(self._lacks, lambda: leaves)
            con.executemany(layout.INSERT_NODE, growth.nodes)
        self._edge.grow(growth)
        self._lacks = 0

    def root(self, size: int | None = None) -> bytes:
        """Return the root; it is asked for while the tree is whole."""
        return SqliteJournal.root(self, size)

    def mark_head(self) -> None:
        """Make HEAD durable, if it is kept."""
        if self.switch.on:
            super().mark_head()


class SwitchedKeeper(CheckpointKeeper):
    """Signs checkpoints of a tree that is whole."""

    def due(self, tree: Tree) -> Checkpoint | None:
        """Return the checkpoint to sign next, if any."""
        assert isinstance(tree, Switched)
        return super().due(tree) if tree.is_whole else None
