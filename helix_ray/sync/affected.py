"""What a batch of facts is about, as far as devices are concerned."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from helix_ray.core import events as ev
from helix_ray.core.access import SYSTEM
from helix_ray.core.events import Fact
from helix_ray.core.follows import TaskSubject, labels_of

# Facts about one task, whose id they have.
TASK_FACTS = (
    ev.TaskSubmitted, ev.TaskReleased, ev.TaskAssigned, ev.TaskProgressed, ev.TaskOutlasted, ev.TaskRequeued,
    ev.TaskBlocked, ev.TaskUnblocked, ev.TaskPrioritised, ev.TaskCompleted, ev.TaskFailed, ev.TaskCancelled,
    ev.TaskEdited, ev.TaskDeleted, ev.TaskDeferred, ev.TaskRestored, ev.TaskMarked,
)  # fmt: skip
# Facts about one device, whose id they have; a credential that is revoked may be a device's.
DEVICE_FACTS = (
    ev.DeviceEnrolled, ev.DeviceRenamed, ev.DeviceFollowsSet, ev.DeviceRevoked, ev.TokenRevoked,
)  # fmt: skip
USER_FACTS = (ev.UserRemoved, ev.RolesChanged)

# User, kind and key of a document.
Document = tuple[str, str, str]


@dataclass(slots=True)
class Affected:
    """The tasks and documents that have changed, each with the seq of its last fact; the devices and users
    whose scopes may have changed; the last mutations of devices; whether something was erased.

    `entering` are those of the tasks that may be in a scope for the first time, with what decides about it
    (None: it must be read). All other changes concern only tasks that are in a scope already."""

    tasks: dict[str, int] = field(default_factory=dict)
    entering: dict[str, TaskSubject | None] = field(default_factory=dict)
    documents: dict[Document, int] = field(default_factory=dict)
    devices: set[str] = field(default_factory=set)
    users: set[str] = field(default_factory=set)
    mutated: dict[str, int] = field(default_factory=dict)
    erased: bool = False


def affected_by(facts: Iterable[Fact]) -> Affected:
    """Return what facts are about."""
    found = Affected()
    for fact in facts:
        _note(found, fact)
    return found


def _note(found: Affected, fact: Fact) -> None:
    event = fact.event
    if isinstance(event, TASK_FACTS):
        found.tasks[event.id] = fact.seq
        _note_entering(found, fact)
    elif isinstance(event, ev.TasksRetired):
        found.tasks.update(dict.fromkeys(event.ids, fact.seq))
    elif isinstance(event, ev.FactsErased):
        found.tasks.update(dict.fromkeys(event.tasks, fact.seq))
        found.erased = True
    elif isinstance(event, USER_FACTS):
        found.users.add(event.id)
    elif isinstance(event, DEVICE_FACTS):
        found.devices.add(event.id)
    elif isinstance(event, ev.MutationsPushed):
        _note_pushed(found, event, fact.seq)
    elif isinstance(event, ev.ConflictResolved) and event.change is not None:
        found.documents[event.id, event.change["kind"], event.change["key"]] = fact.seq


def _note_pushed(found: Affected, event: ev.MutationsPushed, seq: int) -> None:
    found.mutated[event.id] = event.last_mutation
    for change in event.changes:
        found.documents[event.user_id, change["kind"], change["key"]] = seq
    # The status says what was refused, and no more when something was accepted since.
    found.devices.add(event.id)


def _note_entering(found: Affected, fact: Fact) -> None:
    """A task enters a scope with its submit, when it is restored, when its project or labels change, and
    when an external worker gets it, whose owner sees it then. Nodes are given their tasks by the system."""
    event = fact.event
    if isinstance(event, ev.TaskSubmitted):
        spec = event.spec
        if "shard" not in spec:
            labels = labels_of(spec.get("labels"))
            found.entering[event.id] = TaskSubject(event.owner, None, spec.get("project_id"), labels)
    elif isinstance(event, ev.TaskRestored | ev.TaskEdited) or (
        isinstance(event, ev.TaskAssigned) and fact.actor != SYSTEM.id
    ):
        found.entering[event.id] = None
