"""What an order brings of tasks that have left memory: the plane asks the history,
nobody else fills it in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from helix_ray.core.state import Task

# The facts that say what it runs are gone; or it is more than one order carries.
Lost = Literal["gone", "too_large"]


@dataclass(frozen=True, slots=True)
class Recalled:
    """What the history knows of tasks that have left memory, as of the fact `through`.

    `tasks` has every task that was asked for, None where the history has none. Of those in `causes` the
    history was also asked for the tasks that failed because of them. What those in `lost` run does not
    come with them, and why.
    """

    through: int
    tasks: dict[str, Task | None]
    causes: frozenset[str] = frozenset()
    lost: dict[str, Lost] = field(default_factory=dict)
