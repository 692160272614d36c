"""Adjusts Python's garbage collector to a large heap with hardly any garbage."""

from __future__ import annotations

import gc
from collections.abc import Callable

NEVER = 1_000_000_000
# `leave_out_of_collections` looks through what is alive once a second. A collection in between would look
# through the same objects before it; it comes only where so many are made in a second.
GC_THRESHOLD = 1_000_000
# Fewer objects than this are not worth a collection.
WORTH_OBJECTS = 10_000
# Batches of thousands of facts, tasks and reports are alive at once: Python's own 700 would look through each
# of them again and again. The higher generations are collected as Python does it.
BATCH_THRESHOLD = 10_000


def without_collector(recover: Callable[[], int]) -> int:
    """Run a fold with the collector off, which would scan the growing heap again and again
    without finding garbage.

    The folded state is then excluded from later collections, which also become rarer: commits make no cycles.
    """
    gc.disable()
    try:
        return recover()
    finally:
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD, NEVER, NEVER)
        gc.enable()


def collect_less_often() -> None:
    """Exclude what the process has loaded from collections, and have one for each large batch of objects,
    not dozens: hardly any of them are in cycles."""
    gc.freeze()
    gc.set_threshold(BATCH_THRESHOLD, *gc.get_threshold()[1:])


def leave_out_of_collections() -> None:
    """Exclude objects older than a second from later collections: a collection of the
    whole heap takes seconds.

    Garbage is collected first; cycles that become garbage later are few, and are never freed.
    """
    young, older, _ = gc.get_count()
    if older or young > WORTH_OBJECTS:
        gc.collect(1)
        gc.freeze()
