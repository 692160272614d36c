"""The administrator's password passed from the shell to the session without showing in any process's
environment.

/proc/PID/environ shows the environment that a process was started with, even after it removes a variable. So
a process that finds the password in its environment executes itself again without it (`leave_environment`),
and passes it on in a memory file (memfd): only the descriptor's number is in the environment, and the file is
closed once it is read.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, MutableMapping

# The same names as in helix_ray/security/first_password.py, which is slow to import, and this process is
# replaced at once.
VARIABLE = "HELIX_ADMIN_PASSWORD"
FILE_VARIABLE = "HELIX_ADMIN_PASSWORD_FILE"
DESCRIPTOR = "HELIX_ADMIN_PASSWORD_FD"


def leave_environment() -> None:
    """Where the password is in the environment, execute this program again without it; else return."""
    if VARIABLE not in os.environ:
        return
    kept = {name: value for name, value in os.environ.items() if name != VARIABLE}
    with handed_on(os.environ[VARIABLE], kept) as (environment, (handle,)):
        os.set_inheritable(handle, True)
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606 - no shell


@contextlib.contextmanager
def handed_on(
    password: str | None, environment: Mapping[str, str]
) -> Iterator[tuple[dict[str, str], tuple[int, ...]]]:
    """Return the environment and the descriptors (`pass_fds`) with which a child can `receive` the
    password."""
    if password is None:
        yield dict(environment), ()
        return
    handle = os.memfd_create("helix-password", os.MFD_CLOEXEC)
    try:
        os.write(handle, os.fsencode(password))
        yield {**environment, DESCRIPTOR: str(handle)}, (handle,)
    finally:
        os.close(handle)


def receive(environment: MutableMapping[str, str]) -> str | None:
    """Return the password passed to this process, and remove its variable; None where there is none."""
    direct, number = environment.pop(VARIABLE, None), environment.pop(DESCRIPTOR, None)
    if number is None:
        return direct
    handle = int(number)
    try:
        return os.fsdecode(os.pread(handle, os.fstat(handle).st_size, 0))
    finally:
        os.close(handle)
