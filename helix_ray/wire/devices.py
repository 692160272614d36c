"""Synced devices, what they send, and conflicts, in JSON."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired, cast

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, with_config
from pydantic import JsonValue as AnyJson
from typing_extensions import TypedDict

from helix_ray.core.devices import (
    DEVICE_NAME_CHARS_MAX,
    FOLLOWED_MAX,
    MUTATIONS_PER_PUSH_MAX,
    DeviceType,
    Follows,
)
from helix_ray.core.orders.devices import MutatedData, MutationVerdict
from helix_ray.core.views.devices import DeviceView, DocumentView, SyncConflictView
from helix_ray.wire.times import iso, iso_or_none
from helix_ray.wire.values import CLOSED, STRICT, JsonValue, adapter

CODE_CHARS_MAX = 32
FOLLOWED_CHARS_MAX = 256
# The largest integer that every client reads exactly.
NUMBER_MAX = 2**53 - 1

DeviceName = Annotated[
    str, Field(min_length=1, max_length=DEVICE_NAME_CHARS_MAX, pattern=r"\S", examples=["Ada's phone"])
]
FollowedText = Annotated[str, Field(min_length=1, max_length=FOLLOWED_CHARS_MAX)]
Kind = Literal["settings", "notes"]


@with_config(CLOSED)
class DeviceCodeOut(TypedDict):
    """A one-time code for a device. Only this answer contains it."""

    code: Annotated[str, Field(examples=["7K2QD-M4XN9"])]
    expires_at: str


@with_config(STRICT)
class DeviceIn(TypedDict):
    """A device to enrol, with the code that its user got."""

    code: Annotated[str, Field(min_length=1, max_length=CODE_CHARS_MAX)]
    name: DeviceName
    type: NotRequired[DeviceType]


@with_config(CLOSED)
class DeviceEnrolledOut(TypedDict):
    """An enrolled device: the only answer that contains its credential, a bearer token."""

    device_id: Annotated[str, Field(examples=["device-123"])]
    credential: str
    user_id: str
    expires_at: str
    server_time: str


@with_config(STRICT)
class DeviceChangeIn(TypedDict):
    """A device's other name."""

    name: DeviceName


@with_config(STRICT)
class FollowedTasksIn(TypedDict):
    """A condition for tasks: all of its parts hold. `label` is `name=value`, `owner` a user's name or id."""

    project: NotRequired[FollowedText | None]
    label: NotRequired[Annotated[FollowedText, Field(pattern="=")] | None]
    owner: NotRequired[FollowedText | None]


@with_config(STRICT)
class FollowsIn(TypedDict):
    """What a device follows: tasks that meet one of the conditions, and kinds of documents of its user."""

    tasks: Annotated[list[FollowedTasksIn], Field(max_length=FOLLOWED_MAX)]
    documents: Annotated[list[Kind], Field(max_length=2)]


@with_config(CLOSED)
class FollowedTasksOut(TypedDict):
    """A condition for tasks; a part that is null holds for all."""

    project: str | None
    label: str | None
    owner: str | None


@with_config(CLOSED)
class FollowsOut(TypedDict):
    """What a device follows."""

    tasks: list[FollowedTasksOut]
    documents: list[str]


@with_config(CLOSED)
class EnrolledDeviceOut(TypedDict):
    """A synced device, without its credential. `last_seen_at` is exact to a few minutes."""

    id: str
    user: str
    name: str
    type: str
    follows: FollowsOut
    enrolled_at: str
    last_seen_at: str | None
    expires_at: str
    last_mutation: int


@with_config(CLOSED)
class EnrolledDevicesOut(TypedDict):
    """Synced devices, in the order of their enrolment."""

    devices: list[EnrolledDeviceOut]


class EnrolledDevicesQuery(BaseModel):
    """The query of a listing of devices: their user, by name."""

    model_config = ConfigDict(extra="forbid")

    user: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        None, description="Whose devices: a user's name; others' are for administrators."
    )


