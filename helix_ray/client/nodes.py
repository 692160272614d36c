"""The client's calls about the cluster: its status and nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helix_ray.client.session import ClientSession

if TYPE_CHECKING:
    from helix_ray.wire.nodes import ClusterStatusOut, NodeOut


class NodeCalls:
    """The client's methods for nodes; answers are the dicts of docs/api.md."""

    _session: ClientSession

    def cluster_status(self) -> ClusterStatusOut:
        """Return a summary of the master and all nodes."""
        status: ClusterStatusOut = self._session.call("GET", "/harmony/cluster/status")
        return status

    def nodes(self) -> list[NodeOut]:
        """Return all nodes: the resources of each, what is free, and what uses the rest."""
        nodes: list[NodeOut] = self._session.call("GET", "/harmony/nodes")["nodes"]
        return nodes

    def node(self, node_id: str) -> NodeOut:
        """Return one node."""
        node: NodeOut = self._session.call("GET", f"/harmony/nodes/{node_id}")
        return node

    def drain_node(self, node_id: str) -> NodeOut:
        """Drain a node: it gets no more tasks, and its running tasks finish."""
        node: NodeOut = self._session.call("POST", f"/harmony/nodes/{node_id}/drain")
        return node

    def undrain_node(self, node_id: str) -> NodeOut:
        """Undrain a node: it gets tasks again."""
        node: NodeOut = self._session.call("POST", f"/harmony/nodes/{node_id}/undrain")
        return node
