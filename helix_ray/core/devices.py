"""Synced devices: phones, tablets and laptops that a user has enrolled, and what a user keeps on them.

A device has a credential of its own: the API token whose id is the device's. It has the role DEVICE and no
other, so it may only sync, as itself. The control plane carries out what it asks in its user's name.

A document is a user's own: a setting or a note. All devices of the user share it. Its fields have the stamp
of their last write (milliseconds of the device's clock, a counter, the device), and the seq of the fact that
wrote it, by which a device says what it had seen.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal, NamedTuple, TypeAlias, TypedDict

from helix_ray.core.secrets import conceal

DEVICE_PREFIX: Final = "device-"
DEVICE_TYPES: Final = ("phone", "tablet", "laptop", "watch", "other")
DOCUMENT_KINDS: Final = ("settings", "notes")
DEVICE_NAME_CHARS_MAX = 128
DOCUMENT_KEY_CHARS_MAX = 128
DOCUMENT_BYTES_MAX = 65_536
DOCUMENT_FIELDS_MAX = 200
FIELD_NAME_CHARS_MAX = 128
MUTATIONS_PER_PUSH_MAX = 500
# How far a device's clock may be ahead of the server's.
CLOCK_AHEAD_S_MAX = 60.0
# What one device may follow: conditions for tasks.
FOLLOWED_MAX = 50
CODE_TTL_S = 600.0
# Unused codes of a user; a further one ends the oldest.
CODES_PER_USER_MAX = 5
# Refused mutations of a device that are remembered, so that one that is sent again gets the same answer.
VERDICTS_KEPT_MAX = 200

DeviceType: TypeAlias = Literal["phone", "tablet", "laptop", "watch", "other"]
Merging: TypeAlias = Literal["fields", "manual"]
# Why a change is listed and not applied.
ConflictReason: TypeAlias = Literal["deleted", "edited", "manual", "overwritten"]
# The key of a document within those of its user: its kind, and its name.
DocumentKey: TypeAlias = tuple[str, str]


class Stamp(NamedTuple):
    """When a field was written: milliseconds of the epoch, a counter, and the device that wrote it."""

    at_ms: int
    counter: int
    device: str


class FieldValue(NamedTuple):
    """A field of a document: its value, the stamp of its last write, and the seq of that fact."""

    value: Any
    stamp: Stamp
    version: int


class FollowedTasks(TypedDict):
    """A condition for tasks: all of its parts hold. `label` is `name=value`, `owner` a user's id."""

    project: str | None
    label: str | None
    owner: str | None


class Follows(TypedDict):
    """What a device follows: tasks that meet one of the conditions, and kinds of documents of its user."""

    tasks: list[FollowedTasks]
    documents: list[str]


@dataclass(slots=True, kw_only=True)
class EnrolledDevice:
    """An enrolled device. `verdicts` are the last mutations that were not simply applied, by number: what
    became of each."""

    id: str
    user_id: str
    name: str
    type: str
    follows: Follows
    enrolled_at: float
    last_mutation: int = 0
    verdicts: dict[int, list[Any]] = field(default_factory=dict)


@conceal
@dataclass(slots=True)
class DeviceCode:
    """A one-time code with which a user enrols a device; only its hash is known."""

    secret_fields: ClassVar[tuple[str, ...]] = ("code_hash",)

    code_hash: str
    user_id: str
    until: float


@dataclass(slots=True, kw_only=True)
class Document:
    """A setting or a note of a user. `deleted` is the stamp of its deletion: then it has no fields."""

    kind: str
    key: str
    merging: str = "fields"
    fields: dict[str, FieldValue] = field(default_factory=dict)
    deleted: Stamp | None = None
    version: int = 0

    def values(self) -> dict[str, object]:
        """Return the fields' values by name."""
        return {name: each.value for name, each in self.fields.items()}

    def size(self) -> int:
        """Return how many bytes its fields have as JSON, about."""
        return bytes_of(self.values())


@dataclass(slots=True, kw_only=True)
class SyncConflict:
    """What could not be merged: the change of a document that lost. `fields` None: a deletion."""

    id: str
    reason: str
    kind: str
    key: str
    fields: dict[str, object] | None
    stamp: Stamp
    mutation: int
    at: float


@dataclass(slots=True)
class UserDocuments:
    """The documents of a user, deleted ones included, and the conflicts, the oldest first. `live` and
    `size` (bytes, those of conflicts included) can be computed from these."""

    documents: dict[DocumentKey, Document] = field(default_factory=dict)
    conflicts: dict[str, SyncConflict] = field(default_factory=dict)
    live: int = 0
    size: int = 0


NO_DOCUMENTS: Final = UserDocuments()


def bytes_of(value: Any) -> int:
    """Return how many bytes a JSON value has, about."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def follows_own(user_id: str) -> Follows:
    """Return what a device follows at first: its user's tasks, settings and notes."""
    return {
        "tasks": [{"project": None, "label": None, "owner": user_id}],
        "documents": list(DOCUMENT_KINDS),
    }
