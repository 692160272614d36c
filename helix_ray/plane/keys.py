"""Which orders may be sent twice: the master's answer can be lost after it has carried an order out.

Every kind of order is in one of two lists (a test compares them with all there are). Those of the first get a key of
ours, which the state keeps with the receipt: the second time they have the first answer. Those of the second are
recognised by what they say themselves.
"""

from __future__ import annotations

from dataclasses import replace

from helix_ray.core import orders as o

NEEDS_KEY: tuple[type, ...] = (
    o.UpdateTask, o.CancelTask, o.RetryTask, o.DeleteTask, o.RegisterWorker, o.DrainWorker, o.CreateUser, o.RemoveUser,
    o.ChangeRoles, o.ChangePassword, o.OpenSession, o.RefreshSession, o.CloseSession, o.DistributeTask, o.SetQuota,
    o.CreateProject, o.ChangeProject, o.RemoveProject, o.AddMember, o.RemoveMember, o.CreateToken, o.RevokeToken,
    o.RemoveWorker, o.LoseWorker,
)  # fmt: skip
RECOGNISED: tuple[type, ...] = (
    o.SubmitTasks,  # by its seed: the same ids
    o.ReportAttempts,  # by attempt and boot
    o.StartAttempts, o.ReleaseTasks, o.ExpireTasks, o.SpreadEndings, o.RetireTasks,  # what is done is left out
    o.Heartbeat,  # a worker that has a task is given the same one again
    o.RetireWorkers,  # who is gone is gone
    o.NoteRefusals, o.NoteTokenUse,  # counts of what was seen: one more does no harm
)  # fmt: skip


def keyed(order: o.Order) -> o.Order:
    """Return an order that may be sent twice."""
    if order.key is None and isinstance(order.body, NEEDS_KEY):
        return replace(order, key=f"~{order.seed}", fingerprint=order.seed)
    return order
