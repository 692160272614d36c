"""What the fields of the audit, of proofs about the journal, of security metrics and of erasures mean."""

from __future__ import annotations

from typing import Final

FIELDS: Final = {
    "AuditOut": {
        "logs": "The records of the page, newest first, or with `after` oldest first.",
        "total": "How many records match the filters on all pages.",
        "next_cursor": (
            "The `cursor`, or with `after` the `after`, of the next page; null: this is the last one."
        ),
        "through": "Every fact up to this seq is in the answer.",
        "removed_through": "Records of facts up to this seq were removed for their age; 0: none were.",
        "warning": "Why searches are not to be relied on; null: nothing is known against it.",
    },
    "AuditLogOut": {
        "id": "The id of the record.",
        "seq": "The seq of its fact in the journal.",
        "event_type": "The kind of act.",
        "user_id": "The id of who did it: a user, `job:ID`, a node's worker, `system` or `anonymous`.",
        "action": "What was done, in one word.",
        "result": "`success`, `failure` such as wrong credentials, or `denied` for missing rights.",
        "ip_address": "From which address it was done, `local` for a Unix socket; null: not known.",
        "timestamp": "When it was done, in ISO 8601.",
        "metadata": "What else is known of it.",
    },
    "AuditMetadataOut": {
        "user_agent": "The program that was used, as it calls itself; null: it did not say.",
        "credential": "The id of the session or API token that was used; null: none.",
        "request_id": "The id of the request; null: there was none.",
        "resource": "The kind of thing that it was done to.",
        "resource_id": "The id of the first such thing; null: it has none.",
        "count": "How many things it was done to.",
        "ids": "The ids of the first of several; empty of one, which `resource_id` names.",
        "details": "What else was said, without secrets.",
        "before": (
            "What a change of a setting has replaced, by name, secrets as `***`; null: nothing was there, or "
            "the act changes no setting, and `after` is null as well."
        ),
        "after": (
            "What a change of a setting has set, by name, secrets as `***`; null: nothing is left, or the "
            "act changes no setting, and `before` is null as well."
        ),
        "erased": "Whether the content of its fact was erased, so that only who acted and when is known.",
    },
    "AuditExportIn AuditExportOut": {
        "name": "What the other place is called.",
        "through": "The seq of the last fact of which it has the records.",
    },
    "AuditExportIn": {
        "checkpoint": "A checkpoint of the journal, so that one of another journal is refused.",
        "gap": "Records that were removed before they were exported.",
    },
    "AuditCheckpointIn": {
        "size": "How many facts the checkpoint covers.",
        "root": "Its root, in base64.",
    },
    "AuditGapIn": {
        "first": "The seq of the first fact in the gap.",
        "last": "The seq of the last fact in the gap.",
    },
    "CheckpointOut RecordedCheckpointOut": {"checkpoint": "The signed note, in the format of C2SP."},
    "CheckpointsOut": {
        "checkpoints": "The recorded checkpoints of the page, newest first.",
        "next_cursor": "The `cursor` of the next page; null: this is the last one.",
    },
    "RecordedCheckpointOut": {
        "seq": "The seq of the fact that has it.",
        "timestamp": "When it was recorded, in ISO 8601.",
        "size": "How many facts it covers.",
        "root": "The root of the tree of these facts, in base64.",
    },
    "InclusionOut": {
        "seq": "The seq of the fact.",
        "size": "Among how many facts it is.",
        "leaf": "The leaf of the fact, in base64.",
        "root": "The root of the tree of these facts, in base64.",
        "path": "The hashes that lead from the leaf to the root, in base64.",
    },
    "ConsistencyOut": {
        "old_size": "How many facts the earlier tree has.",
        "new_size": "How many facts the later tree has.",
        "old_root": "The root of the earlier tree, in base64.",
        "new_root": "The root of the later tree, in base64.",
        "path": "The hashes that lead from one root to the other, in base64.",
    },
    "SecurityOut": {
        "auth_attempts": "The sign-ins in the audit.",
        "active_sessions": "How many sessions have neither expired nor been ended.",
        "encryption_status": (
            "`active`: the API speaks TLS, Ray is encrypted or local, secrets are sealed. `inactive`: the "
            "API is in clear on a network. `partial`: the rest."
        ),
        "security_level": "`enhanced`: every check passes. `standard`: none fails. `basic`: one fails.",
        "last_audit": "When the last check of all facts was completed, in ISO 8601; null: none yet.",
        "last_audit_facts": "How many facts it checked; null: there was none yet.",
        "last_comparison": "When the audit was last compared with the journal, in ISO 8601; null: not yet.",
        "last_comparison_records": "How many records were compared; null: none were yet.",
        "last_record_at": "When the newest record of the audit was made, in ISO 8601; null: there is none.",
        "encryption": "What is encrypted.",
        "reasons": "What each check has found.",
        "through": "Every fact up to this seq is in the figures.",
    },
    "AttemptsOut": {
        "successful": "How many succeeded.",
        "failed": "How many failed.",
        "rate": "The failed ones over all, 0 to 1; null: there were none.",
    },
    "EncryptionOut": {
        "api": (
            "How the API is served: `tls`, `loopback` in clear on this machine, or `clear`; null: not known."
        ),
        "ray": "How Ray talks: `tls`, `loopback` in clear on this machine, or `clear`; null: not known.",
        "secrets_sealed": "Whether secrets are encrypted where they are stored; null: not known.",
    },
    "ReasonOut": {
        "check": "What was checked; docs/audit.md has the list.",
        "standing": "How it came out.",
        "reason": "Why, in a sentence.",
    },
    "ErasureIn": {
        "tasks": "The ids of the tasks whose contents are erased.",
        "users": "The ids of the users whose contents are erased.",
        "reason": "Why; it stays on record for good, so name nobody.",
    },
    "ErasureOut": {
        "id": "The id of the erasure.",
        "status": "`pending` until the journal has none of the contents, then `completed`.",
        "tasks": "The ids of the tasks whose contents are erased.",
        "users": "The ids of the users whose contents are erased.",
        "reason": "Why, as it was requested.",
        "requested_by": "The id of the user who requested it.",
        "requested_at": "When it was requested, in ISO 8601.",
        "completed_at": "When it was completed, in ISO 8601; null: it is not.",
        "facts_erased": "How many facts have lost their contents so far.",
        "facts_kept": "How many facts were kept because they are of tasks that were queued again.",
        "copies": "Files beside the journal that may still have the contents: remove them yourself.",
    },
    "ErasuresOut": {"erasures": "The erasures, newest first."},
}
