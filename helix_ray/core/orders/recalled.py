"""Records of archived tasks in an order; only the plane adds them, from the history."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from helix_ray.core.state import Task

# Why a run is missing: its facts are gone, or it is too large for one order.
Lost = Literal["gone", "too_large"]


@dataclass(frozen=True, slots=True)
class Recalled:
    """The history's records of archived tasks, as of the fact `through`.

    `tasks` has every requested task, None where the history has no record. For those in `causes` it also has
    the tasks that failed because of them. `lost` says why runs are missing.
    """

    through: int
    tasks: dict[str, Task | None]
    causes: frozenset[str] = frozenset()
    lost: dict[str, Lost] = field(default_factory=dict)
