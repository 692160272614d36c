"""Executes a command after tying its life to the executor's: `launcher.py PARENT_PID PROGRAM [ARGUMENT...]`.

It is run by its path with `python -I -S`, so it imports only built-in modules and takes about 5 ms. It is a
separate program because a preexec_fn would run Python between fork and exec of a process with threads.
"""

import posix  # built in, unlike `os`, which is read from disk
import sys

# The C part of ctypes; the package itself takes 5 ms to import.
from _ctypes import call_function, dlopen, dlsym
from _signal import (  # type: ignore[import-not-found]
    SIG_DFL,
    SIG_SETMASK,
    SIGHUP,
    SIGINT,
    SIGPIPE,
    SIGQUIT,
    SIGTERM,
    SIGXFSZ,
    pthread_sigmask,
    signal,
)

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
SIGKILL = 9
CANNOT_EXECUTE = 126  # as a shell reports it


def launch(parent_pid: int, argv: list[str]) -> None:
    """Ask for SIGKILL when the parent dies, check that it has not died before, and execute argv."""
    call_function(dlsym(dlopen(None, 0), "prctl"), (PR_SET_PDEATHSIG, SIGKILL))  # type: ignore[arg-type]
    if posix.getppid() != parent_pid:
        posix._exit(128 + SIGKILL)
    # Ignored and blocked signals would be inherited: Python ignores SIGPIPE and SIGXFSZ, nohup
    # SIGHUP, a shell's `&` SIGINT.
    for number in (SIGPIPE, SIGXFSZ, SIGHUP, SIGINT, SIGQUIT, SIGTERM):
        signal(number, SIG_DFL)
    pthread_sigmask(SIG_SETMASK, ())
    try:
        posix.execve(argv[0], argv, _environment())
    except OSError as error:
        print(f"{argv[0]}: {error.strerror}", file=sys.stderr, flush=True)
        posix._exit(CANNOT_EXECUTE)


def _environment() -> dict[bytes, bytes]:
    """Return the given environment: Python may have added LC_CTYPE at its start (PEP 538)."""
    with open("/proc/self/environ", "rb") as file:
        entries = file.read().split(b"\0")
    return {name: value for name, _, value in (entry.partition(b"=") for entry in entries) if name}


if __name__ == "__main__":
    launch(int(sys.argv[1]), sys.argv[2:])
