"""Helix Ray: a secured, audited control plane for distributed AI work on a Ray cluster.

Names are imported on first use, so that `import helix_ray` is cheap and the core does not load what the
client and the cluster API need.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from helix_ray.client.api import Client
    from helix_ray.client.errors import HelixError
    from helix_ray.cluster import (
        Cluster,
        ClusterError,
        ClusterUnavailable,
        Function,
        Handle,
        Inferred,
        PayloadTooLarge,
        ResultLostError,
        StreamBroken,
        TaskCancelledError,
        TaskFailedError,
        as_completed,
        connect,
        function,
        infer,
        wait,
    )
    from helix_ray.execution.progress import progress, shard

__version__ = "0.1.0"
__all__ = [
    "Client",
    "Cluster",
    "ClusterError",
    "ClusterUnavailable",
    "Function",
    "Handle",
    "HelixError",
    "Inferred",
    "PayloadTooLarge",
    "ResultLostError",
    "StreamBroken",
    "TaskCancelledError",
    "TaskFailedError",
    "as_completed",
    "connect",
    "function",
    "infer",
    "progress",
    "shard",
    "wait",
]

_ELSEWHERE = {
    "Client": "helix_ray.client.api",
    "HelixError": "helix_ray.client.errors",
    "progress": "helix_ray.execution.progress",
    "shard": "helix_ray.execution.progress",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'helix_ray' has no attribute {name!r}")
    value = getattr(import_module(_ELSEWHERE.get(name, "helix_ray.cluster")), name)
    globals()[name] = value
    return value
