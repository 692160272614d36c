"""Control planes of this process: with a node that takes everything and ends nothing."""

from __future__ import annotations

from helix_ray.core.orders import RegisterWorker
from helix_ray.core.policy import Policy
from helix_ray.testing import ManualClock, MemoryControlPlane


def memory() -> MemoryControlPlane:
    """Return the engine and its followers; their clock stands still."""
    plane = MemoryControlPlane(Policy(), ManualClock())
    plane.give(
        RegisterWorker(
            "node1", (), {"cpu": 1e6}, worker_id="worker-node1", kind="node", node_id="n1", boot="boot"
        )
    )
    return plane
