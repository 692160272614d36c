"""The administrator's password on its way from the shell to the session, seen in no process's environment.

/proc/PID/environ shows what a process was started with, whatever it removes later. So a process that finds
the password in its environment starts itself again without it (`leave_environment`), and hands it on in a
file that exists in memory only: the number of its descriptor is in the environment, and it is gone when
the receiver has read it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, MutableMapping

# As helix_ray/security/first_password.py has them: importing that would cost the start that is thrown away.
VARIABLE = "HELIX_ADMIN_PASSWORD"
FILE_VARIABLE = "HELIX_ADMIN_PASSWORD_FILE"
DESCRIPTOR = "HELIX_ADMIN_PASSWORD_FD"


def leave_environment() -> None:
    """Where the password is in the environment, become the same program without it; else return."""
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
    """Give the environment and the descriptors (`pass_fds`) of a child that is to `receive` the password."""
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
    """Return the password that this process was given, and take it out of the environment;
    None where there is none."""
    direct, number = environment.pop(VARIABLE, None), environment.pop(DESCRIPTOR, None)
    if number is None:
        return direct
    handle = int(number)
    try:
        return os.fsdecode(os.pread(handle, os.fstat(handle).st_size, 0))
    finally:
        os.close(handle)
