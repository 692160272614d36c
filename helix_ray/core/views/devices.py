"""Synced devices, documents and conflicts as questions are answered with them. Times are epoch seconds."""

from __future__ import annotations

from typing import TypedDict

from helix_ray.core.devices import Document, EnrolledDevice, Follows, SyncConflict
from helix_ray.core.state import ApiToken, User


class DeviceView(TypedDict):
    """A synced device, without its credential; `last_seen_at` is exact to a few minutes."""

    id: str
    user: str
    name: str
    type: str
    follows: Follows
    enrolled_at: float
    last_seen_at: float | None
    expires_at: float
    last_mutation: int


class DevicesView(TypedDict):
    """Synced devices, in the order of their enrolment."""

    devices: list[DeviceView]


class DocumentView(TypedDict):
    """A document of a user; `version` is the seq of its last change."""

    kind: str
    key: str
    version: int
    merge: str
    fields: dict[str, object]


class DocumentsView(TypedDict):
    """Documents of a user."""

    documents: list[DocumentView]


class SyncConflictView(TypedDict):
    """A change that was not applied, or was overwritten: its fields (None: a deletion), when and by which
    device it was made, and the document as it is (None: there is none)."""

    id: str
    reason: str
    kind: str
    key: str
    fields: dict[str, object] | None
    device_id: str
    made_at: float
    mutation: int
    listed_at: float
    current: dict[str, object] | None


class SyncConflictsView(TypedDict):
    """The unresolved conflicts of a user, the oldest first."""

    conflicts: list[SyncConflictView]


def device_view(device: EnrolledDevice, token: ApiToken, user: User) -> DeviceView:
    """Return a device with the times of its credential."""
    return {
        "id": device.id,
        "user": user.username,
        "name": device.name,
        "type": device.type,
        "follows": device.follows,
        "enrolled_at": device.enrolled_at,
        "last_seen_at": token.last_used_at,
        "expires_at": token.expires_at,
        "last_mutation": device.last_mutation,
    }


def document_view(document: Document) -> DocumentView:
    """Return a document that is not deleted."""
    return {
        "kind": document.kind,
        "key": document.key,
        "version": document.version,
        "merge": document.merging,
        "fields": document.values(),
    }


def conflict_view(conflict: SyncConflict, current: Document | None) -> SyncConflictView:
    """Return a conflict with the document as it is."""
    gone = current is None or current.deleted is not None
    return {
        "id": conflict.id,
        "reason": conflict.reason,
        "kind": conflict.kind,
        "key": conflict.key,
        "fields": conflict.fields,
        "device_id": conflict.stamp.device,
        "made_at": conflict.stamp.at_ms / 1000,
        "mutation": conflict.mutation,
        "listed_at": conflict.at,
        "current": None if current is None or gone else current.values(),
    }
