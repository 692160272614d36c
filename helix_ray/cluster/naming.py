"""The note on an interrupted wait: the tasks continue, and how to get handles of them again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

NAMED_TASKS_MAX = 5


@contextmanager
def naming(task_ids: Iterable[str]) -> Iterator[None]:
    """Note the tasks on a KeyboardInterrupt of the block; `task_ids` is read only then."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        ids = list(task_ids)
        if not ids:
            raise
        more = f" and {len(ids) - NAMED_TASKS_MAX} more" if len(ids) > NAMED_TASKS_MAX else ""
        verb = "continues" if len(ids) == 1 else "continue"
        interrupt.add_note(
            f"{', '.join(ids[:NAMED_TASKS_MAX])}{more} {verb} on the cluster: "
            f"cluster.handle({ids[0]!r}) takes it up again, cluster.tasks() lists all"
        )
        raise
