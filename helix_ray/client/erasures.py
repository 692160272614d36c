"""The client's calls about erasing."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import quote

from helix_ray.client.session import ClientSession

if TYPE_CHECKING:
    from helix_ray.wire.erasures import ErasureOut

ASK_EVERY_S = 0.5


class ErasureCalls:
    """The part of the client that is about erasing; answers are the dicts of
    docs/api.md. For administrators."""

    _session: ClientSession

    def erase(self, reason: str, tasks: Iterable[str] = (), users: Iterable[str] = ()) -> ErasureOut:
        """Ask to have erased what concerns tasks and users, by id; it cannot be undone."""
        body = {"tasks": [*tasks], "users": [*users], "reason": reason}
        erasure: ErasureOut = self._session.call("POST", "/aurora/erasures", body)
        return erasure

    def erasures(self) -> list[ErasureOut]:
        """Return the erasures, the newest first."""
        erasures: list[ErasureOut] = self._session.call("GET", "/aurora/erasures")["erasures"]
        return erasures

    def erasure(self, erasure_id: str) -> ErasureOut:
        """Return one erasure."""
        erasure: ErasureOut = self._session.call("GET", f"/aurora/erasures/{quote(erasure_id, safe='')}")
        return erasure

    def wait_for_erasure(self, erasure_id: str) -> ErasureOut:
        """Return an erasure when it is completed."""
        while (erasure := self.erasure(erasure_id))["status"] != "completed":
            time.sleep(ASK_EVERY_S)
        return erasure
