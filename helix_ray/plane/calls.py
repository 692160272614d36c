"""Calls that survive a restart of the other end: the only retry loop, and the link to the master.

An actor that dies is restarted within seconds. So a call that could not connect, or lost its link, is sent
again until its patience has run out; the caller makes ids and keys once, so a repeated order is recognised
(keys.py). Links report what happened to a call (links.py); this file decides for how long to retry.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.orders import Recalled
from helix_ray.core.orders.kind import Detail
from helix_ray.plane import names
from helix_ray.plane.links import CallFailed, LinkLost, Links, MasterLink
from helix_ray.plane.local_link import LocalLink
from helix_ray.plane.read_cache import ReadCache
from helix_ray.plane.responses import RecallReply, Reply, SourceUnavailable, Who
from helix_ray.ports import STARTING, NotReady

log = logging.getLogger(__name__)

T = TypeVar("T")

AGAIN_S = 0.1
UNAVAILABLE = Rejected(
    ErrorCode.SERVICE_UNAVAILABLE, "The control plane does not respond", {"retry_after_s": 5}
)
NOT_READY_AGAIN_S = 2
# In place of a response: the call must be repeated by `master`, which retries.
AGAIN = object()


@dataclass(frozen=True, slots=True)
class AnswerTimeouts:
    """How long to wait for responses, in addition to the time that a question itself may wait.

    The patience for the master is the longest, so that callers see its restart only as latency.
    """

    master_s: float = 60.0
    # The last call to the master may take at least this long.
    master_answer_s_min: float = 5.0
    # About the time that a restart of an actor takes.
    actor_s: float = 4.0


class Away(Exception):
    """Nothing responded in time; its message is the last error."""


async def until_answered(
    ask: Callable[[], Awaitable[T | NotReady]],
    patience_s: float,
    *,
    answer_s_min: float = 0.0,
    wait_s: float = 0.0,
    lost: Callable[[], None] = lambda: None,
) -> T | NotReady:
    """Repeat a call until there is a response; raises Away when there was none for
    `patience_s`, or CallFailed.

    NotReady is returned when it contains a fatal reason, or when the patience has run out. Each try may
    take the time that is left, at least `answer_s_min`, plus `wait_s`. `lost` is called when a try
    could not connect, or hung.
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
    """The plane's calls of the master and the other actors; for use on one event loop."""

    def __init__(
        self,
        links: Links,
        cache: ReadCache | None = None,
        patience: AnswerTimeouts | None = None,
        linked: Callable[[], None] = lambda: None,
    ) -> None:
        """`cache` is attached to each master's board, and detached when the master is gone; `linked`
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
        """Return the master's response, or a Rejected (SERVICE_UNAVAILABLE) when it
        stays away or cannot start.

        The patience is the same for a master that hangs.
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
        """Send a call to a connected master over its socket; False where nothing was sent.

        `take` gets what `master` would return, or AGAIN where the call must be retried: the link is
        lost, or the master is not ready. Every request makes such a call, so it costs no asyncio task
        and no iteration of the loop.
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
            log.warning("the master does not respond to a call of %s", method)
            link.forget(number)
            self._let_go(link)
            take(UNAVAILABLE)

        try:
            number = link.begin(method, arguments, taken)
        except Exception:
            # Pickling errors too: `master` raises them again, and reports them.
            return False
        timer = asyncio.get_running_loop().call_later(self._patience.master_s, hung)
        return True

    async def history(self, method: str, *arguments: Any) -> Reply[Any]:
        """Call the historian."""
        return await self._actor("history", names.HISTORIAN, method, arguments)

    async def notifier(self, method: str, *arguments: Any) -> Reply[Any]:
        """Call the notifier."""
        return await self._actor("webhooks", names.NOTIFIER, method, arguments)

    async def recall(self, task_ids: tuple[str, ...], causes: tuple[str, ...], detail: Detail) -> RecallReply:
        """Ask the historian for tasks that have left memory (helix_ray/plane/history.py)."""
        reply: Any = await self.history("recall", task_ids, causes, detail)
        return reply if isinstance(reply, Recalled) else reply or Recalled(0, dict.fromkeys(task_ids))

    async def node(self, node_id: str, method: str, *arguments: Any, wait_s: float = 0.0) -> Reply[Any]:
        """Call a node's worker, which may itself wait `wait_s` seconds."""
        return await self._actor("node", names.node_worker(node_id), method, arguments, wait_s)

    async def sync(self, shard: int, method: str, *arguments: Any, wait_s: float = 0.0) -> Reply[Any]:
        """Call a SyncDevices actor, which may itself wait `wait_s` seconds."""
        return await self._actor("sync", names.sync_devices(shard), method, arguments, wait_s)

    async def file(self, digest: str, offset: int) -> Reply[bytes]:
        """Read a piece of a file of the head's store."""
        return await self._actor("files", names.SUPERVISOR, "read_blob", (digest, offset))

    async def _actor(
        self, who: Who, name: str, method: str, arguments: tuple[Any, ...], wait_s: float = 0.0
    ) -> Reply[Any]:
        try:
            reply: Reply[Any] | NotReady = await until_answered(
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
        """Close the link to the master without waiting for calls under way; safe to call twice."""
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
        """Close the link to a master that does not respond, and detach the cache, which depends on it."""
        if self._link is link:
            self._link = None
            if self._cache is not None:
                self._cache.detach()
        if link is not None:
            link.close()


def _not_ready(said: NotReady) -> Rejected:
    """Return the refusal for a master that is not ready."""
    reason = said.reason or STARTING
    details = {"retry_after_s": NOT_READY_AGAIN_S, "reason": reason}
    return Rejected(ErrorCode.SERVICE_UNAVAILABLE, f"The control plane is not ready: {reason}", details)
