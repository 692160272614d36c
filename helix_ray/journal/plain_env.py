"""Finds the tasks whose values of env are in plain text, as releases before ADR 57 wrote them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from helix_ray.core.events import TaskRestored, TaskSubmitted
from helix_ray.core.sealed import is_sealed
from helix_ray.core.specs import TaskSpec
from helix_ray.journal.fact_reader import FactReader

PAGE_FACTS_MAX = 1000
PAGE_BYTES_MAX = 16 * 1024 * 1024


def tasks_with_plain_env(data_dir: Path) -> Iterator[str]:
    """Yield the id of each such task once, the oldest first, while the server runs or not.

    Raises OSError, sqlite3.Error, JournalTooNew or JournalDamaged.
    """
    reader = FactReader(data_dir)
    found: set[str] = set()
    after = 0
    try:
        while facts := reader.read(after, sys.maxsize, PAGE_FACTS_MAX, PAGE_BYTES_MAX):
            after = facts[-1].seq
            for event in (fact.event for fact in facts):
                if not isinstance(event, TaskSubmitted | TaskRestored) or event.id in found:
                    continue
                if _has_plain_env(event.spec):
                    found.add(event.id)
                    yield event.id
    finally:
        reader.close()


def _has_plain_env(spec: TaskSpec) -> bool:
    env = (spec.get("run") or {}).get("env")
    return isinstance(env, dict) and any(not is_sealed(str(value)) for value in env.values())
