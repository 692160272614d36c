"""Waits over REST: polls at growing intervals, which stay within the rate limit.

A few tasks are read one by one; many are looked up in listings, newest first, down to the oldest of them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from helix_ray.client.errors import WaitTimeout

if TYPE_CHECKING:
    from helix_ray.wire.task_answers import TaskLine, TaskOut, TaskPage

ENDED = frozenset({"completed", "failed", "cancelled"})
POLL_S_MIN = 0.02
# 1,000 requests an hour are one in 3.6 s: a single wait never uses up the limit.
POLL_S_MAX = 4.0
POLL_GROWTH = 1.3
SINGLE_TASKS_MAX = 5
PAGE_TASKS = 1000


class Reader(Protocol):
    """The part of the client that a wait needs."""

    def get(self, task_id: str) -> TaskOut:
        """Return one task."""
        ...

    def page(self, *, limit: int = 50, offset: int = 0, **filters: Any) -> TaskPage:
        """Return one page of tasks, newest first."""
        ...


def wait_for_tasks(
    reader: Reader, ids: Iterable[str], timeout_s: float | None
) -> Iterator[tuple[str, TaskLine]]:
    """Yield (id, task) for each task as it ends; raise WaitTimeout with the ids that are left."""
    started = time.monotonic()
    open_ids = dict.fromkeys(ids)
    since: dict[str, float] = {}
    pause = POLL_S_MIN
    while open_ids:
        seen = look_up(reader, open_ids, since)
        ended = {task_id: task for task_id, task in seen.items() if task["status"] in ENDED}
        for task_id, task in ended.items():
            del open_ids[task_id]
            yield task_id, task
        if not open_ids:
            return
        pause = POLL_S_MIN if ended else min(POLL_S_MAX, pause * POLL_GROWTH)
        if timeout_s is not None:
            left = started + timeout_s - time.monotonic()
            if left <= 0:
                message = f"{len(open_ids)} of the tasks did not end within {timeout_s:g} s"
                raise WaitTimeout("TIMEOUT", message, {"open": list(open_ids)})
            pause = min(pause, left)
        time.sleep(pause)


def look_up(reader: Reader, ids: Iterable[str], since: dict[str, float]) -> dict[str, TaskLine]:
    """Return the tasks by id; `since` caches their creation times between calls. Raises NotFound."""
    wanted = dict.fromkeys(ids)
    found = _listed(reader, wanted, since) if len(wanted) > SINGLE_TASKS_MAX else {}
    # A task that no listing shows is read separately, which raises NotFound if it does not exist.
    found |= {task_id: reader.get(task_id) for task_id in wanted if task_id not in found}
    for task_id, task in found.items():
        since[task_id] = datetime.fromisoformat(task["created_at"]).timestamp()
    return found


def _listed(reader: Reader, wanted: dict[str, None], since: dict[str, float]) -> dict[str, TaskLine]:
    """Return the tasks from listings."""
    known = all(task_id in since for task_id in wanted)
    oldest = min(since[task_id] for task_id in wanted) if known else None
    found: dict[str, TaskLine] = {}
    offset = 0
    while len(found) < len(wanted):
        # The listing's times are cut to milliseconds, so the bound is a second lower.
        bound = None if oldest is None else datetime.fromtimestamp(oldest - 1.0, UTC).isoformat()
        tasks = reader.page(limit=PAGE_TASKS, offset=offset, created_since=bound)["tasks"]
        found |= {task["id"]: task for task in tasks if task["id"] in wanted}
        offset += len(tasks)
        if len(tasks) < PAGE_TASKS:
            break
    return found
