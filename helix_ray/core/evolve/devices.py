"""Folds facts about synced devices and the documents of their users."""

from __future__ import annotations

from helix_ray.core import events as ev
from helix_ray.core.access import DEVICE
from helix_ray.core.devices import (
    VERDICTS_KEPT_MAX,
    DeviceCode,
    Document,
    EnrolledDevice,
    FieldValue,
    Stamp,
    SyncConflict,
    UserDocuments,
    bytes_of,
)
from helix_ray.core.events.devices import DocumentChange, ListedConflict
from helix_ray.core.evolve.applier import Appliers
from helix_ray.core.evolve.sessions import drop_from
from helix_ray.core.evolve.tokens import end_token, index_token
from helix_ray.core.merging import Merged, apply
from helix_ray.core.state import ApiToken, State


def end_devices(state: State, user_id: str) -> None:
    """Forget the devices of a user whose credentials have ended, their documents and their codes."""
    for device_id in state.devices_of.pop(user_id, {}):
        del state.devices[device_id]
    for code in [code for code in state.device_codes.values() if code.user_id == user_id]:
        del state.device_codes[code.code_hash]
    state.documents.pop(user_id, None)


def index_device(state: State, device: EnrolledDevice) -> None:
    """Index a device by its user."""
    state.devices_of.setdefault(device.user_id, {})[device.id] = None


def count_documents(kept: UserDocuments) -> None:
    """Compute the number of live documents and the bytes of all."""
    kept.live = sum(document.deleted is None for document in kept.documents.values())
    kept.size = sum(document.size() for document in kept.documents.values())
    kept.size += sum(bytes_of(conflict.fields) for conflict in kept.conflicts.values())


def _code_issued(state: State, event: ev.DeviceCodeIssued, fact: ev.Fact) -> None:
    for code in [code for code in state.device_codes.values() if code.until <= fact.at]:
        del state.device_codes[code.code_hash]
    state.device_codes[event.code_hash] = DeviceCode(event.code_hash, event.id, event.until)


def _enrolled(state: State, event: ev.DeviceEnrolled, fact: ev.Fact) -> None:
    state.device_codes.pop(event.code_hash, None)
    state.devices[event.id] = EnrolledDevice(
        id=event.id,
        user_id=event.user_id,
        name=event.name,
        type=event.type,
        follows=event.follows,
        enrolled_at=fact.at,
    )
    index_device(state, state.devices[event.id])
    state.tokens[event.id] = ApiToken(
        id=event.id,
        user_id=event.user_id,
        name=event.name,
        token_hash=event.token_hash,
        shown=event.shown,
        roles=(DEVICE,),
        projects=None,
        created_at=fact.at,
        expires_at=event.expires_at,
    )
    index_token(state, state.tokens[event.id])


def _renamed(state: State, event: ev.DeviceRenamed, fact: ev.Fact) -> None:
    state.devices[event.id].name = event.name
    state.tokens[event.id].name = event.name


def _follows_set(state: State, event: ev.DeviceFollowsSet, fact: ev.Fact) -> None:
    state.devices[event.id].follows = event.follows


def _revoked(state: State, event: ev.DeviceRevoked, fact: ev.Fact) -> None:
    device = state.devices.pop(event.id)
    drop_from(state.devices_of, device.user_id, event.id)
    end_token(state, event.id, event.reason, fact.at)


def _pushed(state: State, event: ev.MutationsPushed, fact: ev.Fact) -> None:
    device = state.devices[event.id]
    device.last_mutation = event.last_mutation
    for number, *verdict in event.verdicts:
        device.verdicts[number] = verdict
    while len(device.verdicts) > VERDICTS_KEPT_MAX:
        del device.verdicts[next(iter(device.verdicts))]
    if not (event.changes or event.conflicts or event.forgotten):
        return
    kept = state.documents.setdefault(event.user_id, UserDocuments())
    for change in event.changes:
        _write(kept, change, fact.seq)
    for listed in event.conflicts:
        conflict = _conflict_of(listed, fact.at)
        kept.conflicts[conflict.id] = conflict
        kept.size += bytes_of(conflict.fields)
    for kind, key in event.forgotten:
        document = kept.documents.pop((kind, key), None)
        kept.size -= 0 if document is None else document.size()


def _write(kept: UserDocuments, change: DocumentChange, seq: int) -> None:
    at = (change["kind"], change["key"])
    document = kept.documents.get(at)
    if document is None:
        document = kept.documents[at] = Document(kind=change["kind"], key=change["key"])
        kept.live += 1
        kept.size += document.size()
    lived, size = document.deleted is None, document.size()
    document.merging = change["merging"]
    apply(document, merged_of(change), seq)
    kept.live += (document.deleted is None) - lived
    kept.size += document.size() - size


def merged_of(change: DocumentChange) -> Merged:
    """Return what a change writes."""
    fields = {
        name: FieldValue(value, Stamp(at_ms, counter, device), 0)
        for name, (value, at_ms, counter, device) in change["fields"].items()
    }
    deleted = change["deleted"]
    return Merged(fields, change["whole"], None if deleted is None else Stamp(*deleted))


def _conflict_of(listed: ListedConflict, at: float) -> SyncConflict:
    return SyncConflict(
        id=listed["id"],
        reason=listed["reason"],
        kind=listed["kind"],
        key=listed["key"],
        fields=listed["fields"],
        stamp=Stamp(*listed["stamp"]),
        mutation=listed["mutation"],
        at=at,
    )


def _resolved(state: State, event: ev.ConflictResolved, fact: ev.Fact) -> None:
    kept = state.documents[event.id]
    conflict = kept.conflicts.pop(event.conflict, None)
    if conflict is not None:
        kept.size -= bytes_of(conflict.fields)
    if event.change is not None:
        _write(kept, event.change, fact.seq)


DEVICE_FACTS: Appliers = {
    ev.DeviceCodeIssued: _code_issued,
    ev.DeviceEnrolled: _enrolled,
    ev.DeviceRenamed: _renamed,
    ev.DeviceFollowsSet: _follows_set,
    ev.DeviceRevoked: _revoked,
    ev.MutationsPushed: _pushed,
    ev.ConflictResolved: _resolved,
}
