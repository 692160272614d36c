"""Pages of a list of changes.

A cursor that cannot be continued is refused with GONE, and says why: the device drops the cursor and begins a
first pull, whose first page has no cursor. A first pull has live things only, in the order of their last
changes: one that changes meanwhile moves to the end, so it comes later, and what goes away is said. When a
page says that there is no more, the device has what there was at one moment, that of its cursor; the checksum
is of that.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import NamedTuple

from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.views.sync import ChangesView, ChangeView
from helix_ray.sync import checksum
from helix_ray.sync.change_log import ChangeLog, Followed, ListedChange
from helix_ray.sync.cursors import Cursor, read, written

CURSORS_REMEMBERED = 16_384
RESTART = "Ask again without a cursor, and replace all rows by what you get"
REASONS = {
    "unknown": "This cursor is not from this server",
    "lost": "The list of changes that this cursor is from does not exist any more",
    "scope": "What this device follows, or may see, has changed",
    "too_old": "This cursor is older than the oldest tombstone that is kept",
}


class ChangePage(NamedTuple):
    """Changes of a scope, the cursor after them, and whether there are more."""

    each: Followed
    changes: list[ListedChange]
    position: int
    has_more: bool
    first: bool
    cursor: str

    def view(self, last_mutation: int, now: float) -> ChangesView:
        """Return it as an answer."""
        whole = not self.has_more
        return {
            "changes": [_shown(change) for change in self.changes],
            "cursor": self.cursor,
            "has_more": self.has_more,
            "first": self.first,
            "checksum": checksum.shown(self.each.sum) if whole else None,
            "rows": self.each.rows if whole else None,
            "last_mutation": last_mutation,
            "server_time": now,
        }


class ChangePages:
    """Reads cursors and pages of a file of changes."""

    def __init__(self, log: ChangeLog, key: bytes) -> None:
        self._log = log
        self._key = key
        # A pull that waits looks at its cursor several times, and to check one costs as much as a row.
        self._read = lru_cache(CURSORS_REMEMBERED)(partial(read, key=key))

    def cursor_of(self, text: str | None, each: Followed) -> Cursor | Rejected:
        """Return the place where a device goes on, or begins; refuse a cursor that cannot be continued."""
        if text is None:
            return Cursor(self._log.generation, each.hash, 0, self._log.position)
        cursor = self._read(text)
        if cursor is None:
            return _gone("unknown")
        if cursor.generation != self._log.generation or cursor.position > self._log.position:
            return _gone("lost")
        if cursor.scope != each.hash:
            return _gone("scope")
        # While a first pull goes on, all that went away before it began is of no interest.
        if max(cursor.position, cursor.first) < each.floor:
            return _gone("too_old")
        return cursor

    def page(self, each: Followed, cursor: Cursor, limit: int) -> ChangePage:
        """Return the next page."""
        found = self._log.page(each, cursor.position, cursor.first, limit + 1)
        changes = found[:limit]
        has_more = len(found) > limit
        position = changes[-1].position if has_more else self._log.position
        following = cursor._replace(position=position)
        first = cursor.position < max(cursor.first, 1)
        return ChangePage(each, changes, position, has_more, first, written(following, self._key))


def _gone(reason: str) -> Rejected:
    return Rejected(
        ErrorCode.GONE, f"{REASONS[reason]}. {RESTART}", {"reset": True, "reason": reason, "cursor": None}
    )


def _shown(change: ListedChange) -> ChangeView:
    return {
        "op": "delete" if change.body is None else "put",
        "kind": change.kind,
        "key": change.key,
        "version": change.version,
        "row": change.body,
    }
