"""The client's calls about accelerators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helix_ray.client.session import ClientSession

if TYPE_CHECKING:
    from helix_ray.wire.acceleration import AccelerationOut, NodeDevicesOut


class AccelerationCalls:
    """The client's methods for accelerators; answers are the dicts of docs/api.md."""

    _session: ClientSession

    def acceleration(self, node_id: str | None = None) -> AccelerationOut:
        """Return the accelerators of the cluster, or of one node, and what models run with."""
        found: AccelerationOut = self._session.call("GET", "/harmony/ai/acceleration", node=node_id)
        return found

    def node_devices(self, node_id: str, points: int | None = None) -> NodeDevicesOut:
        """Return the devices of a node with the last points of their histories (default: an hour's)."""
        path = f"/harmony/nodes/{node_id}/devices"
        found: NodeDevicesOut = self._session.call("GET", path, points=points)
        return found
