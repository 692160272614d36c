"""The environment that a command sees: the same each time, whatever ran before it."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from helix_ray.core.traceparent import VARIABLE
from helix_ray.execution import acting
from helix_ray.execution.assignment import Assignment

ATTEMPT_DIR = "HELIX_ATTEMPT_DIR"
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")
"""Variables of the server that a command gets."""

ACCELERATORS = (
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "ONEAPI_DEVICE_SELECTOR",
    "ZE_AFFINITY_MASK",
    "ASCEND_RT_VISIBLE_DEVICES",
    "TPU_VISIBLE_CHIPS",
    "TPU_CHIPS_PER_HOST_BOUNDS",
    "TPU_HOST_BOUNDS",
    "NEURON_RT_VISIBLE_CORES",
    "HABANA_VISIBLE_MODULES",
    "FURIOSA_DEVICES",
    "RBLN_DEVICES",
    "QBRUNTIME_VISIBLE_DEVICES",
    "TT_VISIBLE_DEVICES",
)
"""Which devices are the executor's: set by Ray (ray/_private/accelerators) when it gives out the resource."""

NO_GPU = {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": "-1", "ROCR_VISIBLE_DEVICES": "-1"}
"""What hides every GPU from a program that asks the vendor's library."""

SESSION_MARK = "HELIX_UP_ID"
"""Marks the processes of one `helix up`, no secret: by it they are all found when its parent was killed."""

PATH_DEFAULT = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an attempt runs: its folder, and whether home and temporary files are its own."""

    folder: str
    own_home: bool
    own_tmp: bool


def command_environment(
    given: Mapping[str, str],
    assignment: Assignment,
    slot: Mapping[str, str],
    place: Place,
    inherited: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """Return a command's whole environment.

    In this order, a later one over an earlier one: the few kept variables, the trace, what the task gives,
    which devices are the slot's, and the attempt's own. So no setting, RAY_* or token variable leaks, and no
    task takes a device that was not given to it.
    """
    environment = {"PATH": PATH_DEFAULT} | {name: inherited[name] for name in KEPT if name in inherited}
    if place.own_home:
        environment["HOME"] = place.folder
    if place.own_tmp:
        environment.pop("TMPDIR", None)
    if assignment.traceparent is not None:
        environment[VARIABLE] = assignment.traceparent
    environment |= given
    environment |= slot
    if SESSION_MARK in inherited:
        environment[SESSION_MARK] = inherited[SESSION_MARK]
    if assignment.shard is not None:
        environment["HELIX_SHARD_INDEX"], environment["HELIX_SHARD_COUNT"] = map(str, assignment.shard)
    # At the other levels a command cannot reach the control plane.
    if assignment.mac and not place.own_home:
        environment[acting.VARIABLE] = acting.text_of(assignment)
    return environment | {
        "HELIX_TASK_ID": assignment.task_id,
        "HELIX_ATTEMPT": str(assignment.attempt),
        ATTEMPT_DIR: place.folder,
    }


def device_variables(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables that say which accelerators this process may use."""
    return {name: environment[name] for name in ACCELERATORS if name in environment}


def slot_variables(executor: Mapping[str, str], resources: Collection[str]) -> dict[str, str]:
    """Return which devices are a slot's, from its executor's variables and the resources that it holds.

    Without a GPU among these, none is to be seen.
    """
    given = device_variables(executor)
    return given if "gpu" in resources else given | NO_GPU


def server_variables(inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment of a starter: what commands are to inherit, and nothing secret."""
    kept = (*KEPT, SESSION_MARK, "LD_LIBRARY_PATH")
    return {"PATH": PATH_DEFAULT} | {name: inherited[name] for name in kept if name in inherited}
