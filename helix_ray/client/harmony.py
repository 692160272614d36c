"""The client's calls about the cluster: its status and nodes, where tasks go and why, and quotas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from helix_ray.client.session import ClientSession
from helix_ray.client.transport import Request

Nodes = list[dict[str, Any]]
Quotas = list[dict[str, Any]]


class HarmonyCalls:
    """The part of the client that is about the cluster; answers are the dicts of docs/api.md."""

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

    def distribute(
        self,
        task_id: str,
        strategy: str | None = None,
        capabilities: Iterable[str] = (),
        max_nodes: int | None = None,
        dry_run: bool = False,
        *,
        idempotency_key: str | None = None,
    ) -> dict[str, Any]:
        """Start a pending task now, its shards on several nodes; with `dry_run`, only say where it would go.

        Where nothing fits, `distributed` is False and the answer says why and what would help. One that runs
        where it is wanted is left there: `already_running` is True. Raises Conflict for one that runs
        elsewhere, waits or has ended.
        """
        wanted = {
            "task_id": task_id,
            "distribution_strategy": strategy,
            "required_capabilities": [*capabilities] or None,
            "max_nodes": max_nodes,
            "dry_run": dry_run or None,
        }
        body = {name: value for name, value in wanted.items() if value is not None}
        request = Request("POST", "/harmony/distribute", body=body, idempotency_key=idempotency_key)
        answer: dict[str, Any] = self._session.send(request).data
        return answer

    def explain(self, task_id: str) -> dict[str, Any]:
        """Return why a task is where it is, node by node and in sum, and what would place it now."""
        answer: dict[str, Any] = self._session.call("GET", f"/tasks/{task_id}/explain")
        return answer

    def quotas(self) -> Quotas:
        """Return what projects may hold and what they use."""
        quotas: Quotas = self._session.call("GET", "/harmony/quotas")["quotas"]
        return quotas

    def set_quota(self, project_id: str, limits: Mapping[str, float], weight: float = 1.0) -> dict[str, Any]:
        """Bound what a project may hold at once, and weigh its fair share; replaces what was set before.

        Limits are by resource name (`cpu`, `gpu`, ...), `tasks` that run at
        once and `queued` unfinished ones.
        """
        body = {"limits": dict(limits), "weight": weight}
        # Project ids are free text: one may hold a question mark.
        path = f"/harmony/quotas/{quote(project_id, safe='')}"
        quota: dict[str, Any] = self._session.call("PUT", path, body)
        return quota
