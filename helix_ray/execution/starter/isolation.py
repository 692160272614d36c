"""What keeps commands apart from the control plane and from each other on this node, and how a cell is
started so.

Levels, the strongest first:

    namespaces               bubblewrap: mounts, process ids, IPC and user of its own
    namespaces without /proc the same where a container's masked /proc forbids another one: /proc is empty
    user                     another user than the server's, where that is root
    none                     nothing: a command may do what the server may do

With `auto` the first that this kernel offers is taken, another user only where one is named. Any other wish
is kept or refused, never lowered.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from helix_ray.execution.starter.bubblewrap import PROGRAM, bubblewrap, namespaces, proc
from helix_ray.execution.starter.levels import CellFolders, CellSpec, Isolation, Level, NotOffered, Wanted

RUN_AS_DEFAULT = "nobody"
PROBE_S_MAX = 10.0
CELL = str(Path(__file__).with_name("cell.py"))

_BECOME = """
import os, sys
uid, gid = map(int, sys.argv[1:])
os.setgroups([gid])
os.setresgid(gid, gid, gid)
os.setresuid(uid, uid, uid)
"""


def in_force(wanted: Wanted) -> Isolation:
    """Return the strongest isolation that is wanted and that this node offers; raises NotOffered.

    It tries each by running a program behind it: a few milliseconds.
    """
    if wanted.wish == "none":
        return Isolation("none", why="HELIX_ISOLATION is none")
    why = ""
    if wanted.wish != "user":
        found, why = _contained(wanted)
        if found is not None:
            return found
        if wanted.wish == "namespaces":
            raise NotOffered(
                f"HELIX_ISOLATION is namespaces, and this node does not offer them: {why}; "
                "install bubblewrap and allow user namespaces, or set HELIX_ISOLATION to another value"
            )
    found, lacks = _other_user(wanted)
    if found is not None:
        return replace(found, why=why or "HELIX_ISOLATION is user")
    if wanted.wish == "user":
        raise NotOffered(
            f"HELIX_ISOLATION is user, and {lacks}; run the server as root, or set it to another value"
        )
    return Isolation("none", why=f"{why}; {lacks}")


def cell_command(
    wanted: Wanted, isolation: Isolation, spec: CellSpec, folders: CellFolders, descriptor: int
) -> list[str]:
    """Return the argv that starts a cell, which serves the socket with this descriptor."""
    inner = [
        sys.executable,
        "-I",
        "-S",
        CELL,
        str(descriptor),
        str(os.getpid()),
        str(isolation.uid),
        str(isolation.gid),
        folders.shown,
        *wanted.writable,
    ]
    if not isolation.contained:
        return inner
    return [
        *bubblewrap(wanted, isolation, spec, folders, (CELL, sys.base_prefix, _environment())),
        "--",
        *inner,
    ]


def _environment() -> str:
    """Return the folder of the interpreter's virtual environment or installation.

    The starter runs without `site`, so `sys.prefix` does not name a virtual environment.
    """
    return str(Path(sys.executable).parent.parent)


def _contained(wanted: Wanted) -> tuple[Isolation | None, str]:
    if shutil.which(PROGRAM) is None:
        return None, f"{PROGRAM} is not on the PATH (Debian: apt-get install bubblewrap)"
    why = ""
    for isolation in _candidates(wanted):
        failed = _try(isolation)
        if failed is None:
            lacks = "" if isolation.level == "namespaces" else f"no /proc of its own can be mounted: {why}"
            return replace(isolation, why=lacks), ""
        why = failed
    return None, why


def _other_user(wanted: Wanted) -> tuple[Isolation | None, str]:
    if os.geteuid() != 0:
        return None, "only root can run commands as another user"
    if wanted.wish == "auto" and wanted.run_as is None:
        # Another user may reach neither the programs nor the folders of a server that nobody set up for it.
        return None, "HELIX_RUN_AS names no user to run them as"
    uid, gid, user = _user(wanted.run_as or RUN_AS_DEFAULT)
    failed = _run([sys.executable, "-I", "-S", "-c", _BECOME, str(uid), str(gid)])
    if failed is not None:
        return None, f"this root cannot become user {user}: {failed.splitlines()[-1]}"
    return Isolation("user", uid=uid, gid=gid, user=user), ""


def _candidates(wanted: Wanted) -> list[Isolation]:
    """Return the contained forms to try. Only root can do without a user namespace, and must where it
    changes users."""
    root = os.geteuid() == 0
    uid, gid, user = _user(wanted.run_as) if root and wanted.run_as else (-1, -1, "")
    namespaces = [False] if user else [True, False] if root else [True]
    levels: tuple[Level, ...] = ("namespaces", "namespaces without /proc")
    return [
        Isolation(level, uid=uid, gid=gid, user=user, own_userns=own)
        for level in levels
        for own in namespaces
    ]


def _try(isolation: Isolation) -> str | None:
    """Return None where a program can be run so, else what bubblewrap says."""
    program = [sys.executable, "-I", "-S", "-c", ""]
    return _run(
        [*namespaces(isolation), "--ro-bind", "/", "/", *proc(isolation), "--dev", "/dev", "--", *program]
    )


def _run(argv: list[str]) -> str | None:
    """Return None where the program ends well, else what it says."""
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE_S_MAX, text=True
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if done.returncode == 0 else done.stderr.strip() or f"it ended with {done.returncode}"


def _user(name: str) -> tuple[int, int, str]:
    """Return (uid, gid, name); raises NotOffered for a name that is no user of this node, and for root."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise NotOffered(f"HELIX_RUN_AS is {name!r}, which is not a user of this node") from None
    if entry.pw_uid == 0:
        raise NotOffered("HELIX_RUN_AS must be another user than root")
    return entry.pw_uid, entry.pw_gid, entry.pw_name
