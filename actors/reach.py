"""How a process reaches the actors: the way to the master, and calls to the others that end within a time.

The gateway holds one; tests give it another, whose actors die or hang.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Literal

from ray.exceptions import RayError, RayTaskError

from actors import names
from actors.local_link import LocalLink, RayLink
from helix_ray.elsewhere import Unavailable

log = logging.getLogger(__name__)

# Beside the time that a call may wait by its own will. One that is started again takes about as long.
CALL_S_MAX = 4.0
CALL_AGAIN_S = 0.1


class Reach:
    """Ray's named actors."""

    async def find(self, name: str) -> Any:
        """Return the handle of an actor; raises ValueError where there is none."""
        return await asyncio.to_thread(names.find, name)

    async def master(self) -> LocalLink | RayLink:
        """Return the way to the master: its socket where that can be reached, else Ray. Raises RayError, ValueError."""
        handle = await self.find(names.MASTER)
        info = await handle.info.remote()
        try:
            link = await LocalLink.connect(info["socket"])
            link.board = info["board"]
            return link
        except OSError:
            return RayLink(handle)

    async def history(self, method: str, *arguments: Any) -> dict[str, Any] | Unavailable | None:
        """Call the historian."""
        return await self._call("history", names.HISTORIAN, method, arguments, CALL_S_MAX)

    async def node(
        self, node_id: str, method: str, *arguments: Any, wait_s: float = 0.0
    ) -> dict[str, Any] | Unavailable | None:
        """Call a node's worker, which may take `wait_s` seconds of its own."""
        return await self._call("node", names.node_worker(node_id), method, arguments, CALL_S_MAX + wait_s)

    async def _call(
        self,
        who: Literal["history", "node"],
        name: str,
        method: str,
        arguments: tuple[Any, ...],
        limit_s: float,
    ) -> dict[str, Any] | Unavailable | None:
        """Call until there is an answer: an actor that starts again costs latency, one that stays away is Unavailable."""
        error: Exception | None = None
        try:
            async with asyncio.timeout(limit_s):
                while True:
                    try:
                        call = getattr(await self.find(name), method)
                        answer: dict[str, Any] | Unavailable | None = await call.remote(*arguments)
                    except RayTaskError:
                        log.exception("%s failed on a call of %s", name, method)
                        return Unavailable(who, "it failed on the question")
                    except (RayError, ValueError) as away:
                        error = away
                        await asyncio.sleep(CALL_AGAIN_S)
                    else:
                        return answer
        except TimeoutError:
            log.warning("%s does not answer: %s", name, error or f"silent for {limit_s:g} s")
            return Unavailable(who)
