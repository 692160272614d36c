"""Facts about synced devices and the documents of their users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, TypedDict

from helix_ray.core.devices import Follows


class DocumentChange(TypedDict):
    """What is written to a document: fields as [value, milliseconds, counter, device], by name; `deleted` is
    the stamp of a deletion, which removes all fields. `whole`: the fields replace all that it had."""

    kind: str
    key: str
    merging: str
    fields: dict[str, list[Any]]
    deleted: list[Any] | None
    whole: bool


class ListedConflict(TypedDict):
    """A change that was not applied, or that was overwritten, for its user to decide."""

    id: str
    reason: str
    kind: str
    key: str
    fields: dict[str, object] | None
    stamp: list[Any]
    mutation: int


@dataclass(slots=True)
class DeviceCodeIssued:
    """A user got a one-time code for a device. `id` is the user's."""

    secret_fields: ClassVar[tuple[str, ...]] = ("code_hash",)

    id: str
    code_hash: str
    until: float


@dataclass(slots=True)
class DeviceEnrolled:
    """A device was enrolled with a one-time code, and got a credential: an API token with its id."""

    secret_fields: ClassVar[tuple[str, ...]] = ("code_hash", "token_hash")

    id: str
    user_id: str
    name: str
    type: str
    follows: Follows
    code_hash: str
    token_hash: str
    shown: str
    expires_at: float


@dataclass(slots=True)
class DeviceRenamed:
    """A device got another name."""

    id: str
    name: str


@dataclass(slots=True)
class DeviceFollowsSet:
    """A device follows something else."""

    id: str
    follows: Follows


@dataclass(slots=True)
class DeviceRevoked:
    """A device was revoked, or removed after its credential expired: its credential has ended."""

    id: str
    reason: str


@dataclass(slots=True)
class MutationsPushed:
    """A device has sent mutations, up to `last_mutation`. `id` is the device's. `verdicts` are those that
    were not simply applied: [number, verdict, code, reason, details]; `forgotten` are kinds and keys of
    documents that were deleted long ago, and are not remembered any longer."""

    secret_fields: ClassVar[tuple[str, ...]] = ("changes", "conflicts")

    id: str
    user_id: str
    last_mutation: int
    changes: list[DocumentChange]
    conflicts: list[ListedConflict]
    verdicts: list[list[Any]]
    forgotten: list[list[str]]


@dataclass(slots=True)
class ConflictResolved:
    """A user has decided about a conflict. `id` is the user's; `change` is what was written, if anything."""

    secret_fields: ClassVar[tuple[str, ...]] = ("change",)

    id: str
    conflict: str
    change: DocumentChange | None
