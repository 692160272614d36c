"""Stores repeated parts of facts as small integers: kinds, and authors with their origin.

The integers are rows of two side tables of the file (or lists of a segment). The hash of a row covers the
values behind the integers, so a changed side table is noticed like a changed row.
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple, Protocol

from helix_ray.core.origin import Origin

# How many authors are cached; an author that comes back after its eviction gets another
# row, which is harmless.
AUTHORS_REMEMBERED_MAX = 10_000


class Kind(NamedTuple):
    """The kind of an event, the version of its body, and the outcome of its order."""

    name: str
    version: int
    outcome: str


class Author(NamedTuple):
    """The author of facts, the origin, and the epoch."""

    epoch: int
    actor: str
    address: str
    credential: str
    user_agent: str

    @classmethod
    def of(cls, epoch: int, actor: str, origin: Origin) -> Author:
        """Return the author of a fact."""
        return cls(epoch, actor, origin.address, origin.credential, origin.user_agent)

    def origin(self) -> Origin:
        """Return the origin of this author's orders."""
        return Origin(self.address, self.credential, self.user_agent)


class Words(Protocol):
    """Looks up the integers in rows; raises KeyError for an unknown one."""

    def kind(self, number: int) -> Kind:
        """Return a kind."""
        ...

    def author(self, number: int) -> Author:
        """Return an author."""
        ...


class Interned:
    """The side tables of a file, through one connection."""

    def __init__(self, con: sqlite3.Connection) -> None:
        self._con = con
        self.forget()

    def forget(self) -> None:
        """Clear the cache: after a rollback its entries may not be in the file."""
        self._kinds: dict[int, Kind] = {}
        self._kind_numbers: dict[Kind, int] = {}
        self._authors: dict[int, Author] = {}
        self._author_numbers: dict[Author, int] = {}

    def kind(self, number: int) -> Kind:
        """Return a kind; raises KeyError."""
        found = self._kinds.get(number)
        if found is None:
            self._load_kinds()
            found = self._kinds[number]
        return found

    def author(self, number: int) -> Author:
        """Return an author; raises KeyError."""
        found = self._authors.get(number)
        if found is None:
            row = self._con.execute(
                "SELECT epoch, actor, address, credential, user_agent FROM authors WHERE id = ?", (number,)
            ).fetchone()
            if row is None:
                raise KeyError(number)
            found = Author(*row)
            if len(self._authors) >= AUTHORS_REMEMBERED_MAX:
                self._authors.clear()
            self._authors[number] = found
        return found

    def number_of_kind(self, kind: Kind) -> int:
        """Return a kind's number; a new kind is added in the open transaction."""
        number = self._kind_numbers.get(kind)
        if number is None:
            self._load_kinds()
            number = self._kind_numbers.get(kind)
        if number is None:
            number = self._add("INSERT INTO kinds (name, version, outcome) VALUES (?, ?, ?)", kind)
            self._kinds[number], self._kind_numbers[kind] = kind, number
        return number

    def number_of_author(self, author: Author) -> int:
        """Return an author's number; an author that is not cached is added in the open transaction."""
        number = self._author_numbers.get(author)
        if number is None:
            if len(self._author_numbers) >= AUTHORS_REMEMBERED_MAX:
                self._author_numbers.clear()
            number = self._add(
                "INSERT INTO authors (epoch, actor, address, credential, user_agent) VALUES (?, ?, ?, ?, ?)",
                author,
            )
            self._author_numbers[author] = number
        return number

    def remembered(self) -> frozenset[int]:
        """Return the numbers of authors that later facts may get; every other fact gets one of a new row."""
        return frozenset(self._author_numbers.values())

    def _load_kinds(self) -> None:
        for number, *kind in self._con.execute("SELECT id, name, version, outcome FROM kinds ORDER BY id"):
            self._kinds[number] = Kind(*kind)
            self._kind_numbers.setdefault(self._kinds[number], number)

    def _add(self, statement: str, values: tuple[object, ...]) -> int:
        added = self._con.execute(statement, values).lastrowid
        assert added is not None
        return added
