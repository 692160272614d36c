"""What a function can change of its process: how each part is read, and how it is put back.

PARTS can be put back (some only with privileges), KEPT cannot. Reading costs a microsecond or less each: no
frame of Python is around a function in C that reads a part.
"""

from __future__ import annotations

import _locale
import asyncio
import builtins
import faulthandler
import gc
import logging
import os
import resource
import signal
import socket
import sys
import threading
import time
import tracemalloc
import warnings
from _signal import getsignal, pthread_sigmask  # type: ignore[import-not-found]
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple

# Linux keeps RLIMIT_RSS and does nothing with it, see getrlimit(2).
_LIMITS = tuple(
    sorted(
        {getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")}
        - {resource.RLIMIT_RSS}
    )
)
_SIGNALS = tuple(sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}))
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_BUILTINS = vars(builtins).copy()
_HOOKS = (
    "stdin", "stdout", "stderr", "excepthook", "unraisablehook", "displayhook", "breakpointhook",
    "tracebacklimit", "dont_write_bytecode", "pycache_prefix",
)  # fmt: skip


class ProcessPart(NamedTuple):
    """One thing that a function can change: how it is read, and how it is put back."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _limits() -> list[tuple[int, int]]:
    return list(map(resource.getrlimit, _LIMITS))


def _set_limits(limits: list[tuple[int, int]]) -> None:
    for kind, was in zip(_LIMITS, limits, strict=True):
        resource.setrlimit(kind, was)


def _timers() -> bool:
    """Say whether one runs."""
    return max(map(signal.getitimer, _TIMERS))[0] > 0


def _stop_timers(_none_ran: bool) -> None:
    for timer in _TIMERS:
        signal.setitimer(timer, 0)


def _handlers() -> list[Any]:
    return list(map(getsignal, _SIGNALS))


def _set_handlers(handlers: list[Any]) -> None:
    for number, is_now, was in zip(_SIGNALS, _handlers(), handlers, strict=True):
        if is_now != was:
            # None: set by code in C before Python looked.
            signal.signal(number, signal.SIG_DFL if was is None else was)


def _set_mask(mask: Any) -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _hooks() -> list[Any]:
    return [getattr(sys, name, None) for name in _HOOKS]


def _set_hooks(hooks: list[Any]) -> None:
    for name, was in zip(_HOOKS, hooks, strict=True):
        setattr(sys, name, was)


def _set_path(path: list[str]) -> None:
    sys.path[:] = path


def _builtins() -> list[Any]:
    """Return the values without their names, which would cost three times as much to compare."""
    return list(vars(builtins).values())


def _set_builtins(_values: list[Any]) -> None:
    vars(builtins).update(_BUILTINS)


def _set_filters(filters: list[Any]) -> None:
    changeable: Any = warnings
    changeable.filters[:] = filters
    changeable._filters_mutated()


def _logging() -> tuple[int, int, list[Any]]:
    return logging.root.manager.disable, logging.root.level, list(logging.root.handlers)


def _set_logging(was: tuple[int, int, list[Any]]) -> None:
    logging.disable(was[0])
    logging.root.setLevel(was[1])
    logging.root.handlers[:] = was[2]


def _collector() -> tuple[bool, tuple[int, int, int], int]:
    return gc.isenabled(), gc.get_threshold(), gc.get_debug()


def _set_collector(was: tuple[bool, tuple[int, int, int], int]) -> None:
    (gc.enable if was[0] else gc.disable)()
    gc.set_threshold(*was[1])
    gc.set_debug(was[2])


def _set_scheduling(policy: int) -> None:
    os.sched_setscheduler(0, policy, os.sched_param(0))


def _wakeup() -> int:
    """Take the descriptor that signals are written to from Python, and return it; -1: there was none."""
    return signal.set_wakeup_fd(-1)


def _thread_hooks() -> tuple[Any, ...]:
    of: Any = threading
    return of._trace_hook, of._profile_hook, of.excepthook, of.stack_size()


def _set_thread_hooks(was: tuple[Any, ...]) -> None:
    threading.settrace(was[0])
    threading.setprofile(was[1])
    threading.excepthook = was[2]
    threading.stack_size(was[3])


def _coroutine_hooks() -> tuple[Any, ...]:
    return sys.get_coroutine_origin_tracking_depth(), *sys.get_asyncgen_hooks()


def _set_coroutine_hooks(was: tuple[Any, ...]) -> None:
    sys.set_coroutine_origin_tracking_depth(was[0])
    sys.set_asyncgen_hooks(*was[1:])


def _set_dumps_of_faults(are_on: bool) -> None:
    (faulthandler.enable if are_on else faulthandler.disable)()


def _set_tracing_of_memory(is_on: bool) -> None:
    (tracemalloc.start if is_on else tracemalloc.stop)()


def _policy() -> Any:
    return getattr(asyncio.events, "_event_loop_policy", None)


def _start_method() -> Any:
    """Return multiprocessing's context, as far as it was chosen."""
    module = sys.modules.get("multiprocessing.context")
    return None if module is None else module._default_context._actual_context


