"""The one schema of audit records: what each kind of fact is an act of, or that it is none.

    event_type       acts
    authentication   sign-ins, sessions, passwords, refused sign-ins and tokens
    authorization    users, roles, API tokens, devices' credentials, members, refusals
    data_access      tasks, documents, models and data sets: made, changed, removed, erased; reads of
                     sensitive data; exports and comparisons of the audit
    config_change    projects, quotas, webhooks, workers and their thresholds, the certificate, the version of
                     a model in use, how long the audit can be searched

INTERNAL kinds are the system's own scheduling and bookkeeping: they have no record.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

from helix_ray.core import events as ev
from helix_ray.core.read_classes import READ_CLASSES

AuditType = Literal["authentication", "authorization", "data_access", "config_change"]

# Of a refused token, a refusal that is not of a right.
USE_TOKEN: Final = "use_token"


class Act(NamedTuple):
    """What a kind of fact is an act of. `many`: consecutive ones of one request and moment are one record."""

    type: AuditType
    action: str
    resource: str
    many: bool = False


ACTS: Final[dict[type[Any], Act]] = {
    ev.SessionOpened: Act("authentication", "login", "session"),
    ev.SessionRefreshed: Act("authentication", "refresh_session", "session"),
    ev.SessionClosed: Act("authentication", "close_session", "session"),
    ev.PasswordChanged: Act("authentication", "change_password", "user"),
    ev.LoginRefused: Act("authentication", "login", "user"),
    ev.UserCreated: Act("authorization", "create_user", "user"),
    ev.UserRemoved: Act("authorization", "remove_user", "user"),
    ev.RolesChanged: Act("authorization", "change_roles", "user"),
    ev.TokenCreated: Act("authorization", "create_token", "token"),
    ev.TokenRevoked: Act("authorization", "revoke_token", "token"),
    ev.DeviceCodeIssued: Act("authorization", "issue_device_code", "user"),
    ev.DeviceEnrolled: Act("authorization", "enrol_device", "device"),
    ev.DeviceRevoked: Act("authorization", "revoke_device", "device"),
    ev.MemberAdded: Act("authorization", "add_member", "project"),
    ev.MemberRemoved: Act("authorization", "remove_member", "project"),
    ev.RequestsRefused: Act("authorization", "refused", "request"),
    ev.ProjectSet: Act("config_change", "set_project", "project"),
    ev.ProjectRemoved: Act("config_change", "remove_project", "project"),
    ev.QuotaSet: Act("config_change", "set_quota", "project"),
    ev.DeviceRenamed: Act("config_change", "rename_device", "device"),
    ev.DeviceFollowsSet: Act("config_change", "set_device_follows", "device"),
    ev.WebhookCreated: Act("config_change", "create_webhook", "webhook"),
    ev.WebhookUpdated: Act("config_change", "update_webhook", "webhook"),
    ev.WebhookDeleted: Act("config_change", "delete_webhook", "webhook"),
    ev.WebhookPaused: Act("config_change", "pause_webhook", "webhook"),
    ev.WebhookResumed: Act("config_change", "resume_webhook", "webhook"),
    ev.WebhookSwitchedOff: Act("config_change", "switch_off_webhook", "webhook"),
    ev.WebhookSecretRotated: Act("config_change", "rotate_webhook_secret", "webhook"),
    ev.WebhookTested: Act("config_change", "test_webhook", "webhook"),
    ev.WebhookRedeliveryAsked: Act("config_change", "redeliver", "webhook"),
    ev.CertificateChanged: Act("config_change", "change_certificate", "certificate"),
    ev.CertificateRefused: Act("config_change", "change_certificate", "certificate"),
    ev.WorkerRegistered: Act("config_change", "register_worker", "worker"),
    ev.WorkerDrained: Act("config_change", "drain_worker", "worker"),
    ev.WorkerRetired: Act("config_change", "remove_worker", "worker"),
    ev.WorkerCrossedThreshold: Act("config_change", "cross_threshold", "worker"),
    ev.ModelActivationAsked: Act("config_change", "activate_model", "model"),
    ev.ModelActivated: Act("config_change", "model_activated", "model"),
    ev.ModelRolledBack: Act("config_change", "roll_back_model", "model"),
    ev.ModelCanarySet: Act("config_change", "set_model_canary", "model"),
    ev.ModelVersionPushed: Act("data_access", "push_model", "model"),
    ev.ModelVersionDeleted: Act("data_access", "delete_model_version", "model"),
    ev.ModelDeleted: Act("data_access", "delete_model", "model"),
    ev.DatasetUploaded: Act("data_access", "upload_dataset", "dataset"),
    ev.DatasetDeleted: Act("data_access", "delete_dataset", "dataset"),
    ev.TaskSubmitted: Act("data_access", "submit_task", "task", many=True),
    ev.TaskEdited: Act("data_access", "edit_task", "task", many=True),
    ev.TaskMarked: Act("data_access", "mark_task", "task"),
    ev.TaskDeleted: Act("data_access", "delete_task", "task", many=True),
    ev.MutationsPushed: Act("data_access", "push_documents", "device"),
    ev.ConflictResolved: Act("data_access", "resolve_conflict", "user"),
    ev.DataRead: Act("data_access", "read", "data"),
    ev.AuditExported: Act("data_access", "export_audit", "audit"),
    ev.AuditRetentionSet: Act("config_change", "set_audit_retention", "audit"),
    ev.JournalChecked: Act("data_access", "check_journal", "journal"),
    ev.AuditCompared: Act("data_access", "compare_audit", "audit"),
    ev.ErasureRequested: Act("data_access", "request_erasure", "erasure"),
    ev.ErasureCompleted: Act("data_access", "complete_erasure", "erasure"),
    ev.FactsErased: Act("data_access", "erase_facts", "journal"),
}
# Acts of people on tasks. The system cancels and requeues tasks too, which is not an act.
BY_PEOPLE: Final[dict[type[Any], Act]] = {
    ev.TaskCancelled: Act("data_access", "cancel_task", "task", many=True),
    ev.TaskRequeued: Act("data_access", "retry_task", "task", many=True),
}
INTERNAL: Final = frozenset({
    ev.TaskReleased, ev.TaskAssigned, ev.TaskProgressed, ev.TaskOutlasted, ev.TaskBlocked, ev.TaskUnblocked,
    ev.TaskPrioritised, ev.TaskCompleted, ev.TaskFailed, ev.TaskDeferred, ev.TaskRestored, ev.TasksRetired,
    ev.WorkerLost, ev.TokenUsed, ev.ReceiptKept, ev.WebhooksMarked, ev.ModelVersionExamined,
    ev.ModelTuningBegun, ev.ModelTuned, ev.CheckpointSigned, ev.AuditPruned,
})  # fmt: skip
# By the names of kinds, which erased facts keep.
BY_NAME: Final = {kind.__name__: act for kind, act in {**ACTS, **BY_PEOPLE}.items()}
# What records can say that somebody did. What was erased of a read is a `read`, of no class.
ACTIONS: Final = tuple(
    dict.fromkeys(
        (*(act.action for act in BY_NAME.values()), *(f"read_{each}" for each in READ_CLASSES), USE_TOKEN)
    )
)
# Refusals of credentials belong to authentication, those of rights to authorization.
CREDENTIAL_REFUSALS: Final = frozenset({"login", "token"})
