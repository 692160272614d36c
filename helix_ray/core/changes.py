"""Which of many things have changed since somebody looked last: a look costs what has changed,
not how many there are."""

from __future__ import annotations

from collections import OrderedDict


class DirtyLog:
    """Names in the order of their last change. Each reader keeps the `count` at which it looked."""

    __slots__ = ("_at", "count")

    def __init__(self) -> None:
        self._at: OrderedDict[str, int] = OrderedDict()
        self.count = 0

    def note(self, name: str) -> None:
        """Note that something has changed."""
        self.count += 1
        self._at[name] = self.count
        self._at.move_to_end(name)

    def since(self, count: int) -> list[str]:
        """Return what has changed after a count, the newest first; after 0: everything that ever changed."""
        names: list[str] = []
        for name in reversed(self._at):
            if self._at[name] <= count:
                break
            names.append(name)
        return names
