"""What a function finds around it in its process, and what is put back when it has left something else.

A picture is taken once, before the first function. After each one the process is compared with it: what can
be put back is, and where something cannot be, `put_back` says what, and the process must be replaced.
A comparison reads no files and costs some microseconds, so that short functions stay cheap.

What stays is the state of modules: what a function imports, or assigns to a name of a module, is what makes a
warm process worth having. Hooks that modules add to imports and to the collector stay too.
An executor serves one owner, and a task can ask for a fresh one.
"""

from __future__ import annotations

import _thread
import ctypes
import faulthandler
import os
import threading
import time

from helix_ray.execution.descendants import adopt_orphans, descendants, end_own, has_children
from helix_ray.execution.multiprocessing_helpers import helper_pids, stop_helpers
from helix_ray.execution.own_threads import is_own
from helix_ray.execution.process_parts import KEPT, PARTS
from helix_ray.execution.random_generators import SharedGenerators

THREAD_END_S_MAX = 0.1
"""How long threads that a function leaves may take to end by themselves, in seconds."""


_libc = ctypes.CDLL(None, use_errno=True)
_environ = ctypes.c_void_p.in_dll(_libc, "environ")
_POINTER_BYTES = ctypes.sizeof(ctypes.c_void_p)


class ProcessSurroundings:
    """The picture of this process; make it, and call `put_back`, on the thread that runs the functions."""

    def __init__(self) -> None:
        adopt_orphans()
        self._root = _root()
        self._look_at_folder()
        self._environ = os.environ
        self._variables = dict(os.environ)
        self._addresses = _addresses(len(self._variables))
        self._input = _copy(0)
        self._threads = set(threading.enumerate())
        self._thread_count = _thread._count()
        self._children = frozenset(descendants(os.getpid()))
        self._generators = SharedGenerators()
        # Bound once: these run after each function.
        self._reads = [part.read for part in PARTS]
        self._reads_of_kept = [read for _, read in KEPT]
        self._was = [read() for read in self._reads]
        self._kept = [read() for read in self._reads_of_kept]

    def end_what_was_left(self) -> str | None:
        """End processes that the function left, and wait for its threads; return what may still run, or None.

        Call it when the function has returned and before its end is reported.
        """
        return self._end_children() or self._end_threads()

    def moved(self) -> None:
        """Take the working directory of this moment as the one to go back to."""
        os.close(self._folder)
        self._look_at_folder()

    def put_back(self) -> str | None:
        """Put back what differs, after end_what_was_left; return why that is not enough, or None."""
        return self._restore() or self._changed_for_good()

    # ------------------------------------------------------------------------------------- what runs on

    def _end_children(self) -> str | None:
        adopt_orphans()
        if not has_children():
            return None
        left = end_own(self._children | helper_pids())
        stop_helpers()
        left += end_own(self._children)
        return f"it left processes that cannot be killed: {left}" if left else None

    def _end_threads(self) -> str | None:
        if _thread._count() <= self._thread_count:
            return None
        give_up_at = time.monotonic() + THREAD_END_S_MAX
        left = [thread for thread in threading.enumerate() if thread not in self._threads]
        for thread in left:
            if not is_own(thread):
                thread.join(max(0.0, give_up_at - time.monotonic()))
        living = [thread for thread in left if thread.is_alive()]
        ours = list(filter(is_own, living))
        if len(ours) < len(living) or _thread._count() > self._thread_count + len(ours):
            names = ", ".join(thread.name for thread in living) or "without a name"
            return f"it left threads running: {names}"
        self._threads.update(ours)
        self._thread_count += len(ours)
        return None

    # ------------------------------------------------------------------------------------- what is put back

    def _restore(self) -> str | None:
        self._restore_variables()
        faulthandler.cancel_dump_traceback_later()
        self._restore_input()
        self._generators.reseed()
        if stuck := self._return():
            return stuck
        found = [read() for read in self._reads]
        if found == self._was:
            return None
        for part, is_now, was in zip(PARTS, found, self._was, strict=True):
            if is_now != was:
                try:
                    part.write(was)
                except (OSError, ValueError) as error:
                    return f"it changed {part.name}, which cannot be put back: {error}"
        return None

    def _restore_variables(self) -> None:
        if os.environ is not self._environ:
            os.environ = self._environ  # noqa: B003 - the object itself was replaced
        if _addresses(len(self._variables)) != self._addresses:
            _libc.clearenv()
            os.environ.clear()
            os.environ |= self._variables
            self._addresses = _addresses(len(self._variables))
            time.tzset()

    def _restore_input(self) -> None:
        """Put it back without a look, which costs more. Standard output and error are OutputCapture's."""
        if self._input is not None:
            os.dup2(self._input, 0)

    def _look_at_folder(self) -> None:
        self._folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._path = _path()

    def _return(self) -> str | None:
        """Go back by the open folder, also without a look: its path may lead elsewhere by now."""
        try:
            os.fchdir(self._folder)
        except OSError as error:
            # A function may close its own folder to everybody.
            if not os.path.samestat(os.stat("."), os.fstat(self._folder)):
                return f"it changed the working directory, which cannot be put back: {error}"
        # The same folder has another path in another root folder; that is a third of looking at that one.
        if _path() != self._path and _root() != self._root:
            return "it changed its root folder"
        return None

    def _changed_for_good(self) -> str | None:
        """Say what is different and stays so: nobody is given back what he gave up."""
        found = [read() for read in self._reads_of_kept]
        if found == self._kept:
            return None
        changed = (
            name for (name, _), is_now, was in zip(KEPT, found, self._kept, strict=True) if is_now != was
        )
        return f"it changed {next(changed)}"


def _root() -> tuple[int, int]:
    found = os.stat("/")
    return found.st_dev, found.st_ino


def _path() -> str | None:
    """Return that of the working directory; None where it is deleted, or out of the root folder."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None


def _addresses(count: int) -> bytes:
    """Return where libc keeps so many variables and what ends them: os.putenv passes os.environ by."""
    array = _environ.value
    return b"" if array is None else ctypes.string_at(array, (count + 1) * _POINTER_BYTES)


def _copy(descriptor: int) -> int | None:
    try:
        return os.dup(descriptor)
    except OSError:
        return None
