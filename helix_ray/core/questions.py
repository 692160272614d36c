"""Questions: requests to read something. Each names the type of its answer (core/views/)."""

from __future__ import annotations

from dataclasses import dataclass

from helix_ray.core.access import ADMINS, EVERYBODY, READERS, SYSTEM_ONLY, Tokens
from helix_ray.core.audit_questions import ListAudit as ListAudit
from helix_ray.core.audit_questions import RecordedReads as RecordedReads
from helix_ray.core.dataset_questions import GetDataset as GetDataset
from helix_ray.core.dataset_questions import GetStored as GetStored
from helix_ray.core.dataset_questions import ListDatasets as ListDatasets
from helix_ray.core.deliveries import GetDelivery as GetDelivery
from helix_ray.core.deliveries import ListDeliveries as ListDeliveries
from helix_ray.core.device_questions import GetDevice as GetDevice
from helix_ray.core.device_questions import GetDocuments as GetDocuments
from helix_ray.core.device_questions import ListConflicts as ListConflicts
from helix_ray.core.device_questions import ListDevices as ListDevices
from helix_ray.core.event_questions import NoticeTasks as NoticeTasks
from helix_ray.core.event_questions import ReadEvents as ReadEvents
from helix_ray.core.model_questions import GetModel as GetModel
from helix_ray.core.model_questions import GetModelEvidence as GetModelEvidence
from helix_ray.core.model_questions import GetModelVersion as GetModelVersion
from helix_ray.core.model_questions import ListModels as ListModels
from helix_ray.core.model_questions import NamedFiles as NamedFiles
from helix_ray.core.node_questions import Acceleration as Acceleration
from helix_ray.core.node_questions import ClusterStatus as ClusterStatus
from helix_ray.core.node_questions import GetNode as GetNode
from helix_ray.core.node_questions import ListNodes as ListNodes
from helix_ray.core.node_questions import NodeDevices as NodeDevices
from helix_ray.core.node_questions import SystemFigures as SystemFigures
from helix_ray.core.node_questions import SystemHistory as SystemHistory
from helix_ray.core.proof_questions import JournalSize as JournalSize
from helix_ray.core.proof_questions import ListCheckpoints as ListCheckpoints
from helix_ray.core.proof_questions import NewestCheckpoint as NewestCheckpoint
from helix_ray.core.proof_questions import ProveConsistency as ProveConsistency
from helix_ray.core.proof_questions import ProveInclusion as ProveInclusion
from helix_ray.core.question_kind import QuestionKind as QuestionKind
from helix_ray.core.question_kind import View as View
from helix_ray.core.secrets import SEALED_IN_RUN, below, conceal
from helix_ray.core.security_questions import SecurityFigures as SecurityFigures
from helix_ray.core.sync_questions import DeviceBoard as DeviceBoard
from helix_ray.core.sync_questions import FollowedRows as FollowedRows
from helix_ray.core.sync_questions import PullChanges as PullChanges
from helix_ray.core.sync_questions import ScopeRows as ScopeRows
from helix_ray.core.sync_questions import SyncStatus as SyncStatus
from helix_ray.core.task_questions import ExplainTask as ExplainTask
from helix_ray.core.task_questions import GetResult as GetResult
from helix_ray.core.task_questions import GetTask as GetTask
from helix_ray.core.task_questions import ListTasks as ListTasks
from helix_ray.core.task_questions import PlanTask as PlanTask
from helix_ray.core.task_questions import ReadItems as ReadItems
from helix_ray.core.task_questions import ReadLog as ReadLog
from helix_ray.core.task_questions import WaitTasks as WaitTasks
from helix_ray.core.views.attempts import WorkView
from helix_ray.core.views.erasures import ErasedTasksView, ErasuresView, ErasureView
from helix_ray.core.views.figures import CountsView, MetricsView, ReadinessView
from helix_ray.core.views.history import OutdatedView
from helix_ray.core.views.projects import ProjectsView, ProjectView
from helix_ray.core.views.quotas import QuotasView
from helix_ray.core.views.sessions import IdentityView, SessionsView, SessionView, SignInView
from helix_ray.core.views.tokens import TokensView
from helix_ray.core.views.users import UsersView, UserView
from helix_ray.core.views.workers import WorkersView, WorkerView
from helix_ray.core.webhook_questions import GetWebhook as GetWebhook
from helix_ray.core.webhook_questions import ListWebhooks as ListWebhooks
from helix_ray.core.webhook_questions import WebhookBoard as WebhookBoard


@dataclass(frozen=True, slots=True)
class WorkFor(QuestionKind[WorkView]):
    """The changes of a node worker's assignments since `after`; all assignments when `epoch` differs."""

    allowed = SYSTEM_ONLY
    sealed_fields = below("assign.*.run", SEALED_IN_RUN)

    worker_id: str
    boot: str
    epoch: int
    after: int


@dataclass(frozen=True, slots=True)
class ListWorkers(QuestionKind[WorkersView]):
    """All workers."""

    allowed = READERS
    tokens = Tokens.ALL


@dataclass(frozen=True, slots=True)
class GetWorker(QuestionKind[WorkerView]):
    """One worker."""

    allowed = READERS
    tokens = Tokens.ALL

    worker_id: str


