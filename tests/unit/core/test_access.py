"""The table of roles: every order and question is decided on, and what is not listed is denied."""

from __future__ import annotations

import pytest

from helix_ray.core import orders as o
from helix_ray.core import questions as q
from helix_ray.core.access import DEVICE, ROLES, SYSTEM, Capability, Principal, Verb, denied, may, may_give
from helix_ray.core.verbs import VERBS
from helix_ray.core.visibility import (
    TaskRecord,
    administers,
    changes,
    operates,
    reads_all_tasks,
    sees_all_tasks,
)

# Who may use each verb besides the system: admin, operator, developer, viewer, auditor, worker, publisher.
LETTERS = dict(zip(ROLES, "aodvuwp", strict=True))
TABLE = {
    "SubmitTasks": "ad",
    "UpdateTask": "adow",
    "CancelTask": "ado",
    "RetryTask": "ad",
    "DeleteTask": "ad",
    "ReleaseTasks": "",
    "ExpireTasks": "",
    "SpreadEndings": "",
    "StartAttempts": "",
    "DistributeTask": "ad",
    "SetQuota": "ao",
    "CreateProject": "a",
    "ChangeProject": "a",
    "RemoveProject": "a",
    "AddMember": "a",
    "RemoveMember": "a",
    "ListProjects": "adopuv",
    "GetProject": "adopuv",
    "ReportAttempts": "",
    "RegisterWorker": "aw",
    "Heartbeat": "aw",
    "DrainWorker": "ao",
    "RemoveWorker": "ao",
    "LoseWorker": "",
    "CrossThreshold": "",
    "CreateUser": "a",
    "RemoveUser": "a",
    "ChangePassword": "adopuvw",
    "OpenSession": "",
    "NoteRefusals": "",
    "RefreshSession": "",
    "CloseSession": "adopuvw",
    "EndSessions": "adopuvw",
    "ListSessions": "adopuvw",
    "ArchiveTasks": "",
    "RemoveLostWorkers": "",
    "GetTask": "adopuvw",
    "ListTasks": "adopuv",
    "GetResult": "adopv",
    "ReadLog": "adopv",
    "ReadItems": "",
    "ListDeliveries": "adopv",
    "GetDelivery": "adopv",
    "WaitTasks": "adopv",
    "WorkFor": "",
    "ListWorkers": "adopuv",
    "GetWorker": "adopuv",
    "GetUser": "adopuvw",
    "ListUsers": "a",
    "ChangeRoles": "a",
    "CreateToken": "adopuvw",
    "RevokeToken": "adopuvw",
    "NoteTokenUse": "",
    "ListTokens": "adopuvw",
    "Identify": "",
    "SignIn": "",
    "GetSession": "",
    "Counts": "adopuv",
    "Outdated": "",
    "ClusterStatus": "adopuv",
    "ListNodes": "adopuv",
    "GetNode": "adopuv",
    "NodeDevices": "adopuv",
    "Acceleration": "adopuv",
    "SystemFigures": "adopuv",
    "SystemHistory": "adopuv",
    "JournalSize": "au",
    "NewestCheckpoint": "au",
    "ListCheckpoints": "au",
    "ProveInclusion": "au",
    "ProveConsistency": "au",
    "ExplainTask": "adopuv",
    "PlanTask": "adopuv",
    "ListQuotas": "adopuv",
    "PushModel": "ap",
    "ActivateModel": "ap",
    "RollBackModel": "ap",
    "SetCanary": "ap",
    "DeleteModelVersion": "ap",
    "DeleteModel": "ap",
    "SubmitTuning": "",
    "ConcludeModelTask": "",
    "ListModels": "adopuv",
    "GetModel": "adopuv",
    "GetModelVersion": "adopuv",
    "GetModelEvidence": "adopuv",
    "NamedFiles": "",
    "UploadDataset": "ad",
    "DeleteDataset": "ad",
    "ForgetDatasets": "",
    "ListDatasets": "adopuv",
    "GetDataset": "adopuv",
    "GetStored": "adp",
    "IssueDeviceCode": "adopuvw",
    "EnrolDevice": "",
    "ChangeDevice": "adopuvw",
    "RevokeDevice": "adopuvw",
    "PushMutations": "",
    "ResolveConflict": "adopuvw",
    "ListDevices": "adopuvw",
    "GetDevice": "adopuvw",
    "GetDocuments": "adopuvw",
    "ListConflicts": "adopuvw",
    "RequestErasure": "a",
    "CompleteErasure": "",
    "ListErasures": "a",
    "GetErasure": "a",
    "ErasedTasks": "",
    "ListAudit": "au",
    "SecurityFigures": "au",
    "RecordedReads": "",
    "NoteReads": "",
    "NoteCertificate": "",
    "AcknowledgeExport": "au",
    "NoteCheckpoint": "",
    "NoteComparison": "",
    "NoteRetention": "",
    "NotePruning": "",
    "NoteJournalCheck": "",
    "ReadEvents": "adopuvw",
    "NoticeTasks": "adopuvw",
    "PullChanges": "",
    "SyncStatus": "adopuvw",
    "DeviceBoard": "",
    "FollowedRows": "",
    "ScopeRows": "",
    "CreateWebhook": "ad",
    "UpdateWebhook": "ad",
    "DeleteWebhook": "ad",
    "PauseWebhook": "ad",
    "ResumeWebhook": "ad",
    "RotateWebhookSecret": "ad",
    "TestWebhook": "ad",
    "Redeliver": "ad",
    "SwitchOffWebhook": "",
    "NoteDeliveries": "",
    "ListWebhooks": "adopuv",
    "GetWebhook": "adopuv",
    "WebhookBoard": "",
    "Metrics": "",
    "Readiness": "",
}


