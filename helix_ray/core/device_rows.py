"""Synced devices and documents as JSON values of a snapshot (core/snapshot.py)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from helix_ray.core.devices import (
    DeviceCode,
    Document,
    EnrolledDevice,
    FieldValue,
    Stamp,
    SyncConflict,
    UserDocuments,
)
from helix_ray.core.evolve.devices import count_documents, index_device
from helix_ray.core.state import State


def dump_devices(state: State) -> list[list[Any]]:
    """Return a row for each device."""
    return [
        [
            each.id, each.user_id, each.name, each.type, each.follows, each.enrolled_at, each.last_mutation,
            [[number, *verdict] for number, verdict in each.verdicts.items()],
        ]
        for each in state.devices.values()
    ]  # fmt: skip


def load_devices(state: State, rows: Iterable[list[Any]]) -> None:
    """Put devices into a state."""
    for device_id, user_id, name, type_, follows, enrolled_at, last, verdicts in rows:
        device = EnrolledDevice(
            id=device_id,
            user_id=user_id,
            name=name,
            type=type_,
            follows=follows,
            enrolled_at=enrolled_at,
            last_mutation=last,
            verdicts={number: verdict for number, *verdict in verdicts},
        )
        state.devices[device_id] = device
        index_device(state, device)


def dump_codes(state: State) -> list[list[Any]]:
    """Return a row for each one-time code."""
    return [[code.code_hash, code.user_id, code.until] for code in state.device_codes.values()]


def load_codes(state: State, rows: Iterable[list[Any]]) -> None:
    """Put one-time codes into a state."""
    state.device_codes = {row[0]: DeviceCode(*row) for row in rows}


def dump_documents(state: State) -> dict[str, list[list[list[Any]]]]:
    """Return the documents and the conflicts of each user."""
    return {
        user_id: [
            [_document_row(each) for each in kept.documents.values()],
            [_conflict_row(each) for each in kept.conflicts.values()],
        ]
        for user_id, kept in state.documents.items()
    }


def load_documents(state: State, users: Mapping[str, list[list[list[Any]]]]) -> None:
    """Put documents and conflicts into a state."""
    for user_id, (documents, conflicts) in users.items():
        kept = UserDocuments()
        for document in map(_document_of, documents):
            kept.documents[document.kind, document.key] = document
        for conflict in map(_conflict_of, conflicts):
            kept.conflicts[conflict.id] = conflict
        count_documents(kept)
        state.documents[user_id] = kept


def _document_row(each: Document) -> list[Any]:
    fields = [[name, value, *stamp, version] for name, (value, stamp, version) in each.fields.items()]
    deleted = None if each.deleted is None else list(each.deleted)
    return [each.kind, each.key, each.merging, fields, deleted, each.version]


def _document_of(row: list[Any]) -> Document:
    kind, key, merging, fields, deleted, version = row
    return Document(
        kind=kind,
        key=key,
        merging=merging,
        fields={
            name: FieldValue(value, Stamp(at_ms, counter, device), written)
            for name, value, at_ms, counter, device, written in fields
        },
        deleted=None if deleted is None else Stamp(*deleted),
        version=version,
    )


def _conflict_row(each: SyncConflict) -> list[Any]:
    return [
        each.id, each.reason, each.kind, each.key, each.fields, list(each.stamp), each.mutation, each.at,
    ]  # fmt: skip


def _conflict_of(row: list[Any]) -> SyncConflict:
    conflict_id, reason, kind, key, fields, stamp, mutation, at = row
    return SyncConflict(
        id=conflict_id,
        reason=reason,
        kind=kind,
        key=key,
        fields=fields,
        stamp=Stamp(*stamp),
        mutation=mutation,
        at=at,
    )
