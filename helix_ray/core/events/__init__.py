"""Facts: what has happened. Past tense, JSON values only, each kind with a version.

The classes are not frozen: they are built on the hottest path (three for each task), and a frozen
dataclass takes four times as long to build. No code changes a fact after decide has made it. The name of a
kind is stored in journals for ever, so never rename one. Change its shape with a new version and an
upcaster in core/codec.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from helix_ray.core.compact import compact
from helix_ray.core.events.attempts import (
    TaskAssigned,
    TaskBlocked,
    TaskOutlasted,
    TaskPrioritised,
    TaskProgressed,
    TaskRequeued,
    TaskUnblocked,
)
from helix_ray.core.events.audit import (
    AuditCompared,
    AuditExported,
    AuditPruned,
    AuditRetentionSet,
    CheckpointSigned,
    JournalChecked,
)
from helix_ray.core.events.certificates import CertificateChanged, CertificateRefused
from helix_ray.core.events.datasets import DatasetDeleted, DatasetUploaded
from helix_ray.core.events.devices import (
    ConflictResolved,
    DeviceCodeIssued,
    DeviceEnrolled,
    DeviceFollowsSet,
    DeviceRenamed,
    DeviceRevoked,
    MutationsPushed,
)
from helix_ray.core.events.erasures import Erased, ErasureCompleted, ErasureRequested, FactsErased
from helix_ray.core.events.models import (
    ModelActivated,
    ModelActivationAsked,
    ModelCanarySet,
    ModelDeleted,
    ModelRolledBack,
    ModelTuned,
    ModelTuningBegun,
    ModelVersionDeleted,
    ModelVersionExamined,
    ModelVersionPushed,
)
from helix_ray.core.events.projects import MemberAdded, MemberRemoved, ProjectRemoved, ProjectSet
from helix_ray.core.events.quotas import QuotaSet
from helix_ray.core.events.reads import DataRead
from helix_ray.core.events.receipts import ReceiptKept
from helix_ray.core.events.refusals import LoginRefused, RequestsRefused
from helix_ray.core.events.sessions import SessionClosed, SessionOpened, SessionRefreshed
from helix_ray.core.events.tasks import (
    TaskCancelled,
    TaskCompleted,
    TaskDeferred,
    TaskDeleted,
    TaskEdited,
    TaskFailed,
    TaskMarked,
    TaskReleased,
    TaskRestored,
    TasksRetired,
    TaskSubmitted,
)
from helix_ray.core.events.tokens import TokenCreated, TokenRevoked, TokenUsed
from helix_ray.core.events.users import PasswordChanged, RolesChanged, UserCreated, UserRemoved
from helix_ray.core.events.webhooks import (
    WebhookCreated,
    WebhookDeleted,
    WebhookPaused,
    WebhookRedeliveryAsked,
    WebhookResumed,
    WebhookSecretRotated,
    WebhooksMarked,
    WebhookSwitchedOff,
    WebhookTested,
    WebhookUpdated,
)
from helix_ray.core.events.workers import (
    WorkerCrossedThreshold,
    WorkerDrained,
    WorkerLost,
    WorkerRegistered,
    WorkerRetired,
)
from helix_ray.core.origin import NOWHERE, OK, Origin, Outcome
from helix_ray.core.secrets import conceal

Event = (
    TaskSubmitted | TaskReleased | TaskAssigned | TaskProgressed | TaskOutlasted | TaskRequeued
    | TaskBlocked | TaskUnblocked | TaskPrioritised
    | TaskCompleted | TaskFailed | TaskMarked
    | TaskDeferred | TaskRestored
    | TaskCancelled | TaskEdited | TaskDeleted | TasksRetired | WorkerRegistered | WorkerDrained | WorkerLost
    | WorkerRetired | WorkerCrossedThreshold
    | QuotaSet | UserCreated | UserRemoved | RolesChanged | PasswordChanged | SessionOpened | SessionRefreshed
    | SessionClosed
    | TokenCreated | TokenRevoked | TokenUsed
    | LoginRefused | RequestsRefused | DataRead | ReceiptKept
    | ProjectSet | ProjectRemoved | MemberAdded | MemberRemoved
    | FactsErased
    | CertificateChanged | CertificateRefused | AuditExported | AuditCompared | AuditRetentionSet
    | CheckpointSigned | JournalChecked | AuditPruned
    | ModelVersionPushed | ModelVersionExamined | ModelActivationAsked | ModelActivated | ModelRolledBack
    | ModelCanarySet | ModelVersionDeleted | ModelDeleted | ModelTuningBegun | ModelTuned
    | DatasetUploaded | DatasetDeleted
    | DeviceCodeIssued | DeviceEnrolled | DeviceRenamed | DeviceFollowsSet | DeviceRevoked
    | MutationsPushed | ConflictResolved
    | ErasureRequested | ErasureCompleted
    | WebhookCreated | WebhookUpdated | WebhookDeleted | WebhookPaused | WebhookResumed | WebhookSwitchedOff
    | WebhookSecretRotated | WebhookTested | WebhookRedeliveryAsked | WebhooksMarked
)  # fmt: skip


@dataclass(slots=True)
class Fact:
    """An event with its place in the journal: `seq` counts from 1, `at` is epoch seconds."""

    seq: int
    at: float
    actor: str
    request_id: str
    event: Event | Erased
    origin: Origin = NOWHERE

    @property
    def outcome(self) -> Outcome:
        """The outcome of the order, which depends only on the kind of the event."""
        found: Outcome = getattr(self.event, "outcome", OK)
        return found


for _kind in (Fact, Erased, *get_args(Event)):
    compact(_kind)
    conceal(_kind)


def subject_of(event: Event | Erased) -> str:
    """Return the id of the subject of a fact (empty for a fact about many)."""
    return getattr(event, "id", "")
