"""The client's calls about quotas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

from helix_ray.client.session import ClientSession

if TYPE_CHECKING:
    from helix_ray.wire.quotas import QuotaOut, QuotaSetOut


class QuotaCalls:
    """The client's methods for quotas; answers are the dicts of docs/api.md."""

    _session: ClientSession

    def quotas(self) -> list[QuotaOut]:
        """Return the quotas of projects and their use."""
        quotas: list[QuotaOut] = self._session.call("GET", "/harmony/quotas")["quotas"]
        return quotas

    def set_quota(self, project_id: str, limits: Mapping[str, float], weight: float = 1.0) -> QuotaSetOut:
        """Set the quota of a project and the weight of its fair share; replaces the present quota.

        Limits are by resource name (`cpu`, `gpu`, ...), and for `tasks` running at a time and
        `queued` unfinished ones.
        """
        body = {"limits": dict(limits), "weight": weight}
        # Project ids are free text, and may contain a question mark.
        path = f"/harmony/quotas/{quote(project_id, safe='')}"
        quota: QuotaSetOut = self._session.call("PUT", path, body)
        return quota
