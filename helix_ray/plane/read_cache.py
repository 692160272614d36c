"""Tasks as an API replica last saw them, or as the master published them: an answer from here is the one that
the master would give now (read_board.py, published_views.py).

An entry that is not known to be current is not used. A replica without access to the master's board (on
another host, or while the master has none) caches nothing.
"""

from __future__ import annotations

import logging
from collections import OrderedDict

from helix_ray.core.access import Principal
from helix_ray.core.views.tasks import TaskView
from helix_ray.core.visibility import record_of_view, sees
from helix_ray.plane.published_views import Published
from helix_ray.plane.read_board import BoardReader

log = logging.getLogger(__name__)

TASKS_MAX = 20_000
# Not a generation of any master.
UNSEEN = -1


class ReadCache:
    """A bounded map from task id to view, all of one generation of the board."""

    def __init__(self) -> None:
        self._board: BoardReader | None = None
        self._tasks: OrderedDict[str, Published] = OrderedDict()
        self._generation = UNSEEN

    def attach(self, path: str | None) -> None:
        """Use the board of a newly connected master; None where it has none that can be mapped here."""
        self.detach()
        if path:
            try:
                self._board = BoardReader(path)
            except (OSError, ValueError) as error:
                log.warning("the read cache is off, every read asks the master: %s", error)

    def detach(self) -> None:
        """Clear the cache and close the board; safe to call twice."""
        self._tasks.clear()
        if self._board is not None:
            self._board.close()
            self._board = None

    def task(self, task_id: str, by: Principal) -> TaskView | None:
        """Return a task if its entry is current and the caller may see it."""
        if self.generation() == UNSEEN or self._board is None:
            return None
        kept = self._tasks.get(task_id)
        if kept is None or self._board.changed_at(task_id) > kept.seq:
            kept = self._board.published(task_id)
            if kept is None:
                self._tasks.pop(task_id, None)
                return None
            self._put(task_id, kept)
        view = kept.view
        return view if sees(by, record_of_view(view)) else None

    def generation(self) -> int:
        """Return the board's generation; read it before asking the question whose answer goes to `keep`."""
        if self._board is None:
            return UNSEEN
        found = self._board.generation()
        if found != self._generation:
            # A new master: commits that its predecessor could not announce are unknown here.
            self._tasks.clear()
            self._generation = found
        return found

    def keep(self, task_id: str, view: TaskView, seq: int, generation: int) -> None:
        """Cache an answer as of `seq` that was asked for under `generation`."""
        if generation == UNSEEN or generation != self.generation():
            return
        self._put(task_id, Published(view, seq))

    def _put(self, task_id: str, kept: Published) -> None:
        self._tasks[task_id] = kept
        self._tasks.move_to_end(task_id)
        if len(self._tasks) > TASKS_MAX:
            self._tasks.popitem(last=False)
