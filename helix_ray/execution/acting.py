"""For whom the code in this process acts: the owner of the attempt that runs here (ADR 66).

An executor runs one attempt at a time, so it is asked at each call: a connection that a warm process has kept
acts for whoever's attempt runs. Programs that a function or a command starts find it by a variable. None of
this stops code that wants to be somebody else: it runs as the cluster's own user (SECURITY.md).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from helix_ray.core.access import SYSTEM, USER_PREFIX, Capability, Principal
from helix_ray.core.errors import ErrorCode, Refused, Rejected
from helix_ray.execution.assignment import Assignment

VARIABLE = "HELIX_CAPABILITY"
"""Owner, project, task, attempt and mac as JSON, for the programs that a command starts."""

FILE_VARIABLE = "HELIX_CAPABILITY_FILE"
"""The path of a file with the same, for those that a function starts: an executor writes it for each attempt,
because a changed environment costs more to put back."""

# More than the longest ids need, so that a text overwrites the one before it.
FILE_BYTES = 4096

NO_ATTEMPT = Rejected(
    ErrorCode.UNAUTHORIZED, "No task runs in this process at the moment", {"reason": "attempt_ended"}
)

_file: int | None = None
_current: Principal | None = None


def serve() -> None:
    """Say that this process is an executor: code in it acts for the attempt that runs, or not at all."""
    global _file
    # It has no name that would have to be removed, and programs of this user find it in /proc.
    _file = os.memfd_create("helix-capability")
    os.environ[FILE_VARIABLE] = f"/proc/{os.getpid()}/fd/{_file}"


def of(assignment: Assignment) -> Principal | None:
    """Return for whom the code of an attempt acts; None where the control plane gave it no capability."""
    if not assignment.mac:
        return None
    capability = Capability(assignment.task_id, assignment.attempt, assignment.mac)
    return _principal(assignment.owner, assignment.project, capability)


def _principal(owner: str, project: str | None, capability: Capability) -> Principal:
    # The control plane takes name and roles from its state, and does not believe those.
    roles = () if owner.startswith(USER_PREFIX) else SYSTEM.roles
    projects = None if project is None else (project,)
    return Principal(owner, owner, roles, projects=projects, capability=capability)


def install(principal: Principal | None) -> None:
    """Set for whom the code acts that runs in this process; None for no attempt."""
    global _current
    _current = principal
    if principal is not None and _file is not None:
        os.pwrite(_file, text_of(principal).encode().ljust(FILE_BYTES), 0)


def caller() -> Callable[[], Principal] | None:
    """Return what says for whom a call is made in this process; None in a program outside any attempt."""
    if _file is not None or _current is not None:
        return _now
    return _inherited(os.environ)


def _now() -> Principal:
    if _current is None:
        raise Refused(NO_ATTEMPT)
    return _current


def _inherited(environment: Mapping[str, str]) -> Callable[[], Principal] | None:
    path, text = environment.get(FILE_VARIABLE), environment.get(VARIABLE)
    if path is not None:
        text = _read(Path(path))
    if text is None:
        return None
    owner, project, task_id, attempt, mac = json.loads(text)
    principal = _principal(owner, project, Capability(task_id, attempt, mac))
    return lambda: principal


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        # The executor has ended, and with it what was allowed.
        raise Refused(NO_ATTEMPT) from None


def text_of(principal: Principal) -> str:
    """Return what programs find for whom they act."""
    capability = principal.capability
    assert capability is not None
    project = principal.projects[0] if principal.projects else None
    return json.dumps([principal.id, project, capability.task_id, capability.attempt, capability.mac])
