"""Functions that change their process, and one that says what a function finds."""

from __future__ import annotations

import asyncio
import builtins
import ctypes
import decimal
import faulthandler
import gc
import locale
import logging
import multiprocessing
import os
import random
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
import warnings
from pathlib import Path
from typing import Any


def look() -> dict[str, Any]:
    """Return what a function finds around it, read in ways of its own."""
    status = Path("/proc/self/status").read_text().splitlines()
    kept = (
        "Umask:",
        "Uid:",
        "Gid:",
        "SigBlk:",
        "SigIgn:",
        "NSsid:",
        "NSpgid:",
        "Cpus_allowed:",
        "NoNewPrivs:",
    )
    return {
        "status": [line for line in status if line.startswith(kept)],
        "limits": Path("/proc/self/limits").read_text(),
        "cwd": os.path.realpath("."),
        "variables": dict(os.environ),
        "of a child": sorted(
            subprocess.run(["env"], capture_output=True, check=True).stdout.decode().split()
        ),
        "nice": os.nice(0),
        "threads": threading.active_count(),
        "children": _children(),
        "alarm": signal.getitimer(signal.ITIMER_REAL)[0],
        "handlers": [str(signal.getsignal(n)).split(" at ")[0] for n in sorted(signal.valid_signals())],
        "stdout": type(sys.stdout).__name__,
        "descriptors": [re.sub(r"[0-9]+", "N", os.readlink(f"/proc/self/fd/{n}")) for n in range(3)],
        "method": multiprocessing.get_start_method(allow_none=True),
        "locale": locale.setlocale(locale.LC_ALL),
        "tz": [time.timezone, *time.tzname],
        "path": list(sys.path),
        "recursion": sys.getrecursionlimit(),
        "traced": sys.gettrace() is not None,
        "collected": gc.isenabled(),
        "socket": socket.getdefaulttimeout(),
        "print": str(builtins.print),
        "digits": decimal.getcontext().prec,
        "logged": logging.getLogger("x").isEnabledFor(logging.WARNING),
        "warned": [entry[0] for entry in warnings.filters],
        "temporary": tempfile.gettempdir(),
        "policy": type(asyncio.get_event_loop_policy()).__name__,
        "scheduled": os.sched_getscheduler(0),
        "root": str(os.stat("/").st_ino),
        "predicted": [random.random() == random.Random(SEED).random(), _numpy_is_predictable()],
        "hooks": [str(hook) for hook in _hooks()],
    }


def _numpy_is_predictable() -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and numpy.random.random() == numpy.random.RandomState(SEED).random()


def _hooks() -> list[Any]:
    descriptor = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(descriptor)
    return [
        descriptor,
        threading.excepthook,
        threading.stack_size(),
        sys.get_asyncgen_hooks(),
        sys.getdlopenflags(),
        sys.get_int_max_str_digits(),
        faulthandler.is_enabled(),
        tracemalloc.is_tracing(),
        gc.get_debug(),
        getattr(sys, "tracebacklimit", None),
    ]


SEED = 7


def _children() -> int:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0
    return 1


def take_time(seconds: float) -> None:
    time.sleep(seconds)


def say(text: str) -> None:
    print(text)


def ignore_children() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)


def move() -> None:
    os.chdir("/usr")


def move_to_a_folder_that_is_deleted() -> None:
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    os.rmdir(folder)


def mask_files() -> None:
    os.umask(0o077)


def set_variables() -> None:
    os.environ["TZ"] = "Asia/Tokyo"
    os.environ["PATH"] = "/nowhere"
    del os.environ["HOME"]
    time.tzset()


def set_variables_below_python() -> None:
    os.putenv("LD_LIBRARY_PATH", "/nowhere")
    ctypes.CDLL(None).setenv(b"HIDDEN", b"1", 1)


def replace_the_variables() -> None:
    os.environ = {}  # type: ignore[assignment] # noqa: B003


def lower_a_soft_limit() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def lower_a_hard_limit() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def rebind_output() -> None:
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115


def redirect_descriptors() -> None:
    other = os.open(os.devnull, os.O_WRONLY)
    os.dup2(other, 1)
    os.close(2)


