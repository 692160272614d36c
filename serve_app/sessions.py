"""Who is behind a session, as this replica last heard, and never from longer ago than STALE_S.

A session that ends (logout, another password, a removed user) is known everywhere within STALE_S, because nothing older
than that is used: between FRESH_S and STALE_S what is known is used once more while it is asked for again, after that
the request waits for the answer. So a session in use costs the control plane two small questions each FRESH_S at most,
and no replica has to follow the facts. Roles are the user's of now, not those of the token.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.errors import ErrorCode, Refused, Rejected
from helix_ray.core.questions import GetSession, GetUser
from helix_ray.ports import ControlPlane
from helix_ray.security.tokens import Claims

FRESH_S = 0.3
STALE_S = 0.7
SESSIONS_KNOWN_MAX = 4_096

ENDED = Rejected(ErrorCode.UNAUTHORIZED, "The session has ended", {"reason": "session"})


@dataclass(frozen=True, slots=True)
class Known:
    """A session as of `asked_at` (monotonic seconds, before asking); no principal: it has ended."""

    principal: Principal | None
    expires_at: float
    asked_at: float


class SessionCache:
    """Sessions by id; to be used on one event loop."""

    def __init__(
        self,
        control: ControlPlane,
        *,
        clock: Callable[[], float] = time.monotonic,
        epoch: Callable[[], float] = time.time,
    ) -> None:
        self._control = control
        self._clock = clock
        self._epoch = epoch
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._asking: dict[str, asyncio.Task[Known]] = {}
        # All that is under way, also what is too old to be kept: the loop itself holds tasks weakly.
        self._running: set[asyncio.Task[Known]] = set()

    async def principal(self, claims: Claims) -> Principal:
        """Return who a verified token stands for now; raise Refused (UNAUTHORIZED) when the session has ended."""
        known = self._known.get(claims.session_id)
        age_s = self._clock() - known.asked_at if known is not None else STALE_S
        if known is None or age_s >= STALE_S:
            known = await asyncio.shield(self._ask(claims))
        elif age_s >= FRESH_S:
            self._ask(claims)
        found = known.principal
        if found is None or found.id != claims.user_id or known.expires_at <= self._epoch():
            raise Refused(ENDED)
        return found

    def forget(self) -> None:
        """Ask again for every session: one of them was just ended here."""
        self._known.clear()
        # Answers that are still on their way may be from before.
        self._asking.clear()

    async def close(self) -> None:
        """End what is being asked; safe to call twice."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _ask(self, claims: Claims) -> asyncio.Task[Known]:
        """Ask once for all requests of a session that wait."""
        session_id = claims.session_id
        task = self._asking.get(session_id)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._look_up(claims))
            self._asking[session_id] = task
            self._running.add(task)
            task.add_done_callback(lambda done: self._keep(session_id, done))
        return task

    def _keep(self, session_id: str, done: asyncio.Task[Known]) -> None:
        self._running.discard(done)
        failed = done.cancelled() or done.exception() is not None
        if self._asking.get(session_id) is not done:
            return
        del self._asking[session_id]
        if failed:
            return
        self._known[session_id] = done.result()
        self._known.move_to_end(session_id)
        if len(self._known) > SESSIONS_KNOWN_MAX:
            self._known.popitem(last=False)

    async def _look_up(self, claims: Claims) -> Known:
        asked_at = self._clock()
        session, user = await asyncio.gather(
            self._control.query(GetSession(claims.session_id), SYSTEM),
            self._control.query(GetUser(claims.user_id), SYSTEM),
        )
        for answer in (session, user):
            if isinstance(answer, Rejected) and answer.code is not ErrorCode.NOT_FOUND:
                raise Refused(answer)
        if isinstance(session, Rejected) or isinstance(user, Rejected) or session["user_id"] != user["id"]:
            return Known(None, 0.0, asked_at)
        principal = Principal(user["id"], user["username"], tuple(user["roles"]), session["id"])
        return Known(principal, session["expires_at"], asked_at)
