"""What is remembered of a task that has left memory: whose its last facts are, and what they are about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Left(NamedTuple):
    """A task that was deleted or archived: who may see it, and what it was called when it left."""

    owner: str
    holder: str | None
    project: str | None
    type: str
    labels: Mapping[str, str]
    status: str
    title: str
