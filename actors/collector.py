"""Python's garbage collector beside a large heap that hardly has any garbage."""

from __future__ import annotations

import gc
from collections.abc import Callable

GC_THRESHOLD = 100_000
NEVER = 1_000_000_000


def without_collector(recover: Callable[[], int]) -> int:
    """Fold with the collector off: it would look at a growing heap again and again, and there is no garbage.

    What was folded is then left out of later collections, which come less often: commits make no cycles.
    """
    gc.disable()
    try:
        return recover()
    finally:
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD, NEVER, NEVER)
        gc.enable()


def leave_out_of_collections() -> None:
    """Leave what has lived for a second out of later collections: one of the whole heap takes seconds.

    What is dead by now is collected first; cycles that die later are few, and are kept.
    """
    if gc.get_count()[1]:
        gc.collect(1)
        gc.freeze()
