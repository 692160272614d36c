"""The client's calls about quotas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from helix_ray.client.session import ClientSession

Quotas = list[dict[str, Any]]


class QuotaCalls:
    """The part of the client that is about quotas; answers are the dicts of docs/api.md."""

    _session: ClientSession

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
