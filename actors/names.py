"""Names and options of the actors: data that other processes find them by, so never rename one."""

from __future__ import annotations

from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from helix_ray.core.names import WORKER_PREFIX, is_node_name

NAMESPACE = "helix"
MASTER = "helix-master"
HISTORIAN = "helix-historian"
# It keeps the name of what it has grown from.
SUPERVISOR = "helix-reconciler"

# An async actor takes this many calls at once: long polls wait inside.
CALLS_AT_ONCE_MAX = 10_000


def node_worker(node_id: str) -> str:
    """Return the name of a node's worker actor."""
    return f"helix-node-{node_id[:12]}"


def worker_id(node_id: str, name: str | None = None) -> str:
    """Return the id under which a node's worker is registered: by the node's name where it has one that can be used."""
    return f"{WORKER_PREFIX}{name if name and is_node_name(name) else node_id[:12]}"


def detached(name: str, node_id: str) -> dict[str, Any]:
    """Return the options of a system actor: it outlives its creator, stays on its node and takes no CPU there."""
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
