"""The options of `submit`, and the task specs made from them, which are checked only here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from math import inf
from typing import TYPE_CHECKING, Any, Literal, TypedDict, cast

from helix_ray.cluster.keywords import check_options
from helix_ray.core.bounds import number_breach
from helix_ray.core.iso_times import EPOCH_MAX
from helix_ray.core.placement import STRATEGIES
from helix_ray.core.spec_shape import (
    AMOUNT_MAX,
    AMOUNTS_MAX,
    BACKOFF_S_MAX,
    RETRIES_MAX,
    TIMEOUT_S_MAX,
    TITLE_CHARS_MAX,
)
from helix_ray.core.specs import PRIORITIES, FunctionRun, Priority, Resources, Run, TaskSpec
from helix_ray.core.state import MANUAL

if TYPE_CHECKING:
    from helix_ray.cluster.handles import Handle

TASK_TYPE = "building"
RESOURCES: tuple[Literal["cpu", "gpu", "npu", "memory_mb", "gpu_memory_mb"], ...] = (
    "cpu", "gpu", "npu", "memory_mb", "gpu_memory_mb",
)  # fmt: skip


class Options(TypedDict, total=False):
    """How a task is run; all are optional.

    `cpu`, `gpu`, `npu` are counts (fractions allowed), `memory_mb` and `gpu_memory_mb` are in MiB, `custom`
    names resources of the cluster, `timeout_s` and `retry_backoff_s` are in seconds, `deadline` is a time
    (with zone) or epoch seconds. `shards` runs it as that many shards (its value is the list of theirs), with
    `gang` all at once or none. `fresh` runs a function in a process that runs nothing else before or
    after it. `runtime_env` is added to the job's, for functions: as Ray merges them.
    """

    title: str
    description: str
    type: str
    priority: str
    project_id: str
    cpu: float
    gpu: float
    npu: float
    memory_mb: float
    gpu_memory_mb: float
    custom: Mapping[str, float]
    required_capabilities: Sequence[str]
    labels: Mapping[str, str]
    depends_on: Sequence[Handle | str]
    max_retries: int
    retry_backoff_s: float
    timeout_s: float
    deadline: datetime | float
    strategy: str
    shards: int
    gang: bool
    preemptible: bool
    fresh: bool
    runtime_env: Mapping[str, Any]


OPTIONS = tuple(Options.__annotations__)
_OF_FUNCTIONS = ("fresh", "runtime_env")
_TEXTS: tuple[Literal["description", "type", "project_id"], ...] = ("description", "type", "project_id")


def spec_of(run: Run, title: str, options: Options) -> TaskSpec:
    """Return the spec of a task; raises TypeError for an unknown option, ValueError for
    a value out of range."""
    check_options(options, OPTIONS)
    given: Mapping[str, Any] = {name: value for name, value in options.items() if value is not None}
    for name in _OF_FUNCTIONS:
        if given.get(name) and run["kind"] != "function":
            raise ValueError(f"{name} is an option of functions only")
    if given.get("fresh"):
        run = {**cast("FunctionRun", run), "fresh": True}
    spec: TaskSpec = {
        "title": str(given.get("title") or title[:TITLE_CHARS_MAX]),
        "type": TASK_TYPE,
        "run": run,
    }
    for name in _TEXTS:
        if name in given:
            spec[name] = str(given[name])
    if "priority" in given:
        spec["priority"] = _priority(given["priority"])
    resources = _resources(given)
    if resources:
        spec["resources"] = resources
    spec.update(_limits(given))
    spec.update(_placement(given))
    spec.update(_names(given))
    return spec


def _priority(value: Any) -> Priority:
    if value not in PRIORITIES:
        raise ValueError(f"priority must be one of {', '.join(PRIORITIES)}, not {value!r}")
    return cast("Priority", str(value))


def _resources(given: Mapping[str, Any]) -> Resources:
    found: Resources = {}
    for name in RESOURCES:
        if name in given:
            found[name] = _amount(name, given[name], maximum=AMOUNTS_MAX.get(name, AMOUNT_MAX))
    custom = given.get("custom")
    if custom:
        found["custom"] = {
            str(name): _amount(name, value, maximum=AMOUNT_MAX) for name, value in custom.items()
        }
    return found


def _amount(name: str, value: Any, *, above: float | None = None, maximum: float | None = None) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -inf < value < inf:
        raise ValueError(f"{name} must be a number, not {value!r}")
    breach = number_breach(value, minimum=0, above=above, maximum=maximum)
    if breach is not None:
        raise ValueError(f"{name} {breach.why}")
    return float(value)


def _limits(given: Mapping[str, Any]) -> TaskSpec:
    found: TaskSpec = {}
    if "max_retries" in given:
        found["max_retries"] = int(_amount("max_retries", given["max_retries"], maximum=RETRIES_MAX))
    if "retry_backoff_s" in given:
        found["retry_backoff_s"] = _amount("retry_backoff_s", given["retry_backoff_s"], maximum=BACKOFF_S_MAX)
    if "timeout_s" in given:
        found["timeout_s"] = _amount("timeout_s", given["timeout_s"], above=0, maximum=TIMEOUT_S_MAX)
    if "deadline" in given:
        found["deadline"] = _epoch(given["deadline"])
    return found


def _epoch(value: datetime | float) -> float:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("deadline must have a time zone: datetime.now(UTC) + ...")
        return value.timestamp()
    return _amount("deadline", value, maximum=EPOCH_MAX)


def _placement(given: Mapping[str, Any]) -> TaskSpec:
    found: TaskSpec = {}
    if "strategy" in given:
        if given["strategy"] not in (*STRATEGIES, MANUAL):
            raise ValueError(
                f"strategy must be one of {', '.join((*STRATEGIES, MANUAL))}, not {given['strategy']!r}"
            )
        found["strategy"] = str(given["strategy"])
    if "preemptible" in given:
        found["preemptible"] = bool(given["preemptible"])
    if "shards" in given:
        found["shards"] = {"count": _count("shards", given["shards"]), "gang": bool(given.get("gang"))}
    elif given.get("gang"):
        raise ValueError("gang can only be used with shards")
    return found


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")
    return value


def _names(given: Mapping[str, Any]) -> TaskSpec:
    found: TaskSpec = {}
    if given.get("required_capabilities"):
        found["required_capabilities"] = [str(name) for name in given["required_capabilities"]]
    if given.get("labels"):
        found["labels"] = {str(name): str(value) for name, value in given["labels"].items()}
    if given.get("depends_on"):
        if isinstance(given["depends_on"], str) or hasattr(given["depends_on"], "id"):
            raise TypeError(f"depends_on must be a list of handles or ids, not {given['depends_on']!r}")
        found["depends_on"] = [it if isinstance(it, str) else it.id for it in given["depends_on"]]
    return found
