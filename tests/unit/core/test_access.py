"""The table of roles: every order and question is decided on, and what is not listed is denied."""

from __future__ import annotations

import pytest

from helix_ray.core import orders as o
from helix_ray.core import questions as q
from helix_ray.core.access import DEVICE, ROLES, SYSTEM, Principal, may, may_give
from helix_ray.core.verbs import VERBS
from helix_ray.core.visibility import administers, sees_all_tasks

# Who may use each verb besides the system: admin, developer, publisher, viewer, worker.
TABLE = {
    "SubmitTasks": "ad",
    "UpdateTask": "adw",
    "CancelTask": "ad",
    "RetryTask": "ad",
    "DeleteTask": "ad",
    "ReleaseTasks": "",
    "ExpireTasks": "",
    "SpreadEndings": "",
    "StartAttempts": "",
    "DistributeTask": "ad",
    "SetQuota": "a",
    "CreateProject": "a",
    "ChangeProject": "a",
    "RemoveProject": "a",
    "AddMember": "a",
    "RemoveMember": "a",
    "ListProjects": "adpv",
    "GetProject": "adpv",
    "ReportAttempts": "",
    "RegisterWorker": "aw",
    "Heartbeat": "aw",
    "DrainWorker": "a",
    "RemoveWorker": "a",
    "LoseWorker": "",
    "CreateUser": "a",
    "RemoveUser": "a",
    "ChangePassword": "adpvw",
    "OpenSession": "",
    "NoteRefusals": "",
    "RefreshSession": "",
    "CloseSession": "adpvw",
    "ArchiveTasks": "",
    "RemoveLostWorkers": "",
    "GetTask": "adpvw",
    "ListTasks": "adpv",
    "GetResult": "adpv",
    "ReadLog": "adpv",
    "ReadItems": "",
    "ListDeliveries": "adpv",
    "GetDelivery": "adpv",
    "WaitTasks": "adpv",
    "WorkFor": "",
    "ListWorkers": "adpv",
    "GetWorker": "adpv",
    "GetUser": "adpvw",
    "ListUsers": "a",
    "ChangeRoles": "a",
    "CreateToken": "adpvw",
    "RevokeToken": "adpvw",
    "NoteTokenUse": "",
    "ListTokens": "adpvw",
    "Identify": "",
    "GetSession": "",
    "Counts": "adpv",
    "Outdated": "",
    "ClusterStatus": "adpv",
    "ListNodes": "adpv",
    "GetNode": "adpv",
    "NodeDevices": "adpv",
    "Acceleration": "adpv",
    "SystemFigures": "adpv",
    "ExplainTask": "adpv",
    "PlanTask": "adpv",
    "ListQuotas": "adpv",
    "PushModel": "ap",
    "ActivateModel": "ap",
    "RollBackModel": "ap",
    "SetCanary": "ap",
    "DeleteModelVersion": "ap",
    "DeleteModel": "ap",
    "SubmitTuning": "",
    "ConcludeModelTask": "",
    "ListModels": "adpv",
    "GetModel": "adpv",
    "GetModelVersion": "adpv",
    "GetModelEvidence": "adpv",
    "NamedFiles": "",
    "IssueDeviceCode": "adpvw",
    "EnrolDevice": "",
    "ChangeDevice": "adpvw",
    "RevokeDevice": "adpvw",
    "PushMutations": "",
    "ResolveConflict": "adpvw",
    "ListDevices": "adpvw",
    "GetDevice": "adpvw",
    "GetDocuments": "adpvw",
    "ListConflicts": "adpvw",
    "RequestErasure": "a",
    "CompleteErasure": "",
    "ListErasures": "a",
    "GetErasure": "a",
    "ErasedTasks": "",
    "ReadEvents": "adpvw",
    "PullChanges": "",
    "SyncStatus": "adpvw",
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
    "ListWebhooks": "adpv",
    "GetWebhook": "adpv",
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
    assert "".join(sorted(role[0] for role in ROLES if may(Principal("u", "", (role,)), kind))) == TABLE[verb]
    assert may(SYSTEM, kind)
    assert not may(Principal("u", "", ("pope",)), kind)
    assert not may(Principal("u"), kind)


def test_roles_add_up() -> None:
    """A worker that is a viewer too may do what either may."""
    both = Principal("u", "", ("worker", "viewer"))
    assert may(both, o.Heartbeat)
    assert may(both, q.ListTasks)
    assert not may(both, o.SubmitTasks)


@pytest.mark.parametrize(
    ("role", "sees", "changes"),
    [("admin", True, True), ("system", True, True), ("viewer", True, False), ("developer", False, False),
     ("worker", False, False)],
)  # fmt: skip
def test_other_peoples_tasks(role: str, sees: bool, changes: bool) -> None:
    """Administrators and the system see and change them, viewers see them."""
    by = Principal("u", "", (role,))
    assert (sees_all_tasks(by), administers(by)) == (sees, changes)
