"""How the changes of a document by several devices become one document.

A change says which version of the document its device had seen. What a device has not seen, and has not
written itself, is concurrent.

    field that was seen                  is written, however slow the device's clock is
    concurrent, merged by fields         the later stamp wins; the value that loses is listed
    concurrent, merged manually          the value stays, and the change is listed as a conflict
    edit of a document deleted meanwhile the document stays deleted, and the change is listed
    deletion of one edited meanwhile     the document stays, and the deletion is listed

So whatever was accepted is in the document, was overwritten by somebody who had seen it, or is listed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from helix_ray.core.devices import ConflictReason, Document, FieldValue, Merging, Stamp


class FieldsChange(NamedTuple):
    """A change by a device: new values of fields (None: a deletion), and which version it had seen."""

    fields: Mapping[str, Any] | None
    stamp: Stamp
    seen: int
    merging: Merging | None = None


class Listed(NamedTuple):
    """What is listed as a conflict: fields that were not written, or were overwritten (None: a deletion)."""

    reason: ConflictReason
    fields: Mapping[str, Any] | None
    stamp: Stamp


@dataclass(slots=True)
class Merged:
    """What becomes of a change: fields to write, whether they replace all others, or the document's
    deletion; and what is listed. `lost`: the change itself, or a part of it, is among that."""

    fields: dict[str, FieldValue] = field(default_factory=dict)
    whole: bool = False
    deleted: Stamp | None = None
    listed: tuple[Listed, ...] = ()
    lost: bool = False


def merge(document: Document | None, change: FieldsChange) -> Merged:
    """Merge a change into a document (None: there is none)."""
    if change.fields is None:
        return _deleted(document, change)
    if document is None:
        # A device that has seen a version does not know that the document was deleted, long ago.
        return _lost("deleted", change) if change.seen else _created(change.fields, change.stamp)
    if document.deleted is not None:
        return _edit_of_deleted(document, document.deleted, change, change.fields)
    unseen = [name for name in change.fields if name in document.fields and _differs(document, name, change)]
    if unseen and document.merging == "manual":
        return _lost("manual", change)
    return _last_writer_wins(document, change, change.fields, unseen)


def apply(document: Document, merged: Merged, version: int) -> None:
    """Put what was merged into a document."""
    if merged.deleted is not None:
        document.fields, document.deleted = {}, merged.deleted
    elif merged.whole:
        document.fields, document.deleted = {}, None
    for name, written in merged.fields.items():
        document.fields[name] = written._replace(version=version)
    document.version = version


def changes_anything(merged: Merged) -> bool:
    """Say whether the document is written."""
    return bool(merged.fields) or merged.whole or merged.deleted is not None


def _lost(reason: ConflictReason, change: FieldsChange) -> Merged:
    return Merged(listed=(Listed(reason, change.fields, change.stamp),), lost=True)


def _created(fields: Mapping[str, Any], stamp: Stamp) -> Merged:
    return Merged({name: FieldValue(value, stamp, 0) for name, value in fields.items()}, whole=True)


def _deleted(document: Document | None, change: FieldsChange) -> Merged:
    if document is None or document.deleted is not None:
        return Merged()
    if any(not _seen(each, change) for each in document.fields.values()):
        return _lost("edited", change)
    return Merged(deleted=change.stamp)


def _edit_of_deleted(
    document: Document, deleted: Stamp, change: FieldsChange, fields: Mapping[str, Any]
) -> Merged:
    if document.version <= change.seen or deleted.device == change.stamp.device:
        return _created(fields, _after(deleted, change.stamp))
    return _lost("deleted", change)


def _last_writer_wins(
    document: Document, change: FieldsChange, fields: Mapping[str, Any], unseen: list[str]
) -> Merged:
    """Write what wins, field by field; list what loses."""
    lost = {name: fields[name] for name in unseen if change.stamp < document.fields[name].stamp}
    listed = [Listed("overwritten", lost, change.stamp)] if lost else []
    listed += [
        Listed("overwritten", {name: present.value}, present.stamp)
        for name in unseen
        if name not in lost and (present := document.fields[name])
    ]
    won = {name: value for name, value in fields.items() if name not in lost}
    return Merged(_all_written(document, change, won), listed=tuple(listed), lost=bool(lost))


def _differs(document: Document, name: str, change: FieldsChange) -> bool:
    """Say whether a field has a concurrent write of another value."""
    present, fields = document.fields[name], change.fields or {}
    return not _seen(present, change) and not same(present.value, fields[name])


def _seen(present: FieldValue, change: FieldsChange) -> bool:
    return present.version <= change.seen or present.stamp.device == change.stamp.device


def same(one: Any, other: Any) -> bool:
    """Say whether two JSON values are equal; 1, 1.0 and true are not."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def _all_written(
    document: Document, change: FieldsChange, fields: Mapping[str, Any]
) -> dict[str, FieldValue]:
    """Return fields with the change's stamp, raised above that of what they replace."""
    return {
        name: FieldValue(value, _raised(document.fields.get(name), change.stamp), 0)
        for name, value in fields.items()
    }


def _raised(present: FieldValue | None, stamp: Stamp) -> Stamp:
    return stamp if present is None else _after(present.stamp, stamp)


def _after(before: Stamp, stamp: Stamp) -> Stamp:
    """Return the stamp of a write that comes after another, whatever the device's clock says."""
    if stamp > before:
        return stamp
    return Stamp(before.at_ms, before.counter + 1, stamp.device)
