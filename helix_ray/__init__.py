"""Helix Ray: a secured, audited control plane for distributed AI work on a Ray cluster.

Names are imported when they are first used, so that `import helix_ray` costs nothing and the core stays free of
what the client and the cluster API need.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from helix_ray.client.api import Client
    from helix_ray.cluster import as_completed, connect, function, wait
    from helix_ray.execution.progress import progress

__version__ = "0.1.0"
__all__ = ["Client", "as_completed", "connect", "function", "progress", "wait"]

_HOMES = {
    "Client": "helix_ray.client.api",
    "as_completed": "helix_ray.cluster",
    "connect": "helix_ray.cluster",
    "function": "helix_ray.cluster",
    "progress": "helix_ray.execution.progress",
    "wait": "helix_ray.cluster",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'helix_ray' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
