"""Which records retention may have removed, as the journal says.

The setting is a fact where it changes (AuditRetentionSet), which is recorded before anything is removed by
it. So each setting could remove, until the next one was recorded, records of before (that time - `keep_s`),
and with `until_exported` only what was exported by then. A history that is rebuilt has all that its
setting keeps: what was removed before is there again, and may not be gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from helix_ray.core import events as ev

_EVERY: Final = 1 << 62


class Retention(NamedTuple):
    """How many seconds records stay, and whether they stay until they are exported, too."""

    keep_s: float
    until_exported: bool = False


class _Removable(NamedTuple):
    """Records of before a time, of facts up to a seq."""

    before: float
    through: int


class Removals:
    """What retention could remove, by the facts so far; it must see all facts in order."""

    def __init__(self, unrecorded: Retention | None = None) -> None:
        """`unrecorded` is the setting where no fact says one: without it, nothing may be gone then."""
        self.through = 0
        self._unrecorded = unrecorded
        self._setting: Retention | None = None
        self._former: list[_Removable] = []
        self._at = 0.0
        self._exported = 0

    def take(self, facts: Iterable[ev.Fact]) -> None:
        """Take in the facts that follow."""
        for fact in facts:
            self.through, self._at = fact.seq, max(self._at, fact.at)
            if isinstance(fact.event, ev.AuditExported):
                self._exported = max(self._exported, fact.event.exported_through)
            elif isinstance(fact.event, ev.AuditRetentionSet):
                self._set(fact.event)

    def _set(self, event: ev.AuditRetentionSet) -> None:
        if event.built_anew:
            self._former.clear()
        elif self._setting is not None:
            self._former.append(self._by(self._setting, self._at))
        self._setting = Retention(event.keep_s, event.until_exported)

    def _by(self, setting: Retention, now: float) -> _Removable:
        return _Removable(now - setting.keep_s, self._exported if setting.until_exported else _EVERY)

    def include(self, at: float, last_seq: int, now: float) -> bool:
        """Say whether a record of a time, whose last fact is `last_seq`, may have been removed by now, or by
        the latest time of a fact: a clock that was ahead is set back."""
        setting = self._setting or self._unrecorded
        possible = self._former if setting is None else [*self._former, self._by(setting, max(now, self._at))]
        return any(at < each.before and last_seq <= each.through for each in possible)