def test_the_table_names_every_verb() -> None:
    """A verb that is added has to be decided on here, and names no role that there is not."""
    assert set(TABLE) == set(VERBS)
    assert set().union(*(verb.allowed for verb in VERBS.values())) <= {*ROLES, DEVICE}


# What the credential of a synced device may use: nothing that is added can be used without being here.
OF_DEVICES = {
    "ChangeDevice", "RevokeDevice", "PushMutations", "ResolveConflict", "GetDevice", "GetDocuments",
    "ListConflicts", "PullChanges", "SyncStatus",
}  # fmt: skip


def test_a_device_may_sync_and_nothing_else() -> None:
    """Its role is none that a user or an API token can have."""
    device = Principal("user-1", "", (DEVICE,), token="device-1")
    assert {name for name, verb in VERBS.items() if may(device, verb)} == OF_DEVICES
    assert DEVICE not in ROLES
    assert not may_give(("admin",), DEVICE)


@pytest.mark.parametrize("verb", VERBS)
def test_each_role_and_each_verb(verb: str) -> None:
    """As the table says; the system may everything, an unknown role or none at all nothing."""
    kind = VERBS[verb]
    assert (
        "".join(sorted(LETTERS[role] for role in ROLES if may(Principal("u", "", (role,)), kind)))
        == TABLE[verb]
    )
    assert may(SYSTEM, kind)
    assert not may(Principal("u", "", ("pope",)), kind)
    assert not may(Principal("u"), kind)


@pytest.mark.parametrize(
    ("by", "verb", "message"),
    [
        (Principal("u", "", ("viewer",)), o.SubmitTasks, "Your role does not allow this"),
        (Principal("u", "", ("viewer",), token="t"), o.SubmitTasks, "Your role does not allow this"),
        (Principal("u", "", ("developer",), token="t"), o.IssueDeviceCode, "An API token cannot do this"),
        (Principal("u", "", ("operator",), token="t", projects=("p",)), o.DrainWorker, "restricted to"),
        (Principal("d", "", (DEVICE,), token="d"), o.SubmitTasks, "The credential of a device"),
        (Principal("u", "", ("developer",), capability=Capability("t", 1, "")), o.CreateToken, "code of"),
    ],
)  # fmt: skip
def test_a_denial_says_what_is_lacking(by: Principal, verb: type[Verb], message: str) -> None:
    """A developer's token that may not is not told of roles, which it has."""
    assert not may(by, verb)
    found = denied(by, verb)
    assert message in found.message
    assert found.details == {"roles": list(by.roles), "action": verb.__name__}


def test_roles_add_up() -> None:
    """A worker that is a viewer too may do what either may."""
    both = Principal("u", "", ("worker", "viewer"))
    assert may(both, o.Heartbeat)
    assert may(both, q.ListTasks)
    assert not may(both, o.SubmitTasks)


@pytest.mark.parametrize(
    ("role", "sees", "changes"),
    [("admin", True, True), ("system", True, True), ("viewer", True, False), ("developer", False, False),
     ("worker", False, False), ("operator", True, False), ("auditor", True, False)],
)  # fmt: skip
def test_other_peoples_tasks(role: str, sees: bool, changes: bool) -> None:
    """Administrators and the system see and change them; viewers, operators and auditors see them."""
    by = Principal("u", "", (role,))
    assert (sees_all_tasks(by), administers(by)) == (sees, changes)


def test_an_auditor_who_may_read_results_does_not_see_the_tasks_of_others() -> None:
    """Auditors see everybody's tasks, but no results: who may read results by another role sees by that
    role alone."""
    assert not may(Principal("u", "", ("auditor",)), q.GetResult)
    assert not reads_all_tasks(Principal("u", "", ("auditor",)))
    assert not sees_all_tasks(Principal("u", "", ("auditor", "developer")))
    assert sees_all_tasks(Principal("u", "", ("auditor", "viewer")))


def test_an_operator_operates_tasks_of_others_and_changes_nothing_else() -> None:
    """They cancel them and change their priority; to edit them takes their owner or an administrator."""
    record = TaskRecord("user-2", None, None)
    operator = Principal("user-1", "", ("operator",))
    assert operates(operator, record)
    assert not changes(operator, record)
    assert not operates(Principal("user-1", "", ("developer", "auditor")), record)
    assert operates(Principal("user-2", "", ("developer",)), record)