def _set_start_method(context: Any) -> None:
    sys.modules["multiprocessing.context"]._default_context._actual_context = context


def _temporary_folder() -> Any:
    return getattr(sys.modules.get("tempfile"), "tempdir", None)


def _set_temporary_folder(path: Any) -> None:
    vars(sys.modules["tempfile"])["tempdir"] = path


PARTS = (
    ProcessPart("its timers", _timers, _stop_timers),
    ProcessPart("the handlers of signals", _handlers, _set_handlers),
    ProcessPart("the mask of signals", partial(pthread_sigmask, signal.SIG_BLOCK, ()), _set_mask),
    ProcessPart("the umask", _umask, os.umask),
    ProcessPart("resource limits", _limits, _set_limits),
    ProcessPart(
        "its priority", partial(os.getpriority, os.PRIO_PROCESS, 0),
        partial(os.setpriority, os.PRIO_PROCESS, 0)
    ),
    ProcessPart("its scheduling", partial(os.sched_getscheduler, 0), _set_scheduling),
    ProcessPart("its CPUs", partial(os.sched_getaffinity, 0), partial(os.sched_setaffinity, 0)),
    ProcessPart("the descriptor for signals", _wakeup, signal.set_wakeup_fd),
    ProcessPart("streams and hooks of sys", _hooks, _set_hooks),
    ProcessPart("sys.path", lambda: list(sys.path), _set_path),
    ProcessPart("builtins", _builtins, _set_builtins),
    ProcessPart("threads' hooks", _thread_hooks, _set_thread_hooks),
    ProcessPart("coroutines' hooks", _coroutine_hooks, _set_coroutine_hooks),
    ProcessPart("the limit of digits", sys.get_int_max_str_digits, sys.set_int_max_str_digits),
    ProcessPart("flags of dlopen", sys.getdlopenflags, sys.setdlopenflags),
    ProcessPart("dumps of faults", faulthandler.is_enabled, _set_dumps_of_faults),
    ProcessPart("tracing of memory", tracemalloc.is_tracing, _set_tracing_of_memory),
    ProcessPart("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
    ProcessPart("the switch interval", sys.getswitchinterval, sys.setswitchinterval),
    ProcessPart("tracing", sys.gettrace, sys.settrace),
    ProcessPart("profiling", sys.getprofile, sys.setprofile),
    ProcessPart("the garbage collector", _collector, _set_collector),
    ProcessPart(
        "the locale", partial(_locale.setlocale, _locale.LC_ALL, None),
        partial(_locale.setlocale, _locale.LC_ALL)
    ),
    ProcessPart(
        "the time zone", partial(attrgetter("timezone", "altzone", "tzname"), time), lambda _: time.tzset()
    ),
    ProcessPart("sockets' timeout", socket.getdefaulttimeout, socket.setdefaulttimeout),
    ProcessPart("filters of warnings", lambda: list(warnings.filters), _set_filters),
    ProcessPart("logging", _logging, _set_logging),
    ProcessPart("asyncio's policy", _policy, asyncio.set_event_loop_policy),
    ProcessPart("multiprocessing's start method", _start_method, _set_start_method),
    ProcessPart("the temporary folder", _temporary_folder, _set_temporary_folder),
)  # fmt: skip

KEPT: tuple[tuple[str, Callable[[], Any]], ...] = (
    ("its user", os.getresuid),
    ("its group", os.getresgid),
    ("its groups", os.getgroups),
    ("its session", partial(os.getsid, 0)),
    ("its process group", os.getpgrp),
)