@dataclass(frozen=True, slots=True)
class GetUser(QuestionKind[UserView]):
    """A user by id or by name; the password hash is for the system only."""

    allowed = EVERYBODY
    reads = "users"
    tokens = Tokens.ALL

    user_id: str | None = None
    username: str | None = None


@dataclass(frozen=True, slots=True)
class ListUsers(QuestionKind[UsersView]):
    """All users."""

    allowed = ADMINS
    reads = "users"


@conceal
@dataclass(frozen=True, slots=True)
class GetSession(QuestionKind[SessionView]):
    """A session by id or by the hash of its refresh token."""

    allowed = SYSTEM_ONLY
    secret_fields = ("refresh_hash",)

    session_id: str | None = None
    refresh_hash: str | None = None


@conceal
@dataclass(frozen=True, slots=True)
class Identify(QuestionKind[IdentityView]):
    """The user of a session id, or of the hash of an API token; for API replicas only."""

    allowed = SYSTEM_ONLY
    short = True
    secret_fields = ("token_hash",)

    session_id: str | None = None
    token_hash: str | None = None


@dataclass(frozen=True, slots=True)
class SignIn(QuestionKind[SignInView]):
    """Whose name was typed at a sign-in, and how long the sign-in must wait; for API replicas only."""

    allowed = SYSTEM_ONLY
    short = True

    username: str
    address: str


@dataclass(frozen=True, slots=True)
class ListSessions(QuestionKind[SessionsView]):
    """The open sessions of the caller, or of a user (for administrators)."""

    allowed = EVERYBODY
    reads = "sessions"
    tokens = Tokens.NONE

    username: str | None = None


@dataclass(frozen=True, slots=True)
class ListTokens(QuestionKind[TokensView]):
    """The caller's API tokens; for administrators those of all users, or of one."""

    allowed = EVERYBODY
    reads = "tokens"

    username: str | None = None


@dataclass(frozen=True, slots=True)
class ListQuotas(QuestionKind[QuotasView]):
    """The quotas of all projects, and their use."""

    allowed = READERS


@dataclass(frozen=True, slots=True)
class ListProjects(QuestionKind[ProjectsView]):
    """Projects with their members: all for callers who see all tasks, else the caller's own."""

    allowed = READERS
    tokens = Tokens.ALL


@dataclass(frozen=True, slots=True)
class GetProject(QuestionKind[ProjectView]):
    """One project."""

    allowed = READERS
    tokens = Tokens.ALL

    project_id: str


@dataclass(frozen=True, slots=True)
class ListErasures(QuestionKind[ErasuresView]):
    """Requests to erase what concerns somebody or a task, and how far they are."""

    allowed = ADMINS


@dataclass(frozen=True, slots=True)
class GetErasure(QuestionKind[ErasureView]):
    """One request to erase."""

    allowed = ADMINS

    erasure_id: str


@dataclass(frozen=True, slots=True)
class ErasedTasks(QuestionKind[ErasedTasksView]):
    """Tasks that were erased since `after`, so that nodes remove their logs and results."""

    allowed = SYSTEM_ONLY

    after: int


@dataclass(frozen=True, slots=True)
class Counts(QuestionKind[CountsView]):
    """The number of tasks by status, and the journal's seq."""

    allowed = READERS
    tokens = Tokens.ALL


@dataclass(frozen=True, slots=True)
class Outdated(QuestionKind[OutdatedView]):
    """What is out of date in a history that has folded up to `after`; for the system only.

    With `task_ids`: those of them that were deleted since. Without: the finished tasks that were deleted or
    queued again, first at or before the fact `until`.
    """

    allowed = SYSTEM_ONLY

    after: int
    task_ids: tuple[str, ...] | None = None
    until: int = 0


@dataclass(frozen=True, slots=True)
class Metrics(QuestionKind[MetricsView]):
    """Figures for /metrics, without ids, names or users' text."""

    allowed = SYSTEM_ONLY


@dataclass(frozen=True, slots=True)
class Readiness(QuestionKind[ReadinessView]):
    """The parts that are not ready: `missing` has the reason by part. For the system only."""

    allowed = SYSTEM_ONLY


Question = (
    GetTask | ListTasks | GetResult | ReadLog | ReadItems | WaitTasks | WorkFor | ListWorkers | GetWorker
    | GetUser | ListUsers | GetSession | Counts | Outdated | Metrics | ClusterStatus | ListNodes | GetNode
    | ExplainTask | PlanTask | ListQuotas | Readiness | ListProjects | GetProject | Identify | ListTokens
    | ListSessions | SignIn
    | ListModels | GetModel | GetModelVersion | GetModelEvidence | NamedFiles | ListDeliveries | GetDelivery
    | ListDatasets | GetDataset | GetStored
    | ListWebhooks | GetWebhook | WebhookBoard | ListDevices | GetDevice | GetDocuments | ListConflicts
    | ListErasures | GetErasure | ErasedTasks | NodeDevices | Acceleration
    | SystemFigures | SystemHistory
    | ReadEvents | NoticeTasks | PullChanges | SyncStatus | DeviceBoard | FollowedRows | ScopeRows
    | ListAudit | SecurityFigures
    | JournalSize | NewestCheckpoint | ListCheckpoints | ProveInclusion | ProveConsistency | RecordedReads
)  # fmt: skip
