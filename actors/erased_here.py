"""What a node keeps of tasks that were erased goes: logs and folders of their attempts, and results
too large for the journal.

The node asks; it is not told: one that was away catches up when it is back, with its newest logs at least.
What is older than the master remembers goes by its age (HELIX_LOG_KEEP_S).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from pathlib import Path

from actors.results import ResultShelf
from helix_ray.core.access import Principal
from helix_ray.core.errors import Rejected
from helix_ray.core.questions import ErasedTasks
from helix_ray.execution.starter.sweeping import remove_attempts
from helix_ray.ports import ControlPlane

log = logging.getLogger(__name__)

ASK_EVERY_S = 5.0


async def keep_erased_away(
    plane: ControlPlane, by: Principal, log_dir: Path, attempts: Path, shelf: ResultShelf
) -> None:
    """Remove what there is of erased tasks, for as long as the node lives; `attempts` has the folders of
    commands."""
    after = 0
    while True:
        answer = await plane.query(ErasedTasks(after), by)
        if not isinstance(answer, Rejected):
            task_ids: frozenset[str] = frozenset(answer["task_ids"])
            if task_ids:
                shelf.remove(task_ids)
                removed = await asyncio.to_thread(remove_logs, log_dir, task_ids)
                await asyncio.to_thread(remove_attempts, attempts, task_ids)
                log.info("%d tasks were erased; removed %d of their logs", len(task_ids), removed)
            after = answer["through"]
        await asyncio.sleep(ASK_EVERY_S)


def remove_logs(folder: Path, task_ids: Collection[str]) -> int:
    """Delete the logs of all attempts of these tasks; return how many."""
    theirs = [path for path in folder.glob("*.*") if path.name.rsplit(".", 2)[0] in task_ids]
    for path in theirs:
        path.unlink(missing_ok=True)
    return len(theirs)
