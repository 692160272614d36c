"""Tasks in requests. Validation returns a plain dict of the given fields, the spec in orders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Required

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    TypeAdapter,
    with_config,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from typing_extensions import TypedDict

from helix_ray.core.names import LINE_PATTERN
from helix_ray.core.pickled import PICKLED
from helix_ray.core.spec_shape import (
    AMOUNT_MAX,
    BACKOFF_S_MAX,
    CAPABILITIES_MAX,
    CPU_MAX,
    CUSTOM_RESOURCES_MAX,
    DESCRIPTION_CHARS_MAX,
    DEVICES_MAX,
    LABEL_CHARS_MAX,
    LABELS_MAX,
    RETRIES_MAX,
    TASK_ID_CHARS_MAX,
    TITLE_CHARS_MAX,
)
from helix_ray.core.specs import Priority, TaskSpec
from helix_ray.core.strategy_names import OfTask as Strategy
from helix_ray.wire.runs import Run, TimeoutSeconds, given
from helix_ray.wire.values import STRICT, Id, JsonValue, ProjectId, Time, Word, adapter, storable, strict

DEPENDENCIES_MAX = 1_000
ERROR_FIELDS_MAX = 32
MESSAGE_CHARS_MAX = 65_536
SHARDS_MAX = 100_000
LISTED_TASKS_MAX = 1_000
LISTED_TASKS = 50
RESULT_WAIT_S_MAX = 25.0
OFFSET_MAX = 2**53

Title = Annotated[str, Field(min_length=1, max_length=TITLE_CHARS_MAX)]
Description = Annotated[str, Field(max_length=DESCRIPTION_CHARS_MAX)]
TaskType = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
TaskStatus = Literal["waiting", "pending", "running", "completed", "failed", "cancelled"]
# The statuses that a PUT may set; only dependencies make a task `waiting`.
SettableStatus = Literal["pending", "running", "completed", "failed", "cancelled"]
Capabilities = Annotated[list[Word], Field(max_length=CAPABILITIES_MAX)]
Labels = Annotated[
    dict[Word, Annotated[str, Field(max_length=LABEL_CHARS_MAX, pattern=LINE_PATTERN)]],
    Field(max_length=LABELS_MAX),
]
Devices = Annotated[float, Field(ge=0, le=DEVICES_MAX)]
Retries = Annotated[int, Field(ge=0, le=RETRIES_MAX)]
BackoffSeconds = Annotated[float, Field(ge=0, le=BACKOFF_S_MAX)]
Message = Annotated[str, Field(max_length=MESSAGE_CHARS_MAX)]
Dependency = Annotated[str, Field(min_length=1, max_length=TASK_ID_CHARS_MAX)]


@with_config(STRICT)
class ResourcesIn(TypedDict, total=False):
    """The resources of a running task: cores, MiB, whole or shared devices, and custom resources of nodes."""

    cpu: Annotated[float, Field(ge=0, le=CPU_MAX)]
    memory_mb: Annotated[float, Field(ge=0, le=AMOUNT_MAX)]
    gpu: Devices
    # The sum over all GPUs of a node; only nodes whose driver reports it have any.
    gpu_memory_mb: Annotated[float, Field(ge=0, le=AMOUNT_MAX)]
    npu: Devices
    custom: Annotated[
        dict[Word, Annotated[float, Field(ge=0, le=AMOUNT_MAX)]], Field(max_length=CUSTOM_RESOURCES_MAX)
    ]


@with_config(STRICT)
class ShardsIn(TypedDict, total=False):
    """The number of shards; `gang`: all of them start together, or none."""

    count: Required[Annotated[int, Field(ge=1, le=SHARDS_MAX)]]
    gang: bool


def _shards(value: Any) -> Any:
    """Accept a bare number as the count."""
    return {"count": value} if isinstance(value, int) and not isinstance(value, bool) else value


class _OrCount:
    """Says in the schema that a number may stand for the object."""

    def __get_pydantic_json_schema__(
        self, shape: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"anyOf": [{"type": "integer", "minimum": 1, "maximum": SHARDS_MAX}, handler(shape)]}


Shards = Annotated[ShardsIn, BeforeValidator(_shards), _OrCount()]


@with_config(
    strict(
        title="Implement user authentication",
        description="Add JWT-based auth system",
        type="building",
        priority="high",
        project_id="project-123",
    )
)
class TaskIn(TypedDict, total=False):
    """A task to submit. Without `run` it is for external workers and people. A null
    field counts as missing."""

    title: Required[Title]
    type: Required[TaskType]
    description: Description | None
    priority: Priority | None
    project_id: ProjectId | None
    run: Run | None
    resources: ResourcesIn | None
    required_capabilities: Capabilities | None
    labels: Labels | None
    # Ids of tasks, or "#3" for number 3 (from 0) of the same batch.
    depends_on: Annotated[list[Dependency], Field(max_length=DEPENDENCIES_MAX)] | None
    max_retries: Retries | None
    retry_backoff_s: BackoffSeconds | None
    timeout_s: TimeoutSeconds | None
    deadline: Time | None
    # How nodes are chosen, whether it may be preempted, and its number of shards.
    strategy: Strategy | None
    preemptible: bool | None
    shards: Shards | None


@with_config(ConfigDict(extra="allow", strict=True))
class ErrorIn(TypedDict, total=False):
    """Why a task failed, as reported by its worker; other fields are allowed."""

    reason: Message
    type: Message
    message: Message


def _foreign(value: Any) -> Any:
    """Return the result of an external worker; raise ValueError for a value that the
    Python API would unpickle."""
    if isinstance(value, dict):
        parts = value.get("shards")
        inner = [value, value.get("cause"), *(parts if isinstance(parts, list) else ())]
        if any(isinstance(part, dict) and PICKLED in part for part in inner):
            raise ValueError("pickled objects are accepted only from inside the cluster")
    return value


def _error(value: Mapping[str, Any] | str | None) -> Mapping[str, Any] | None:
    """Convert an error to {"reason", "message", ...}; a bare string is its message."""
    if value is None:
        return None
    if isinstance(value, str):
        value = {"message": value}
    if len(value) > ERROR_FIELDS_MAX:
        raise ValueError(f"at most {ERROR_FIELDS_MAX} fields are allowed")
    return {"reason": "failed", "message": "", **value}


@with_config(strict(status="completed", progress=100))
class TaskUpdateIn(TypedDict, total=False):
    """A worker's report, or a user's change. Fields of a running task cannot be edited; null
    clears an optional field."""

    status: SettableStatus | None
    progress: Annotated[float, Field(ge=0, le=100)] | None
    result: Annotated[JsonValue, AfterValidator(_foreign)]
    error: Annotated[
        ErrorIn | Message | None, AfterValidator(_error), AfterValidator(storable), AfterValidator(_foreign)
    ]
    attempt: Annotated[int, Field(ge=1, le=2**31)] | None
    worker_id: Id | None
    title: Title
    type: TaskType
    description: Description | None
    priority: Priority
    project_id: ProjectId | None
    resources: ResourcesIn | None
    required_capabilities: Capabilities | None
    labels: Labels | None
    max_retries: Retries
    retry_backoff_s: BackoffSeconds | None
    timeout_s: TimeoutSeconds | None
    deadline: Time | None


EDITABLE = frozenset(
    {
        "title", "type", "description", "priority", "project_id", "resources", "required_capabilities",
        "labels",
        "max_retries", "retry_backoff_s", "timeout_s", "deadline",
    }
)  # fmt: skip


@with_config(STRICT)
class RetryIn(TypedDict, total=False):
    """Whether the tasks that failed because of it are queued again as well."""

    dependants: bool


class TaskFilters(BaseModel):
    """The query of a listing."""

    model_config = ConfigDict(extra="forbid")

    status: TaskStatus | None = Field(None, description="The only status to list.")
    priority: Priority | None = Field(None, description="The only priority to list.")
    type: TaskType | None = Field(None, description="The only type to list.")
    project_id: Id | None = Field(None, description="The only project to list.")
    assigned_worker: Id | None = Field(None, description="The worker to which the tasks are assigned.")
    id_prefix: Id | None = Field(None, description="How the ids of the tasks begin.")
    created_since: Time | None = Field(None, description="From when on they were created, in ISO 8601.")
    created_until: Time | None = Field(
        None, description="Until when they were created, exclusive, in ISO 8601."
    )
    limit: Annotated[int, Field(ge=1, le=LISTED_TASKS_MAX)] = Field(
        LISTED_TASKS, description="How many tasks at most."
    )
    offset: Annotated[int, Field(ge=0, le=OFFSET_MAX)] = Field(0, description="How many tasks to skip.")


class ResultQuery(BaseModel):
    """The query of a result."""

    model_config = ConfigDict(extra="forbid")

    wait_s: Annotated[float, Field(ge=0, le=RESULT_WAIT_S_MAX)] = Field(
        0, description="How many seconds to wait until the task has ended."
    )


class LogQuery(BaseModel):
    """The query of a log."""

    model_config = ConfigDict(extra="forbid")

    follow: bool = Field(False, description="Whether to send what is written until the attempt ends.")
    attempt: Annotated[int, Field(ge=1, le=2**31)] | None = Field(
        None, description="Which attempt, from 1; by default the newest."
    )
    offset: Annotated[int, Field(ge=0, le=OFFSET_MAX)] = Field(
        0, description="From which byte of the log on."
    )


@with_config(STRICT)
class BatchIn(TypedDict):
    """Tasks that are accepted or refused separately."""

    tasks: list[TaskIn]


# Both return specs: the given fields without null ones.
Spec = Annotated[TaskIn, AfterValidator(given)]
TASK: TypeAdapter[TaskSpec] = adapter(Spec)
TASK_UPDATE: TypeAdapter[TaskUpdateIn] = adapter(TaskUpdateIn)
RETRY: TypeAdapter[RetryIn] = adapter(RetryIn)
