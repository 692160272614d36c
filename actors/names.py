"""Names and options of the actors. helix_ray/plane/names.py has the names that the plane looks up."""

from __future__ import annotations

from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from helix_ray.core.names import WORKER_PREFIX, is_node_name
from helix_ray.plane.names import (
    HISTORIAN,
    MASTER,
    NAMESPACE,
    NOTIFIER,
    SUPERVISOR,
    SYNC_DEVICES,
    node_worker,
    sync_devices,
)

__all__ = [
    "HISTORIAN", "MASTER", "NAMESPACE", "NOTIFIER", "SUPERVISOR", "SYNC_DEVICES", "detached", "find",
    "node_worker", "sync_devices", "worker_id",
]  # fmt: skip

# An async actor takes this many calls at once: long polls wait inside.
CALLS_AT_ONCE_MAX = 10_000


def worker_id(node_id: str, name: str | None = None) -> str:
    """Return the id under which a node's worker is registered: by the node's name
    where it has a valid one."""
    return f"{WORKER_PREFIX}{name if name and is_node_name(name) else node_id[:12]}"


def detached(name: str, node_id: str) -> dict[str, Any]:
    """Return the options of a system actor: it outlives its creator, stays on its node
    and uses no CPU resource."""
    return {
        "name": name,
        "namespace": NAMESPACE,
        "lifetime": "detached",
        "get_if_exists": True,
        "num_cpus": 0,
        "max_restarts": -1,
        "max_task_retries": 0,
        "max_concurrency": CALLS_AT_ONCE_MAX,
        "scheduling_strategy": NodeAffinitySchedulingStrategy(node_id, soft=False),
    }


def find(name: str) -> Any:
    """Return the handle of a named actor; raises ValueError where there is none."""
    return ray.get_actor(name, namespace=NAMESPACE)
