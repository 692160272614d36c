"""Questions about synced devices. The SyncDevices actors answer devices and their users; the master answers
the actors."""

from __future__ import annotations

from dataclasses import dataclass

from helix_ray.core.access import DEVICES, EVERYBODY, SYSTEM_ONLY, Tokens
from helix_ray.core.follows import Scope
from helix_ray.core.question_kind import QuestionKind
from helix_ray.core.views.sync import BoardView, ChangesView, RowsView, SyncStatusView

CURSOR_CHARS_MAX = 200


@dataclass(frozen=True, slots=True)
class PullChanges(QuestionKind[ChangesView]):
    """What has changed since a cursor in what a device follows; waits until there is something."""

    allowed = DEVICES
    tokens = Tokens.ALL
    of_sync = True

    device_id: str
    cursor: str | None = None
    limit: int = 500


@dataclass(frozen=True, slots=True)
class SyncStatus(QuestionKind[SyncStatusView]):
    """When the caller's devices last had everything; for administrators those of all users."""

    allowed = EVERYBODY | DEVICES
    tokens = Tokens.ALL
    of_sync = True


@dataclass(frozen=True, slots=True)
class DeviceBoard(QuestionKind[BoardView]):
    """Enrolled devices: these and those of these users; None: all."""

    allowed = SYSTEM_ONLY

    device_ids: tuple[str, ...] | None = None
    users: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FollowedRows(QuestionKind[RowsView]):
    """What some tasks, and documents (user, kind and key), are at the moment."""

    allowed = SYSTEM_ONLY

    task_ids: tuple[str, ...] = ()
    documents: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ScopeRows(QuestionKind[RowsView]):
    """All tasks and documents in a scope, unless it has more than `rows_max` tasks."""

    allowed = SYSTEM_ONLY
    travels_alone = True
    in_steps = True

    scope: Scope
    rows_max: int
