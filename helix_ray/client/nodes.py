"""The client's calls about the cluster: its status and nodes."""

from __future__ import annotations

from typing import Any

from helix_ray.client.session import ClientSession

Nodes = list[dict[str, Any]]


class NodeCalls:
    """The client's methods for nodes; answers are the dicts of docs/api.md."""

    _session: ClientSession

    def cluster_status(self) -> dict[str, Any]:
        """Return a summary of the master and all nodes."""
        status: dict[str, Any] = self._session.call("GET", "/harmony/cluster/status")
        return status

    def nodes(self) -> Nodes:
        """Return all nodes: the resources of each, what is free, and what uses the rest."""
        nodes: Nodes = self._session.call("GET", "/harmony/nodes")["nodes"]
        return nodes

    def node(self, node_id: str) -> dict[str, Any]:
        """Return one node."""
        node: dict[str, Any] = self._session.call("GET", f"/harmony/nodes/{node_id}")
        return node

    def drain_node(self, node_id: str) -> dict[str, Any]:
        """Drain a node: it gets no more tasks, and its running tasks finish."""
        node: dict[str, Any] = self._session.call("POST", f"/harmony/nodes/{node_id}/drain")
        return node

    def undrain_node(self, node_id: str) -> dict[str, Any]:
        """Undrain a node: it gets tasks again."""
        node: dict[str, Any] = self._session.call("POST", f"/harmony/nodes/{node_id}/undrain")
        return node
