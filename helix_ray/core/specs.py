"""What people and workers say, as the state keeps it: a task's spec, run and error; what a worker has.

A spec holds the fields that were given, so every field may be missing. Until decide has taken it in
(core/spec_shape.py), what it holds may be anything.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from helix_ray.core.host_sample import HostSample, ProcessSample
from helix_ray.core.model_records import BoundsRecord, FileRef, TensorRecord, VariantRecord

# JSON of somebody else: results, arguments, metadata. Ours reads no field of it by name.
JsonObject = dict[str, Any]
# What a worker has, by resource name; None is what it does not state.
Offer = dict[str, float | None]
# A label of nodes whose accelerators are logical: the names of the resources that are none.
SIMULATED_LABEL = "helix-simulated"
# The label of a node that says what keeps its commands apart from the control plane.
ISOLATION_LABEL = "helix-isolation"


class CommandRun(TypedDict, total=False):
    """A program: exactly one of `argv` and `shell`, at most one of `stdin` and `stdin_base64`."""

    kind: Literal["command"]
    argv: list[str]
    shell: str
    env: dict[str, str]
    stdin: str
    stdin_base64: str
    working_dir: str
    timeout_s: float
    kill_grace_s: float
    network: bool


class FunctionRun(TypedDict, total=False):
    """A function by its name, or pickled with its arguments, in base64.

    `runtime_env`: the environment of its process, as JSON text (execution/runtime_env.py).
    """

    kind: Literal["function"]
    function: str
    payload: str | bytes
    args: list[Any]
    kwargs: JsonObject
    timeout_s: float
    fresh: bool
    runtime_env: str


Precision = Literal["auto", "fp32", "fp16", "int8"]
OutputFormat = Literal["json", "npy", "parquet", "jsonl"]


class InferenceRun(TypedDict, total=False):
    """A model (`name` or `name@version`) on exactly one of `inputs` (nested lists or .npy files in base64, by
    input name or alone), `dataset` (the digest of an uploaded file) and `input_uri`.

    `outputs` are the names of the requested outputs, `output` is their form.
    """

    kind: Literal["inference"]
    model: str
    inputs: Any
    dataset: str
    input_uri: str
    batch_size: int
    precision: Precision
    output: OutputFormat
    outputs: list[str]
    timeout_s: float


class ExaminationRun(TypedDict, total=False):
    """The examination of a version of a model; only decide makes one. `files` are all that it needs."""

    kind: Literal["examination"]
    model: str
    version: int
    file: str
    calibration: str | None
    heldout: str | None
    files: list[FileRef]
    bounds: BoundsRecord
    memory_mb: int
    time_limit_s: float
    timeout_s: float


class TuningRun(TypedDict, total=False):
    """The tuning of a version on a class of nodes; only decide makes one. `files` are all that it needs."""

    kind: Literal["tuning"]
    model: str
    version: int
    node_class: str
    variants: list[VariantRecord]
    inputs: list[TensorRecord]
    batch: str
    heldout: str | None
    files: list[FileRef]
    bounds: BoundsRecord
    time_limit_s: float
    timeout_s: float


Run = CommandRun | FunctionRun | InferenceRun | ExaminationRun | TuningRun


class Resources(TypedDict, total=False):
    """What a task uses while it runs: cores, MiB, whole or shared devices, and what nodes call their own."""

    cpu: float
    memory_mb: float
    gpu: float
    gpu_memory_mb: float
    npu: float
    custom: dict[str, float]


class Shards(TypedDict, total=False):
    """Into how many parts a task goes; `gang`: all of them start together, or none."""

    count: int
    gang: bool


class Shard(TypedDict):
    """Which part of which task a task is; `index` counts from 0."""

    of: str
    index: int
    count: int
    gang: bool


Priority = Literal["low", "normal", "high", "critical"]
PRIORITIES: tuple[Priority, ...] = ("low", "normal", "high", "critical")
LEVELS: dict[str, int] = {name: level for level, name in enumerate(PRIORITIES)}


class TaskEdits(TypedDict, total=False):
    """The fields of a spec that may change after the submit; null is a field that was taken away."""

    title: str
    type: str
    description: str | None
    priority: Priority
    project_id: str | None
    resources: Resources | None
    required_capabilities: list[str] | None
    labels: dict[str, str] | None
    max_retries: int
    retry_backoff_s: float | None
    timeout_s: float | None
    # Epoch seconds.
    deadline: float | None
    # Only distributions change it.
    strategy: str | None


class TaskSpec(TaskEdits, total=False):
    """A task as it was asked for. Without `run` it is for external workers and people."""

    run: Run
    # Ids of tasks, or "#3" for number 3 of the same submit until that is taken in.
    depends_on: list[str]
    preemptible: bool
    # The trace within which it was asked for (core/traceparent.py).
    traceparent: str
    shards: Shards
    # Made by the submit of a task with `shards`, for the tasks that are its parts.
    shard: Shard


class TaskError(TypedDict, total=False):
    """Why a task failed. A worker may put fields of its own beside these."""

    reason: str
    type: str | None
    message: str | None
    traceback: str
    # Whose attempt it was, where that was lost or stopped.
    worker: str | None
    # The exception of a function, in base64.
    pickled: str
    # The last 4 KiB that an attempt wrote whose process was killed, so that it could not say how it ended.
    output_tail: str
    # Of a task that failed because of another one.
    dependency: str
    # Of a parent: which shard failed, and its error.
    shard: str
    cause: TaskError


class DeviceSample(TypedDict, total=False):
    """A device in a heartbeat: DeviceUsage without what is not known, since a null costs a closer look."""

    index: int
    id: str
    kind: str
    vendor: str
    name: str
    driver: str
    utilization: float
    source: str
    window_s: float
    reason: str
    memory_used_mb: int
    memory_total_mb: int
    memory_source: str
    memory_reason: str
    unified: bool
    note: str


class DeviceUsage(TypedDict):
    """What a driver says of a device: percent of a window in seconds, and MiB.

    What it refuses to say is None, with the reason; `unified` memory is the host's.
    """

    index: int
    id: str
    kind: str
    vendor: str
    name: str | None
    driver: str | None
    utilization: float | None
    source: str | None
    window_s: float | None
    reason: str | None
    memory_used_mb: int | None
    memory_total_mb: int | None
    memory_source: str | None
    memory_reason: str | None
    unified: bool
    note: str | None


class DevicePoint(TypedDict):
    """A point of a device's history: mean and maximum of ten seconds from `at`, in percent, and MiB."""

    at: float
    utilization: float | None
    utilization_max: float | None
    memory_used_mb: float | None


class Usage(TypedDict, total=False):
    """What a worker measured: percent and MiB. An external one may send figures of its own beside these."""

    cpu_usage: float
    memory_usage: float
    memory_total: float
    # By resource name, what others on the Ray cluster use of the node.
    foreign: dict[str, float]
    devices: list[DeviceSample]
    host: HostSample
    processes: list[ProcessSample]
