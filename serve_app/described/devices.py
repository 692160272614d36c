"""What the fields of synced devices, of what they send and of what they get mean."""

from __future__ import annotations

from typing import Final

FIELDS: Final = {
    "DeviceCodeOut": {
        "code": "The one-time code, to be typed into the device.",
        "expires_at": "Until when it is valid, in ISO 8601.",
    },
    "DeviceIn": {
        "code": "The one-time code that its user got.",
        "name": "What its user calls it.",
        "type": "What it is, `other` unless given.",
    },
    "DeviceChangeIn": {"name": "What its user calls it from now on."},
    "DeviceEnrolledOut": {
        "device_id": "The id of the device.",
        "credential": "Its bearer token, which no other answer has.",
        "user_id": "The id of its user.",
        "expires_at": "Until when the credential is valid, in ISO 8601.",
    },
    "DeviceEnrolledOut ChangesOut MutationsOut SyncConflictsOut": {
        "server_time": "The time of the server, in ISO 8601, by which a device can correct its own.",
    },
    "EnrolledDevicesOut": {"devices": "The devices, in the order of their enrolment."},
    "EnrolledDeviceOut": {
        "id": "The id of the device.",
        "user": "The name of its user.",
        "name": "What its user calls it.",
        "type": "What it is: `phone`, `tablet`, `laptop`, `watch` or `other`.",
        "follows": "What it follows.",
        "enrolled_at": "When it was enrolled, in ISO 8601.",
        "last_seen_at": "When it last sent a request, to a few minutes, in ISO 8601; null: never.",
        "expires_at": "Until when its credential is valid, in ISO 8601.",
        "last_mutation": "The number of the last mutation that was taken; 0: none.",
    },
    "FollowsIn FollowsOut": {
        "tasks": "Conditions for tasks, of which a task must meet one.",
        "documents": "The kinds of documents of its user: `settings`, `notes`.",
    },
    "FollowedTasksIn FollowedTasksOut": {
        "project": "Only tasks of this project; null: of any.",
        "label": "Only tasks with this label, as `name=value`; null: with any.",
    },
    "FollowedTasksIn": {"owner": "Only tasks of this user, by name or id; null: of any."},
    "FollowedTasksOut": {"owner": "Only tasks of this user, by id; null: of any."},
    "MutationsIn": {"mutations": "What was done, with contiguous numbers."},
    "MutationIn": {
        "id": "The number of the mutation, from 1, one more than that of the one before.",
        "op": "What was done with a document (`put`, `delete`) or a task (`cancel`, `edit`, `submit`).",
        "stamp": "When it was done, in milliseconds since 1970 by the device's clock.",
        "counter": "Tells the later of two mutations with the same stamp, 0 unless given.",
        "kind": "The kind of the document: `settings` or `notes`.",
        "key": "The key of the document within its kind.",
        "fields": "The fields that a `put` sets, any JSON by name.",
        "merge": (
            "How concurrent changes of the document are merged: field by field, or by hand; it stays "
            "unless given."
        ),
        "base_version": "The version of the document that the device had; null: it had none.",
        "task_id": "The id of the task to cancel or edit.",
        "edits": "The fields of the task to change, as in `PUT /tasks/{id}`.",
        "task": "The task to submit, as in `POST /tasks`.",
        "corrected": (
            "Whether the device has corrected the stamp of a mutation that was refused for its clock."
        ),
    },
    "MutationsOut": {
        "verdicts": "What became of each, in order; where there are fewer, send the rest again.",
        "last_mutation": "The number of the last mutation that was taken.",
    },
    "VerdictOut": {
        "id": "The number of the mutation.",
        "verdict": "What became of it; `already`: it was carried out before.",
        "code": "Why it is refused or in conflict, in one word; null: it is neither.",
        "reason": "Why it is refused or in conflict, in a sentence; null: it is neither.",
        "details": "The same for programs; empty where there is nothing to say.",
    },
    "DocumentsOut": {"documents": "The documents."},
    "DocumentOut SyncConflictOut": {
        "kind": "The kind of the document: `settings` or `notes`.",
        "key": "The key of the document within its kind.",
    },
    "DocumentOut": {
        "version": "The seq of its last change.",
        "merge": "How concurrent changes are merged: `fields`, field by field, or `manual`.",
        "fields": "Its fields, any JSON by name.",
    },
    "SyncConflictsOut": {"conflicts": "The conflicts that are not decided, the oldest first."},
    "SyncConflictOut": {
        "id": "The id of the conflict.",
        "reason": (
            "Why: the document was `deleted`, `edited` or is merged by hand (`manual`), or it was "
            "`overwritten`."
        ),
        "fields": "The fields that were not written, or were overwritten, by name; null: a deletion.",
        "device_id": "The id of the device that made the change.",
        "made_at": "When it was made, by the device's clock, in ISO 8601.",
        "mutation": "The number of the mutation that led to the conflict.",
        "listed_at": "When the conflict was listed, in ISO 8601.",
        "current": "The fields of the document as it is; null: there is none.",
    },
    "ResolutionIn": {
        "keep": (
            "`current` leaves the document as it is, `listed` writes what is listed, `fields` writes the "
            "given ones."
        ),
        "fields": "The fields to write, any JSON by name; only where `keep` is `fields`.",
    },
    "ChangesOut": {
        "changes": "What has changed, each thing once.",
        "cursor": "The `cursor` of the next request.",
        "has_more": "Whether there are further pages; only after the last one the rows are of one moment.",
        "first": "Whether the page is of a first pull, whose rows replace all that the device had.",
        "checksum": (
            "The checksum of all rows that the device has after the last page; null while there are more."
        ),
        "rows": "How many rows the device has after the last page; null while there are more.",
        "last_mutation": "The number of the last mutation of the device that is in these rows.",
    },
    "ChangeOut": {
        "op": "`put` for what is there, `delete` for what is gone or not followed any more.",
        "kind": "`task`, `settings` or `notes`.",
        "key": "The id of the task, or the key of the document.",
        "version": "The seq of its last change.",
        "row": "The task or the document; null: it is gone.",
    },
    "SyncStatusOut": {
        "sync_enabled": "Whether the server syncs devices.",
        "last_sync": "When a device last had everything, in ISO 8601; null: none has yet.",
        "sync_interval": "The most seconds that a device should let pass between pulls.",
        "synced_devices": "The devices.",
    },
    "SyncedDeviceOut": {
        "device_id": "The id of the device.",
        "device_type": "What it is: `phone`, `tablet`, `laptop`, `watch` or `other`.",
        "last_sync": "When it last had everything, in ISO 8601; null: never.",
        "status": "`synced`, `behind` while it has not got everything, or `offline` after three intervals.",
        "reason": "Why the last thing that it sent was refused; missing where it was not.",
    },
}