class DocumentsQuery(BaseModel):
    """The query of a listing of documents: their kind."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind | None = Field(None, description="The only kind of documents to list.")


@with_config(STRICT)
class MutationIn(TypedDict):
    """Something that the device has done, by number. `stamp` is when, in milliseconds of its clock.

    `put` sets `fields` of the document `kind`, `key`, and `delete` deletes it; `base_version` is the version
    of the document that the device had. `cancel` and `edit` are about `task_id`, `submit` has a `task`.
    """

    id: Annotated[int, Field(ge=1, le=NUMBER_MAX)]
    op: Literal["put", "delete", "cancel", "edit", "submit"]
    stamp: Annotated[int, Field(ge=0, le=NUMBER_MAX)]
    counter: NotRequired[Annotated[int, Field(ge=0, le=NUMBER_MAX)]]
    kind: NotRequired[str]
    key: NotRequired[str]
    fields: NotRequired[dict[str, AnyJson]]
    merge: NotRequired[Literal["fields", "manual"]]
    base_version: NotRequired[Annotated[int, Field(ge=0, le=NUMBER_MAX)] | None]
    task_id: NotRequired[str]
    edits: NotRequired[dict[str, AnyJson]]
    task: NotRequired[dict[str, AnyJson]]
    # A device says with it that it has corrected the stamp of a refused mutation.
    corrected: NotRequired[bool]


@with_config(STRICT)
class MutationsIn(TypedDict):
    """Mutations with contiguous numbers, the first of them at most the one that is expected."""

    mutations: Annotated[list[MutationIn], Field(min_length=1, max_length=MUTATIONS_PER_PUSH_MAX)]


@with_config(CLOSED)
class VerdictOut(TypedDict):
    """What became of a mutation. `already`: it was carried out before. `code` and `reason` say why one is
    refused, or in conflict."""

    id: int
    verdict: Literal["applied", "already", "refused", "conflict"]
    code: str | None
    reason: str | None
    details: dict[str, AnyJson]


@with_config(CLOSED)
class MutationsOut(TypedDict):
    """A verdict for each mutation, in order, and the server's time."""

    verdicts: list[VerdictOut]
    last_mutation: int
    server_time: str


@with_config(CLOSED)
class DocumentOut(TypedDict):
    """A document of the user; `version` grows with each change."""

    kind: str
    key: str
    version: int
    merge: str
    fields: dict[str, AnyJson]


@with_config(CLOSED)
class DocumentsOut(TypedDict):
    """Documents of the user."""

    documents: list[DocumentOut]


@with_config(CLOSED)
class SyncConflictOut(TypedDict):
    """A change that was not applied, or was overwritten: its fields (null: a deletion), when and by which
    device it was made, and the document as it is (null: there is none)."""

    id: str
    reason: Literal["deleted", "edited", "manual", "overwritten"]
    kind: str
    key: str
    fields: dict[str, AnyJson] | None
    device_id: str
    made_at: str
    mutation: int
    listed_at: str
    current: dict[str, AnyJson] | None


@with_config(CLOSED)
class SyncConflictsOut(TypedDict):
    """Conflicts that are not decided, the oldest first."""

    conflicts: list[SyncConflictOut]
    server_time: str


@with_config(STRICT)
class ResolutionIn(TypedDict):
    """What becomes of a conflict: the document stays as it is (`current`), what is listed is written
    (`listed`), or `fields` are."""

    keep: Literal["current", "listed", "fields"]
    fields: NotRequired[dict[str, JsonValue]]


def device_out(view: DeviceView) -> dict[str, object]:
    """Return a device with ISO times."""
    return {
        **view,
        "enrolled_at": iso(view["enrolled_at"]),
        "last_seen_at": iso_or_none(view["last_seen_at"]),
        "expires_at": iso(view["expires_at"]),
    }


def follows_of(sent: FollowsIn) -> Follows:
    """Return what a request asks to follow, with all parts of the conditions."""
    return {
        "tasks": [
            {"project": each.get("project"), "label": each.get("label"), "owner": each.get("owner")}
            for each in sent["tasks"]
        ],
        "documents": list(sent["documents"]),
    }


def mutations_out(data: MutatedData) -> dict[str, object]:
    """Return the verdicts, all with the same fields."""
    return {
        "verdicts": [_verdict(each) for each in data["verdicts"]],
        "last_mutation": data["last_mutation"],
        "server_time": iso(data["server_time"]),
    }


def _verdict(each: MutationVerdict) -> dict[str, object]:
    return {"code": None, "reason": None, "details": {}, **each}


def document_out(view: DocumentView) -> DocumentOut:
    """Return a document."""
    return cast("DocumentOut", view)


def conflict_out(view: SyncConflictView) -> dict[str, object]:
    """Return a conflict with ISO times."""
    return {**view, "made_at": iso(view["made_at"]), "listed_at": iso(view["listed_at"])}


DEVICE: TypeAdapter[DeviceIn] = adapter(DeviceIn)
DEVICE_CHANGE: TypeAdapter[DeviceChangeIn] = adapter(DeviceChangeIn)
FOLLOWS: TypeAdapter[FollowsIn] = adapter(FollowsIn)
MUTATIONS: TypeAdapter[MutationsIn] = adapter(MutationsIn)
RESOLUTION: TypeAdapter[ResolutionIn] = adapter(ResolutionIn)
