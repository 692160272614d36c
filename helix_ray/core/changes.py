"""Records which of many things have changed since a reader last looked; reading costs in
proportion to the changes."""

from __future__ import annotations

from collections import OrderedDict


class DirtyLog:
    """Names in the order of their last change. Each reader remembers the `count` at its last look."""

    __slots__ = ("_at", "count")

    def __init__(self) -> None:
        self._at: OrderedDict[str, int] = OrderedDict()
        self.count = 0

    def note(self, name: str) -> None:
        """Record a change."""
        self.count += 1
        self._at[name] = self.count
        self._at.move_to_end(name)

    def since(self, count: int) -> list[str]:
        """Return what has changed since a count, the newest first; since 0 everything."""
        names: list[str] = []
        for name in reversed(self._at):
            if self._at[name] <= count:
                break
            names.append(name)
        return names
