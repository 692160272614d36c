"""The set of tasks that a principal sees, as a value; core/visibility.py says who has which."""

from __future__ import annotations

from typing import NamedTuple


class TaskScope(NamedTuple):
    """The tasks that a principal sees: those of `user` (None: of all) in `projects`
    (None: in all, and in none)."""

    user: str | None
    projects: tuple[str, ...] | None

    def has(self, owner: str, holder: str | None, project: str | None) -> bool:
        """Say whether a task is among them."""
        if self.user is not None and self.user not in (owner, holder):
            return False
        return self.projects is None or project in self.projects
