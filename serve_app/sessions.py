"""A replica's cache of sessions and API tokens, never older than STALE_S.

The end of a session (logout, another password, a removed user) takes effect everywhere within STALE_S,
because no older entry is used: between FRESH_S and STALE_S an entry is used while it is refreshed, after that
the request waits for the answer. So a session in use costs the control plane at most one small question every
FRESH_S, and no replica has to follow the facts. Roles are the user's current ones, not those in the token.

API tokens are looked up by their hash under the same rule. For an unknown token the edge asks the control
plane before it counts the request; for a known one, however old, it counts the request for that user.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.decide.tokens import USE_NOTED_EVERY_S
from helix_ray.core.ended import refusal
from helix_ray.core.errors import ErrorCode, Refused, Rejected
from helix_ray.core.orders import NoteTokenUse, Order, Receipt
from helix_ray.core.orders.kind import NoData
from helix_ray.core.questions import Identify
from helix_ray.ports import ControlPlane
from helix_ray.security.api_tokens import hash_api_token
from helix_ray.security.tokens import Claims
from helix_ray.wire.ids import new_seed

log = logging.getLogger(__name__)

FRESH_S = 0.3
STALE_S = 0.7
SESSIONS_KNOWN_MAX = 4_096

UNKNOWN = refusal("unknown", None)


@dataclass(frozen=True, slots=True)
class Known:
    """A session or API token as of `asked_at` (monotonic seconds, taken before the question).

    Without a principal it has ended or never existed, and `refusal` says why.
    """

    principal: Principal | None
    expires_at: float
    asked_at: float
    refusal: Rejected | None = None


class SessionCache:
    """Caches sessions by id and API tokens by hash; for use on one event loop."""

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
        # Questions under way, which keeps them alive: the loop has only weak references to tasks.
        self._running: set[asyncio.Task[Known]] = set()
        self._noting: dict[str, asyncio.Task[Receipt[NoData] | Rejected]] = {}

    async def principal(self, claims: Claims) -> Principal:
        """Return the current principal of a verified token; raise Refused (UNAUTHORIZED)
        when the session has ended."""
        known = self._known.get(claims.session_id or claims.token_hash)
        age_s = self._clock() - known.asked_at if known is not None else STALE_S
        if known is None or age_s >= STALE_S:
            known = await asyncio.shield(self._ask(claims))
        elif age_s >= FRESH_S:
            self._ask(claims)
        found = known.principal
        if found is None or found.id != claims.user_id:
            raise Refused(known.refusal or UNKNOWN)
        if known.expires_at <= self._epoch():
            raise Refused(refusal("expired", known.expires_at))
        return found

    async def identified(self, claims: Claims) -> tuple[Principal, float]:
        """Return the principal of a verified token as of now, not of a moment ago, and when their session or
        token ends (epoch seconds); raise Refused (UNAUTHORIZED) when it has ended."""
        known = await self._look_up(claims)
        if known.principal is None or known.principal.id != claims.user_id:
            raise Refused(known.refusal or UNKNOWN)
        return known.principal, known.expires_at

    async def claims(self, token: str) -> Claims:
        """Return the claims of an API token; raise Refused when its checksum is wrong, or it
        does not exist (any more).

        `principal` checks whether it is still valid.
        """
        hashed = hash_api_token(token)
        known = self._known.get(hashed)
        if known is None or known.principal is None:
            known = await asyncio.shield(self._ask(_claims_of(hashed, None)))
        if known.principal is None:
            raise Refused(known.refusal or UNKNOWN)
        return _claims_of(hashed, known.principal)

    def forget(self) -> None:
        """Refresh every session: one of them was just ended here."""
        self._known.clear()
        # Answers still under way may be older than the change.
        self._asking.clear()

    async def close(self) -> None:
        """Cancel questions under way; safe to call twice."""
        running: list[asyncio.Task[Any]] = [*self._running, *self._noting.values()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _ask(self, claims: Claims) -> asyncio.Task[Known]:
        """Ask once for all waiting requests of a session."""
        session_id = claims.session_id or claims.token_hash
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
        found = done.result()
        self._known[session_id] = found
        # Unknown tokens are evicted first: guesses cannot push out entries in use.
        self._known.move_to_end(session_id, last=found.principal is not None)
        if len(self._known) > SESSIONS_KNOWN_MAX:
            self._known.popitem(last=False)

    async def _look_up(self, claims: Claims) -> Known:
        asked_at = self._clock()
        question = Identify(claims.session_id or None, claims.token_hash or None)
        answer = await self._control.query(question, SYSTEM)
        if isinstance(answer, Rejected):
            if answer.code is not ErrorCode.UNAUTHORIZED:
                raise Refused(answer)
            return Known(None, 0.0, asked_at, answer)
        principal = Principal(
            answer["user_id"], answer["username"], tuple(answer["roles"]), answer["session"], answer["token"],
            answer["projects"],
        )  # fmt: skip
        if principal.token is not None:
            self._note_use(principal.token, answer["last_used_at"] or 0.0)
        return Known(principal, answer["expires_at"], asked_at)

    def _note_use(self, token_id: str, noted_at: float) -> None:
        """Record the use of an API token, in the background and rarely."""
        if self._epoch() - noted_at < USE_NOTED_EVERY_S or token_id in self._noting:
            return
        order = Order(NoteTokenUse(token_id), SYSTEM, "req-token-use", new_seed())
        task = asyncio.get_running_loop().create_task(self._control.execute(order))
        self._noting[token_id] = task
        task.add_done_callback(lambda done: self._noted(token_id, done))

    def _noted(self, token_id: str, done: asyncio.Task[Receipt[NoData] | Rejected]) -> None:
        del self._noting[token_id]
        if not done.cancelled() and done.exception() is not None:
            log.warning("could not record the use of %s", token_id, exc_info=done.exception())


def _claims_of(token_hash: str, owner: Principal | None) -> Claims:
    """Return an API token in the form of an access token's claims."""
    if owner is None:
        return Claims(
            user_id="",
            name="",
            roles=(),
            session_id="",
            token_id="",
            issued_at=0,
            expires_at=0,
            token_hash=token_hash,
        )
    return Claims(
        user_id=owner.id,
        name=owner.name,
        roles=owner.roles,
        session_id="",
        token_id=owner.token or "",
        issued_at=0,
        expires_at=0,
        token_hash=token_hash,
    )
