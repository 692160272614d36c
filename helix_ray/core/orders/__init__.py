"""Orders: requests to change something. A function in core/decide turns each into facts or a Rejected.

Each kind declares its properties in its class: the roles, whether it needs a key to be resent, and so on
(kind.py). The Order envelope contains the caller, the request id and the idempotency key. `seed` is the
source of new ids: the caller makes it once, so an order that is resent after a crash of the master makes the
same ids and is recognised.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Generic, get_args

from helix_ray.core.access import Principal
from helix_ray.core.compact import compact
from helix_ray.core.orders.attempts import (
    AttemptReport,
    ReportAttempts,
    StartAttempts,
)
from helix_ray.core.orders.audit import (
    AcknowledgeExport,
    NoteCheckpoint,
    NoteComparison,
    NoteJournalCheck,
    NotePruning,
    NoteRetention,
)
from helix_ray.core.orders.certificates import NoteCertificate
from helix_ray.core.orders.datasets import DeleteDataset, ForgetDatasets, UploadDataset
from helix_ray.core.orders.devices import (
    ChangeDevice,
    EnrolDevice,
    IssueDeviceCode,
    PushMutations,
    ResolveConflict,
    RevokeDevice,
)
from helix_ray.core.orders.erasures import CompleteErasure, RequestErasure
from helix_ray.core.orders.kind import Data_co, OrderKind
from helix_ray.core.orders.models import (
    ActivateModel,
    ConcludeModelTask,
    DeleteModel,
    DeleteModelVersion,
    PushModel,
    RollBackModel,
    SetCanary,
    SubmitTuning,
)
from helix_ray.core.orders.placement import DistributeTask
from helix_ray.core.orders.projects import (
    AddMember,
    ChangeProject,
    CreateProject,
    RemoveMember,
    RemoveProject,
)
from helix_ray.core.orders.quotas import SetQuota
from helix_ray.core.orders.reads import NoteReads
from helix_ray.core.orders.recalled import Recalled
from helix_ray.core.orders.refusals import NoteRefusals, Refusal
from helix_ray.core.orders.sessions import CloseSession, EndSessions, OpenSession, RefreshSession
from helix_ray.core.orders.tasks import (
    ArchiveTasks,
    CancelTask,
    DeleteTask,
    ExpireTasks,
    ReleaseTasks,
    RetryTask,
    SpreadEndings,
    SubmitTasks,
    UpdateTask,
)
from helix_ray.core.orders.tokens import CreateToken, NoteTokenUse, RevokeToken
from helix_ray.core.orders.users import ChangePassword, ChangeRoles, CreateUser, RemoveUser
from helix_ray.core.orders.webhooks import (
    CreateWebhook,
    DeleteWebhook,
    NoteDeliveries,
    PauseWebhook,
    Redeliver,
    ResumeWebhook,
    RotateWebhookSecret,
    SwitchOffWebhook,
    TestWebhook,
    UpdateWebhook,
)
from helix_ray.core.orders.workers import (
    CrossThreshold,
    DrainWorker,
    Heartbeat,
    LoseWorker,
    RegisterWorker,
    RemoveLostWorkers,
    RemoveWorker,
)
from helix_ray.core.origin import NOWHERE, Origin
from helix_ray.core.secrets import conceal
from helix_ray.core.state import State
from helix_ray.core.weight import tasks_and_bytes_of

OrderBody = (
    SubmitTasks | UpdateTask | CancelTask | RetryTask | DeleteTask | ReleaseTasks | ExpireTasks
    | SpreadEndings | ArchiveTasks
    | StartAttempts | ReportAttempts
    | DistributeTask
    | SetQuota
    | CreateProject | ChangeProject | RemoveProject | AddMember | RemoveMember
    | PushModel | ActivateModel | RollBackModel | SetCanary | DeleteModelVersion | DeleteModel
    | SubmitTuning | ConcludeModelTask
    | UploadDataset | DeleteDataset | ForgetDatasets
    | RegisterWorker | Heartbeat | DrainWorker | RemoveLostWorkers | RemoveWorker | LoseWorker
    | CrossThreshold
    | CreateUser | RemoveUser | ChangeRoles | ChangePassword
    | OpenSession | RefreshSession | CloseSession | EndSessions
    | CreateToken | RevokeToken | NoteTokenUse
    | IssueDeviceCode | EnrolDevice | ChangeDevice | RevokeDevice | PushMutations | ResolveConflict
    | NoteRefusals | NoteReads | NoteCertificate | AcknowledgeExport | NoteCheckpoint | NoteComparison
    | NoteRetention | NotePruning | NoteJournalCheck
    | RequestErasure | CompleteErasure
    | CreateWebhook | UpdateWebhook | DeleteWebhook | PauseWebhook | ResumeWebhook | RotateWebhookSecret
    | TestWebhook | Redeliver | SwitchOffWebhook | NoteDeliveries
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Order(Generic[Data_co]):
    """An order's envelope. The caller scopes `key` to the principal; the plane fills in `recalled`."""

    secret_fields: ClassVar[tuple[str, ...]] = ("fingerprint",)

    body: OrderKind[Data_co]
    by: Principal
    request_id: str
    seed: str
    key: str | None = None
    fingerprint: str = ""
    origin: Origin = NOWHERE
    recalled: Recalled | None = None

    def work(self) -> int:
        """Return how much work it is without the state, in tasks (core/weight.py)."""
        return self.body.work() + self._restored()

    def work_in(self, state: State) -> int:
        """Return how much work it is with the state."""
        return self.body.work_in(state) + self._restored()

    def _restored(self) -> int:
        """Return the weight of archived tasks that are written to the journal again."""
        if self.recalled is None or self.body.recalled_as != "run":
            return 0
        return sum(tasks_and_bytes_of(task.spec) for task in self.recalled.tasks.values() if task is not None)


@dataclass(frozen=True, slots=True)
class Receipt(Generic[Data_co]):
    """The receipt of an order: it is durable up to `seq`. `replayed`: it was carried out before.

    What `data` has, the order's kind says.
    """

    seq: int
    data: Data_co
    replayed: bool = False


# Orders and receipts of whatever kind, where they are only handed on.
AnyOrder = Order[Mapping[str, object]]
AnyReceipt = Receipt[Mapping[str, object]]


for _kind in (Order, Receipt, AttemptReport, Refusal, *get_args(OrderBody)):
    compact(_kind)
    conceal(_kind)
