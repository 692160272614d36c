"""For whom the code in this process acts: the owner of the attempt that runs here (ADR 66).

An executor runs one attempt at a time, so it is asked at each call: a connection that a warm process has kept
acts for whoever's attempt runs. Programs that a function or a command starts find it by a variable. None of
this stops code that wants to be somebody else: it runs as the cluster's own user (SECURITY.md).
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring_ascii as quoted
from pathlib import Path

from helix_ray.core.access import SYSTEM, USER_PREFIX, Capability, Principal
from helix_ray.core.errors import ErrorCode, Refused, Rejected
from helix_ray.execution.assignment import Assignment

VARIABLE = "HELIX_CAPABILITY"
"""Owner, project, task, attempt and mac as JSON, for the programs that a command starts."""

FILE_VARIABLE = "HELIX_CAPABILITY_FILE"
"""The path of a file with the same, for those that a function starts: an executor writes it for each attempt,
because a changed environment costs more to put back."""

# More than the longest ids need.
FILE_BYTES = 4096

NO_ATTEMPT = Rejected(
    ErrorCode.UNAUTHORIZED, "No task runs in this process at the moment", {"reason": "attempt_ended"}
)

_file: mmap.mmap | None = None
_file_used = 0
_current: Assignment | None = None


def serve() -> None:
    """Say that this process is an executor: code in it acts for the attempt that runs, or not at all."""
    global _file
    # It has no name that would have to be removed, and programs of this user find it in /proc.
    descriptor = os.memfd_create("helix-capability")
    os.pwrite(descriptor, b" " * FILE_BYTES, 0)
    _file = mmap.mmap(descriptor, FILE_BYTES)
    os.environ[FILE_VARIABLE] = f"/proc/{os.getpid()}/fd/{descriptor}"


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


def begin(assignment: Assignment) -> None:
    """Set whose attempt runs in this process. Each does this, so nothing is made that only few ask for."""
    global _current, _file_used
    _current = assignment if assignment.mac else None
    if _current is not None and _file is not None:
        text = text_of(_current).encode()
        # Spaces replace the end of a longer text before it.
        size = max(len(text), _file_used)
        _file[:size] = text.ljust(size)
        _file_used = len(text)


def end() -> None:
    """Say that no attempt runs in this process."""
    global _current
    _current = None


def caller() -> Callable[[], Principal] | None:
    """Return what says for whom a call is made in this process; None in a program outside any attempt."""
    if _file is not None or _current is not None:
        return _now
    return _inherited(os.environ)


def _now() -> Principal:
    principal = None if _current is None else of(_current)
    if principal is None:
        raise Refused(NO_ATTEMPT)
    return principal


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


def text_of(assignment: Assignment) -> str:
    """Return what programs find for whom they act."""
    project = "null" if assignment.project is None else quoted(assignment.project)
    owner, task_id, mac = map(quoted, (assignment.owner, assignment.task_id, assignment.mac))
    return f"[{owner}, {project}, {task_id}, {assignment.attempt}, {mac}]"
