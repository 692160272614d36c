"""Orders about synced devices. They contain only hashes of codes and credentials."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal, NotRequired, TypedDict

from helix_ray.core.access import DEVICES, EVERYBODY, SYSTEM_ONLY, Tokens
from helix_ray.core.devices import Follows
from helix_ray.core.orders.kind import IdData, OrderKind
from helix_ray.core.secrets import SEALED_IN_RUN, SECRET_IN_RUN, below
from helix_ray.core.specs import TaskEdits, TaskSpec
from helix_ray.core.state import State
from helix_ray.core.weight import ENDING_TASKS, weight_of_end, weight_of_spec


class CodeData(TypedDict):
    """Until when a one-time code is valid, in epoch seconds."""

    until: float


class EnrolledData(TypedDict):
    """An enrolled device, whose it is, and when its credential expires, in epoch seconds."""

    id: str
    user_id: str
    expires_at: float


class Mutation(TypedDict):
    """Something that a device has done, by number. `stamp` is when, in milliseconds of its clock.

    `put` sets `fields` of the document `kind`, `key`; `delete` deletes it. `base_version` is the version of
    the document that the device had seen. `cancel`, `edit` and `submit` are about tasks.
    """

    id: int
    op: Literal["put", "delete", "cancel", "edit", "submit"]
    stamp: int
    counter: NotRequired[int]
    kind: NotRequired[str]
    key: NotRequired[str]
    fields: NotRequired[dict[str, object]]
    merge: NotRequired[Literal["fields", "manual"]]
    base_version: NotRequired[int | None]
    task_id: NotRequired[str]
    edits: NotRequired[TaskEdits]
    task: NotRequired[TaskSpec]
    # Why it is none: code, message and details of its refusal. It has no other fields then.
    invalid: NotRequired[list[Any]]


class MutationVerdict(TypedDict):
    """What became of a mutation; `code` and `reason` say why one was refused, or is in conflict."""

    id: int
    verdict: Literal["applied", "already", "refused", "conflict"]
    code: NotRequired[str]
    reason: NotRequired[str]
    details: NotRequired[dict[str, object]]


class MutatedData(TypedDict):
    """The verdicts of the mutations that were looked at: the first of those that were sent, perhaps not all.
    `server_time` is in epoch seconds."""

    verdicts: list[MutationVerdict]
    last_mutation: int
    server_time: float


@dataclass(frozen=True, slots=True)
class IssueDeviceCode(OrderKind[CodeData]):
    """Make a one-time code valid, with which the caller enrols a device. `code_hash` is an HMAC of it."""

    allowed = EVERYBODY
    secret_fields = ("code_hash",)
    tokens = Tokens.NONE
    needs_key = True

    code_hash: str


@dataclass(frozen=True, slots=True)
class EnrolDevice(OrderKind[EnrolledData]):
    """Enrol a device with a one-time code; the API gives it for somebody who is not logged in."""

    allowed = SYSTEM_ONLY
    secret_fields = ("code_hash", "token_hash")
    needs_key = True

    code_hash: str
    token_hash: str
    shown: str
    name: str
    type: str


@dataclass(frozen=True, slots=True)
class ChangeDevice(OrderKind[IdData]):
    """Rename a device, or set what it follows."""

    allowed = EVERYBODY | DEVICES
    needs_key = True

    device_id: str
    _: KW_ONLY
    name: str | None = None
    follows: Follows | None = None


@dataclass(frozen=True, slots=True)
class RevokeDevice(OrderKind[IdData]):
    """Revoke a device: its credential ends."""

    allowed = EVERYBODY | DEVICES
    needs_key = True

    device_id: str


@dataclass(frozen=True, slots=True)
class PushMutations(OrderKind[MutatedData]):
    """Carry out mutations of a device in the order of their numbers, each of them once.

    At most one of them may concern a task: the receipt says how far it came, and the rest is sent again.
    """

    allowed = DEVICES
    secret_fields = ("mutations.*.fields", *below("mutations.*.task.run", SECRET_IN_RUN))
    sealed_fields = below("mutations.*.task.run", SEALED_IN_RUN)
    needs_key = False  # recognised by the numbers of the mutations

    mutations: tuple[Mutation, ...]

    def work(self) -> int:
        """Return what its heaviest mutation of a task weighs, and one for each."""
        return len(self.mutations) + max((_weight(each) for each in self.mutations), default=0)

    def work_in(self, state: State) -> int:
        """Count what ends with a task."""
        ends = (weight_of_end(state, m.get("task_id", "")) for m in self.mutations if m["op"] == "cancel")
        submits = (_weight(m) for m in self.mutations if m["op"] == "submit")
        return len(self.mutations) + max((*ends, *submits), default=0)


def _weight(mutation: Mutation) -> int:
    if mutation["op"] == "submit":
        return weight_of_spec(mutation.get("task") or {})
    return ENDING_TASKS if mutation["op"] == "cancel" else 1


@dataclass(frozen=True, slots=True)
class ResolveConflict(OrderKind[IdData]):
    """Decide about a listed conflict: keep the document as it is, write what is listed, or write `fields`."""

    allowed = EVERYBODY | DEVICES
    secret_fields = ("fields",)
    needs_key = True

    conflict_id: str
    keep: Literal["current", "listed", "fields"]
    fields: dict[str, object] | None = None
