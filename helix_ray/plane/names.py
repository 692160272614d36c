"""Names of the actors: data that other processes find them by, so never rename one."""

from __future__ import annotations

NAMESPACE = "helix"
MASTER = "helix-master"
HISTORIAN = "helix-historian"
# It keeps the name of what it has grown from.
SUPERVISOR = "helix-reconciler"
NODE_ID_CHARACTERS = 12


def node_worker(node_id: str) -> str:
    """Return the name of a node's worker actor."""
    return f"helix-node-{node_id[:NODE_ID_CHARACTERS]}"
