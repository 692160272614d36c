"""Questions about synced devices, and the documents that they share."""

from __future__ import annotations

from dataclasses import dataclass

from helix_ray.core.access import DEVICES, EVERYBODY
from helix_ray.core.question_kind import QuestionKind
from helix_ray.core.views.devices import DevicesView, DeviceView, DocumentsView, SyncConflictsView


@dataclass(frozen=True, slots=True)
class ListDevices(QuestionKind[DevicesView]):
    """The caller's devices; for administrators those of all users, or of one."""

    allowed = EVERYBODY

    username: str | None = None


@dataclass(frozen=True, slots=True)
class GetDevice(QuestionKind[DeviceView]):
    """One device: one's own; for a device itself."""

    allowed = EVERYBODY | DEVICES

    device_id: str


@dataclass(frozen=True, slots=True)
class GetDocuments(QuestionKind[DocumentsView]):
    """The caller's documents, of one kind or of all."""

    allowed = EVERYBODY | DEVICES
    reads = "documents"

    kind: str | None = None


@dataclass(frozen=True, slots=True)
class ListConflicts(QuestionKind[SyncConflictsView]):
    """The caller's changes of documents that could not be merged."""

    allowed = EVERYBODY | DEVICES
    reads = "documents"
