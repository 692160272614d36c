"""The Python API inside Ray jobs: `import helix_ray as hx; cluster = hx.connect()`.

`connect` imports Ray, in helix_ray/plane/ray_links.py.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from helix_ray.cluster import local
from helix_ray.cluster.api import Cluster
from helix_ray.cluster.environments import Environments
from helix_ray.cluster.errors import (
    ClusterError,
    ClusterUnavailable,
    PayloadTooLarge,
    ResultLostError,
    StreamBroken,
    TaskCancelledError,
    TaskFailedError,
)
from helix_ray.cluster.functions import Function, function
from helix_ray.cluster.handles import Handle, as_completed, wait
from helix_ray.cluster.inferring import Inferred, infer
from helix_ray.core.errors import Refused
from helix_ray.execution import acting
from helix_ray.execution.runtime_env import own_environment
from helix_ray.plane.control import Plane
from helix_ray.plane.names import NAMESPACE

__all__ = [
    "Cluster",
    "ClusterError",
    "ClusterUnavailable",
    "Function",
    "Handle",
    "Inferred",
    "PayloadTooLarge",
    "Refused",
    "ResultLostError",
    "StreamBroken",
    "TaskCancelledError",
    "TaskFailedError",
    "as_completed",
    "connect",
    "function",
    "infer",
    "wait",
]


def connect(
    namespace: str = NAMESPACE, address: str | None = None, runtime_env: Mapping[str, Any] | None = None
) -> Cluster:
    """Connect to Helix Ray on the Ray cluster of this process, or on the one at `address`.

    A process outside a Ray cluster is connected to the cluster of `helix up` on this machine (HELIX_DATA_DIR,
    else ~/.helix-ray). Functions run in the job's runtime environment: the one that was passed to ray.init or
    `ray job submit`, or `runtime_env` where the job begins here.

    In a task everything is done for its owner, with the owner's rights and in the task's project; elsewhere
    for the Ray job of this process.

    Raises ClusterUnavailable without a Ray cluster, or without Helix Ray on it, and ValueError for a
    `runtime_env` where the job has begun.
    """
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        _find(address, imported=ray is not None)
    # Imported here: Ray reads its environment when it is imported.
    from helix_ray.plane.ray_links import checked_environment, job_environment, job_id, join, node_id

    try:
        links = join(address, namespace, runtime_env)
    except ConnectionError as error:
        raise ClusterUnavailable(f"cannot connect to a Ray cluster: {error}") from error
    except LookupError:
        message = (
            f"Helix Ray is not running in this Ray cluster (namespace {namespace}); start it with: helix up"
        )
        raise ClusterUnavailable(message) from None
    inherited = own_environment()
    job = job_environment() if inherited is None else json.loads(inherited[0] or "{}")
    who = acting.caller() or job_id()
    return Cluster(Plane(links), who, node_id(), namespace, Environments(job, checked_environment))


def _find(address: str | None, *, imported: bool) -> None:
    """Set the environment in which Ray finds its cluster; raises ClusterUnavailable where it would look for
    minutes in vain."""
    found = local.ray_environment(os.environ) if address is None else {}
    if found and imported:
        raise ClusterUnavailable(local.imported_too_early(found))
    silent = local.silent(address or found.get("RAY_ADDRESS") or os.environ.get("RAY_ADDRESS"))
    if silent is not None:
        raise ClusterUnavailable(f"cannot connect to a Ray cluster: {silent}")
    os.environ |= found
