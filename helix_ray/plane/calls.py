"""Calls that outlive a restart of the other end: the one loop that asks again, and the link to the master.

An actor that dies is back within seconds. So a call that found nobody, or lost its link, is sent again until
patience has run out; ids and keys are made once by the caller, so what was carried out before is recognised
(keys.py). Links say what happened (links.py); this file says for how long it is endured.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.orders import Recalled
from helix_ray.plane import names
from helix_ray.plane.links import CallFailed, LinkLost, Links, MasterLink
from helix_ray.plane.local_link import LocalLink
from helix_ray.plane.read_cache import ReadCache
from helix_ray.plane.told import RecallReply, Reply, SourceUnavailable, Who
from helix_ray.ports import STARTING, NotReady

log = logging.getLogger(__name__)

T = TypeVar("T")

AGAIN_S = 0.1
UNAVAILABLE = Rejected(
    ErrorCode.SERVICE_UNAVAILABLE, "The control plane does not respond", {"retry_after_s": 5}
)
NOT_READY_AGAIN_S = 2
# In place of an answer: it has to be asked for with patience.
AGAIN = object()


@dataclass(frozen=True, slots=True)
class AnswerTimeouts:
    """How long answers are waited for, beside the time that a question waits by its own will.

    The master is waited for longest: whoever asks it sees its restart as latency, and only then a refusal.
    """

    master_s: float = 60.0
    # The last call that is sent to the master is given at least this long.
    master_answer_s_min: float = 5.0
    # One that is started again takes about as long.
    actor_s: float = 4.0


class Away(Exception):
    """Nobody answered in time; says what was met last."""


async def until_answered(
    ask: Callable[[], Awaitable[T | NotReady]],
    patience_s: float,
    *,
    answer_s_min: float = 0.0,
    wait_s: float = 0.0,
    lost: Callable[[], None] = lambda: None,
) -> T | NotReady:
    """Ask until there is an answer; raises Away when there was none for `patience_s`, or CallFailed.

    NotReady comes back when it says why the other end cannot live, or when patience has run out. Each
    try may take what is left, `answer_s_min` at least, and `wait_s` beside. `lost` is called when a
    try found nobody, or hung.
    """
    clock = asyncio.get_running_loop().time
    end = clock() + patience_s
    while True:
        try:
            async with asyncio.timeout(max(end - clock(), answer_s_min) + wait_s):
                answer = await ask()
        except (LinkLost, TimeoutError) as error:
            lost()
            if clock() >= end:
                raise Away(repr(error)) from error
        else:
            if not isinstance(answer, NotReady) or answer.reason is not None or clock() >= end:
                return answer
        await asyncio.sleep(AGAIN_S)


class Calls:
    """How the plane reaches the master and the other actors; lives on one event loop."""

    def __init__(
        self,
        links: Links,
        cache: ReadCache | None = None,
        patience: AnswerTimeouts | None = None,
        linked: Callable[[], None] = lambda: None,
    ) -> None:
        """`cache` is told where each master's board is, and that a master is gone; `linked`
        is called with every link."""
        self._links = links
        self._cache = cache
        self._patience = patience or AnswerTimeouts()
        self._linked = linked
        self._link: MasterLink | None = None
        self._linking = asyncio.Lock()

    async def master(
        self, method: str, *arguments: Any, wait_s: float = 0.0, patience_s: float | None = None
    ) -> Any:
        """Return the master's answer, or a Rejected (SERVICE_UNAVAILABLE) when it stays away or cannot live.

        One that hangs is waited for as long as one that is away.
        """
        tried: MasterLink | None = None

        async def ask() -> Any:
            nonlocal tried
            tried = self._link
            if tried is None:
                tried = await self._link_up()
            return await tried.call(method, *arguments)

        patience = self._patience
        try:
            answer = await until_answered(
                ask,
                patience.master_s if patience_s is None else patience_s,
                answer_s_min=patience.master_answer_s_min,
                wait_s=wait_s,
                lost=lambda: self._let_go(tried),
            )
        except CallFailed:
            log.exception("the master failed in a call of %s", method)
            return UNAVAILABLE
        except Away as away:
            log.warning("the master does not respond: %s", away)
            return UNAVAILABLE
        return _not_ready(answer) if isinstance(answer, NotReady) else answer

    def begin(self, method: str, *arguments: Any, take: Callable[[Any], None]) -> bool:
        """Send a call to a master that is reached already, over its socket; False: nothing was sent.

        `take` gets what `master` would return, or AGAIN where that takes patience: the link is lost,
        or the master does not live. A call of every request goes this way, so it costs no task and
        no turn of the loop.
        """
        link = self._link
        if not isinstance(link, LocalLink):
            return False

        def taken(done: bool, answer: Any) -> None:
            timer.cancel()
            if done:
                take(AGAIN if isinstance(answer, NotReady) else answer)
            elif isinstance(answer, LinkLost):
                self._let_go(link)
                take(AGAIN)
            else:
                log.error("the master failed on a call of %s: %s", method, answer)
                take(UNAVAILABLE)

        def hung() -> None:
            log.warning("the master does not respond a call of %s", method)
            link.forget(number)
            self._let_go(link)
            take(UNAVAILABLE)

        try:
            number = link.begin(method, arguments, taken)
        except Exception:
            # Also what cannot be pickled: whoever asks with patience meets it again, and says so.
            return False
        timer = asyncio.get_running_loop().call_later(self._patience.master_s, hung)
        return True

    async def history(self, method: str, *arguments: Any) -> Reply:
        """Call the historian."""
        return await self._actor("history", names.HISTORIAN, method, arguments)

    async def recall(self, task_ids: tuple[str, ...], causes: tuple[str, ...], to_run: bool) -> RecallReply:
        """Have the historian recall tasks (helix_ray/plane/history.py)."""
        reply: Any = await self.history("recall", task_ids, causes, to_run)
        return reply if isinstance(reply, Recalled) else reply or Recalled(0, dict.fromkeys(task_ids))

    async def node(self, node_id: str, method: str, *arguments: Any, wait_s: float = 0.0) -> Reply:
        """Call a node's worker, which may take `wait_s` seconds of its own."""
        return await self._actor("node", names.node_worker(node_id), method, arguments, wait_s)

    async def _actor(
        self, who: Who, name: str, method: str, arguments: tuple[Any, ...], wait_s: float = 0.0
    ) -> Reply:
        try:
            reply: Reply | NotReady = await until_answered(
                lambda: self._links.call(name, method, *arguments), self._patience.actor_s, wait_s=wait_s
            )
        except CallFailed:
            log.exception("%s failed in a call of %s", name, method)
            return SourceUnavailable(who, "it failed to answer the question")
        except Away as away:
            log.warning("%s does not respond: %s", name, away)
            return SourceUnavailable(who)
        return SourceUnavailable(who, reply.reason or STARTING) if isinstance(reply, NotReady) else reply

    def close(self) -> None:
        """Let go of the master; what is under way is not waited for. Safe to call twice."""
        self._let_go(self._link)

    async def _link_up(self) -> MasterLink:
        async with self._linking:
            if self._link is None:
                self._linked()
                self._link = await self._links.master()
                if self._cache is not None:
                    self._cache.attach(self._link.board)
            return self._link

    def _let_go(self, link: MasterLink | None) -> None:
        """Forget a master that does not respond, and all that is only known to be current through it."""
        if self._link is link:
            self._link = None
            if self._cache is not None:
                self._cache.detach()
        if link is not None:
            link.close()


def _not_ready(said: NotReady) -> Rejected:
    """Return the refusal of a master that does not live yet."""
    reason = said.reason or STARTING
    details = {"retry_after_s": NOT_READY_AGAIN_S, "reason": reason}
    return Rejected(ErrorCode.SERVICE_UNAVAILABLE, f"The control plane is not ready: {reason}", details)
