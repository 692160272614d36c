"""Answers questions about synced devices, and the documents that they share."""

from __future__ import annotations

from helix_ray.core import questions as q
from helix_ray.core.access import Principal
from helix_ray.core.answers.picture import Answerers, Picture
from helix_ray.core.devices import NO_DOCUMENTS
from helix_ray.core.errors import Rejected, not_found
from helix_ray.core.usernames import find_user_id
from helix_ray.core.views.devices import (
    DevicesView,
    DeviceView,
    DocumentsView,
    SyncConflictsView,
    conflict_view,
    device_view,
    document_view,
)
from helix_ray.core.visibility import administers, sees


def _list_devices(picture: Picture, question: q.ListDevices, by: Principal) -> DevicesView | Rejected:
    state = picture.state
    wanted = None if administers(by) else by.id
    if question.username is not None:
        named = find_user_id(state, question.username)
        if named is None or wanted not in (None, named):
            return not_found("User", question.username)
        wanted = named
    ids = list(state.devices) if wanted is None else list(state.devices_of.get(wanted, ()))
    return {"devices": [_view(picture, device_id) for device_id in ids]}


def _view(picture: Picture, device_id: str) -> DeviceView:
    state = picture.state
    device = state.devices[device_id]
    return device_view(device, state.tokens[device_id], state.users[device.user_id])


def _get_device(picture: Picture, question: q.GetDevice, by: Principal) -> DeviceView | Rejected:
    device = picture.state.devices.get(question.device_id)
    if device is None or not sees(by, device):
        return not_found("Device", question.device_id)
    return _view(picture, device.id)


def _get_documents(picture: Picture, question: q.GetDocuments, by: Principal) -> DocumentsView:
    kept = picture.state.documents.get(by.id, NO_DOCUMENTS)
    wanted = (
        document
        for document in kept.documents.values()
        if document.deleted is None and question.kind in (None, document.kind)
    )
    return {"documents": [document_view(document) for document in wanted]}


def _list_conflicts(picture: Picture, question: q.ListConflicts, by: Principal) -> SyncConflictsView:
    kept = picture.state.documents.get(by.id, NO_DOCUMENTS)
    return {
        "conflicts": [
            conflict_view(conflict, kept.documents.get((conflict.kind, conflict.key)))
            for conflict in kept.conflicts.values()
        ]
    }


DEVICE_ANSWERS: Answerers = {
    q.ListDevices: _list_devices,
    q.GetDevice: _get_device,
    q.GetDocuments: _get_documents,
    q.ListConflicts: _list_conflicts,
}