def leave_an_alarm() -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(1)


def leave_a_timer() -> None:
    signal.setitimer(signal.ITIMER_PROF, 0.2)


def leave_a_dump() -> None:
    faulthandler.dump_traceback_later(0.2, exit=True, file=sys.__stderr__)


def take_signals() -> None:
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGURG, signal.SIG_IGN)


def block_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGURG})


def leave_a_thread() -> None:
    threading.Thread(target=time.sleep, args=(600,), name="helix-left-over", daemon=True).start()


def leave_a_thread_that_ends() -> None:
    threading.Thread(target=time.sleep, args=(0.02,)).start()


def leave_a_child() -> None:
    subprocess.Popen(["sleep", "600"], start_new_session=True)


def leave_helpers_of_multiprocessing() -> None:
    context = multiprocessing.get_context("forkserver")
    process = context.Process(target=time.sleep, args=(0,))
    process.start()
    process.join()


def choose_a_start_method() -> None:
    multiprocessing.set_start_method("spawn", force=True)


def set_the_locale() -> None:
    locale.setlocale(locale.LC_NUMERIC, "C.UTF-8")


def add_a_path() -> None:
    sys.path.insert(0, "/nowhere")


def lower_the_recursion_limit() -> None:
    sys.setrecursionlimit(120)


def be_nice() -> None:
    os.nice(5)


def pin() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def trace() -> None:
    sys.settrace(lambda *_: None)


def stop_collecting() -> None:
    gc.disable()


def limit_sockets() -> None:
    socket.setdefaulttimeout(0.001)


def shadow_print() -> None:
    builtins.print = lambda *_args, **_kwargs: None  # type: ignore[assignment]


def round_coarsely() -> None:
    decimal.getcontext().prec = 2


def silence_logging() -> None:
    logging.disable(logging.CRITICAL)


def warn_by_raising() -> None:
    warnings.simplefilter("error")


def choose_a_temporary_folder() -> None:
    tempfile.tempdir = "/nowhere"


def choose_a_policy() -> None:
    class Policy(asyncio.DefaultEventLoopPolicy):  # type: ignore[misc, name-defined]
        pass

    asyncio.set_event_loop_policy(Policy())


def take_a_session() -> None:
    if os.getpgrp() == os.getpid():
        os.setpgid(0, os.getpgid(os.getppid()))
    os.setsid()


def take_a_group() -> None:
    os.setpgid(0, 0)


def seed_the_generators() -> None:
    import numpy

    random.seed(SEED)
    numpy.random.seed(SEED)


def be_scheduled_as_batch() -> None:
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def hook_into_python() -> None:
    _reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    threading.excepthook = print
    threading.stack_size(1 << 20)
    sys.set_asyncgen_hooks(print, print)
    sys.setdlopenflags(os.RTLD_NOW | os.RTLD_GLOBAL)
    sys.set_int_max_str_digits(0)
    (faulthandler.disable if faulthandler.is_enabled() else faulthandler.enable)()
    tracemalloc.start()
    gc.set_debug(gc.DEBUG_UNCOLLECTABLE)
    sys.tracebacklimit = 0


def become_nobody() -> None:
    if os.getuid() == 0:
        os.setresuid(65534, 65534, 65534)


def take_another_root() -> None:
    if os.getuid() == 0:
        os.chroot(".")


def take_another_root_with_such_a_folder() -> None:
    if os.getuid() == 0:
        folder, root = os.getcwd(), tempfile.mkdtemp()
        os.makedirs(root + folder)
        os.chroot(root)
        os.chdir(folder)


def replace_its_folder() -> None:
    folder = os.getcwd()
    os.rename(folder, folder + "-moved")
    os.mkdir(folder)
    os.chdir(folder)


def close_everything() -> None:
    """The connection to the node worker, too."""
    os.closerange(3, 4096)


def leave_files_open() -> None:
    for _ in range(300):
        os.open("/", os.O_RDONLY)


LEAKED: list[bytes] = []


def leak(mebibytes: int) -> None:
    LEAKED.append(b"x" * (mebibytes << 20))
