"""What a history hears of what it says wrong."""

from __future__ import annotations

from typing import TypedDict


class OutdatedView(TypedDict):
    """`complete` is False for a history that is further behind than what is remembered."""

    task_ids: list[str]
    complete: bool
    archived_through: int
