"""The client's calls about the placement of tasks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from helix_ray.client.session import ClientSession
from helix_ray.client.transport import Request

if TYPE_CHECKING:
    from helix_ray.wire.placement import DistributeOut, ExplainOut


class PlacementCalls:
    """The client's methods for placement; answers are the dicts of docs/api.md."""

    _session: ClientSession

    def distribute(
        self,
        task_id: str,
        strategy: str | None = None,
        capabilities: Iterable[str] = (),
        max_nodes: int | None = None,
        dry_run: bool = False,
        *,
        idempotency_key: str | None = None,
    ) -> DistributeOut:
        """Start a pending task now, its shards on several nodes; with `dry_run`, only
        return where it would go.

        Where nothing fits, `distributed` is False and the answer says why and what would help. A task that
        already runs on suitable nodes stays there: `already_running` is True. Raises Conflict for a task that
        runs elsewhere, waits or has ended.
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
        answer: DistributeOut = self._session.send(request).data
        return answer

    def explain(self, task_id: str) -> ExplainOut:
        """Explain the placement of a task, for each node and in sum, and what would place it now."""
        answer: ExplainOut = self._session.call("GET", f"/tasks/{task_id}/explain")
        return answer
