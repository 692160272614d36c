"""The client's calls about the cluster: its status and nodes."""

from __future__ import annotations

from typing import Any

from helix_ray.client.session import ClientSession

Nodes = list[dict[str, Any]]


class NodeCalls:
    """The part of the client that is about the nodes of the cluster; answers are the dicts of docs/api.md."""

    _session: ClientSession

    def cluster_status(self) -> dict[str, Any]:
        """Return the master and all nodes in short."""
        status: dict[str, Any] = self._session.call("GET", "/harmony/cluster/status")
        return status

    def nodes(self) -> Nodes:
        """Return all nodes, whole: what each has, what is free, and who uses the rest."""
        nodes: Nodes = self._session.call("GET", "/harmony/nodes")["nodes"]
        return nodes

    def node(self, node_id: str) -> dict[str, Any]:
        """Return one node."""
        node: dict[str, Any] = self._session.call("GET", f"/harmony/nodes/{node_id}")
        return node

    def drain_node(self, node_id: str) -> dict[str, Any]:
        """Give a node no more tasks; what it runs, it finishes."""
        node: dict[str, Any] = self._session.call("POST", f"/harmony/nodes/{node_id}/drain")
        return node

    def undrain_node(self, node_id: str) -> dict[str, Any]:
        """Give a node tasks again."""
        node: dict[str, Any] = self._session.call("POST", f"/harmony/nodes/{node_id}/undrain")
        return node
