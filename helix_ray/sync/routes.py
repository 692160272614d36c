"""Finds the scopes that a task or document is in, without asking each of them."""

from __future__ import annotations

from typing import TypeVar

from helix_ray.core.follows import Handle, TaskSubject
from helix_ray.sync.change_log import Followed

Place = tuple[str | None, Handle]
K = TypeVar("K")


class Routes:
    """The scopes by whose tasks they may see, and by the handles of their selectors."""

    def __init__(self) -> None:
        self._by_place: dict[Place, dict[int, Followed]] = {}
        self._by_user: dict[str, dict[int, Followed]] = {}

    def add(self, each: Followed) -> None:
        """Find a scope from here on."""
        for place in _places(each):
            self._by_place.setdefault(place, {})[each.id] = each
        self._by_user.setdefault(each.scope.user, {})[each.id] = each

    def drop(self, each: Followed) -> None:
        """Do not find a scope any more."""
        for place in _places(each):
            _drop(self._by_place, place, each.id)
        _drop(self._by_user, each.scope.user, each.id)

    def of_task(self, subject: TaskSubject) -> list[Followed]:
        """Return the scopes that a task is in."""
        found: dict[int, Followed] = {}
        for user in subject.users():
            for handle in subject.handles():
                found.update(self._by_place.get((user, handle), {}))
        return [each for each in found.values() if each.scope.has_task(subject)]

    def of_document(self, user: str, kind: str) -> list[Followed]:
        """Return the scopes that a document is in."""
        return [each for each in self._by_user.get(user, {}).values() if kind in each.scope.kinds]


def _places(each: Followed) -> set[Place]:
    scope = each.scope
    return {(scope.tasks.user, selector.handle()) for selector in scope.selectors}


def _drop(table: dict[K, dict[int, Followed]], place: K, id_: int) -> None:
    table[place].pop(id_, None)
    if not table[place]:
        del table[place]
