"""The environment of a command, and a prefix so that it cannot outlive its executor."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")
"""Variables of the executor that a command gets."""

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

SESSION_MARK = "HELIX_UP_ID"
"""Marks the processes of one `helix up`, no secret: by it they are all found when its parent was killed."""

PATH_DEFAULT = "/usr/local/bin:/usr/bin:/bin"

_LAUNCHER = str(Path(__file__).with_name("launcher.py"))


def command_environment(
    given: Mapping[str, str],
    task_id: str,
    attempt: int,
    inherited: Mapping[str, str],
    shard: tuple[int, int] | None = None,
) -> dict[str, str]:
    """Return a command's whole environment: a few kept variables, those of the task, and its id.

    Nothing else of the executor's environment is passed on, so no setting, RAY_* or token variable leaks.
    """
    environment = {"PATH": PATH_DEFAULT}
    environment |= {name: inherited[name] for name in KEPT + ACCELERATORS if name in inherited}
    environment |= given
    if SESSION_MARK in inherited:
        environment[SESSION_MARK] = inherited[SESSION_MARK]
    if shard is not None:
        environment |= {"HELIX_SHARD_INDEX": str(shard[0]), "HELIX_SHARD_COUNT": str(shard[1])}
    return environment | {"HELIX_TASK_ID": task_id, "HELIX_ATTEMPT": str(attempt)}


def launch_prefix(parent_pid: int) -> list[str]:
    """Return an argv prefix with which the kernel sends SIGKILL to the process when the
    thread that started it dies.

    A set-user-id program clears the setting again (prctl(2), PR_SET_PDEATHSIG).
    """
    return [sys.executable, "-I", "-S", _LAUNCHER, str(parent_pid)]
