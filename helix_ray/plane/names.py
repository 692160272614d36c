"""Names of the actors. Other processes find the actors by them, so never rename one."""

from __future__ import annotations

NAMESPACE = "helix"
MASTER = "helix-master"
HISTORIAN = "helix-historian"
NOTIFIER = "helix-notifier"
# The supervisor keeps the name of its predecessor, so that a cluster has only one of them.
SUPERVISOR = "helix-reconciler"
# The SyncDevices actors have numbers from 0.
SYNC_DEVICES = "helix-sync-"
NODE_ID_CHARACTERS = 12


def sync_devices(shard: int) -> str:
    """Return the name of a SyncDevices actor."""
    return f"{SYNC_DEVICES}{shard}"


def node_worker(node_id: str) -> str:
    """Return the name of a node's worker actor."""
    return f"helix-node-{node_id[:NODE_ID_CHARACTERS]}"
