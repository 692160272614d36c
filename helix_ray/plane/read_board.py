"""When each task last changed: shared memory that the master writes and the API replicas of its host read, so
that a replica can answer from its cache.

    word 0            the master's generation: every start of a master adds one before its first response
    words 1 ... 3     the memory of published views (published_views.py): life, process id, descriptor
    words 8 ...       for each slot the journal's seq at which a task of that slot last changed

A task's slot is a hash of its id; two tasks in the same slot can cause a needless question, but never a stale
answer. The rule that makes an answer from the cache as good as the master's: *a view as of seq S is current
while its slot is S or less and the generation is the one under which it was read*. The master writes the
slots of a commit before it responds to any order in it, so a read that begins after a response sees them. A
commit that a master could not announce before it died is covered by the generation of the next master; before
that, no order in it was answered.

Words are read and written atomically: they are aligned, and memoryview copies eight bytes at once.
"""

from __future__ import annotations

import logging
import mmap
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from zlib import crc32

from helix_ray.core.views.tasks import TaskView
from helix_ray.plane.published_views import Published, ViewsReader, ViewsWriter

log = logging.getLogger(__name__)

FILE_NAME = "reads.board"
SLOTS = 1 << 16
WORD_BYTES = 8
GENERATION, LIFE, PROCESS, DESCRIPTOR = range(4)
FIRST_SLOT = 8
SIZE_BYTES = (FIRST_SLOT + SLOTS) * WORD_BYTES


def _slot(task_id: str) -> int:
    return FIRST_SLOT + (crc32(task_id.encode()) & (SLOTS - 1))


class _Board:
    """The mapped file."""

    def __init__(self, path: Path | str, flags: int, access: int) -> None:
        handle = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            if flags & os.O_CREAT:
                # Allocate all pages now: a page that cannot be allocated later would
                # kill the process (SIGBUS).
                os.posix_fallocate(handle, 0, SIZE_BYTES)
            self._memory = mmap.mmap(handle, SIZE_BYTES, access=access)
        finally:
            os.close(handle)
        self._words = memoryview(self._memory).cast("Q")

    def close(self) -> None:
        """Let go of the memory; safe to call twice."""
        self._words.release()
        self._memory.close()


class BoardWriter(_Board):
    """The master's side; raises OSError where the file cannot be made."""

    def __init__(self, data_dir: Path) -> None:
        self.path = str(data_dir / FILE_NAME)
        super().__init__(self.path, os.O_RDWR | os.O_CREAT, mmap.ACCESS_WRITE)
        life = secrets.randbits(63)
        self._words[GENERATION] += 1
        self._views = ViewsWriter(life, self._words[GENERATION])
        where = {PROCESS: os.getpid(), DESCRIPTOR: self._views.descriptor, LIFE: life}
        for word, value in where.items():
            self._words[word] = value

    def note(self, task_ids: Iterable[str], seq: int) -> None:
        """Record that tasks have changed in a commit that ends at `seq`."""
        for task_id in task_ids:
            self._words[_slot(task_id)] = seq

    def publish(self, view: TaskView, seq: int) -> None:
        """Let readers have the view of a task as of `seq`, where it is small enough."""
        self._views.publish(view, seq)

    def withdraw(self, task_ids: Iterable[str]) -> None:
        """Let nothing be left of the views of tasks that were erased."""
        for task_id in task_ids:
            self._views.withdraw(task_id)

    def close(self) -> None:
        """Let go of the memory; safe to call twice."""
        self._views.close()
        super().close()


class BoardReader(_Board):
    """A replica's side; raises OSError or ValueError where there is no such file."""

    def __init__(self, path: str) -> None:
        super().__init__(path, os.O_RDONLY, mmap.ACCESS_READ)
        self._views = self._found_views()

    def _found_views(self) -> ViewsReader | None:
        try:
            return ViewsReader(self._words[PROCESS], self._words[DESCRIPTOR], self._words[LIFE])
        except (OSError, ValueError) as error:
            log.warning("the first read of a task after each change asks the master: %s", error)
            return None

    def generation(self) -> int:
        """Return the master's generation."""
        return self._words[GENERATION]

    def changed_at(self, task_id: str) -> int:
        """Return the seq at which the task, or another one in its slot, last changed."""
        return self._words[_slot(task_id)]

    def published(self, task_id: str) -> Published | None:
        """Return a task's view that is current; None where the master did not publish it, or something
        has changed since."""
        views = self._views
        if views is None or views.generation != self.generation():
            return None
        found = views.find(task_id)
        return None if found is None or self.changed_at(task_id) > found.seq else found

    def close(self) -> None:
        """Let go of the memory; safe to call twice."""
        if self._views is not None:
            self._views.close()
        super().close()
