"""Uploaded folders of runtime environments: Ray keeps them beyond the end of the job that made them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import ray

from actors.ray_seams import keep_package
from helix_ray.execution.runtime_env import RuntimeEnv

log = logging.getLogger(__name__)


class PackageKeeper:
    """Has Ray keep packages for `keep_s` seconds, for tasks may outlive their job; 0 leaves it to Ray."""

    def __init__(self, keep_s: int) -> None:
        self._keep_s = keep_s
        self._keeping: set[asyncio.Task[None]] = set()

    async def keep(self, uris: Sequence[str]) -> None:
        """Keep these packages; what fails is logged."""
        for uri in uris if self._keep_s else ():
            try:
                await asyncio.to_thread(keep_package, uri, self._keep_s)
            except (RuntimeError, ray.exceptions.RayError) as error:
                # A task that needs it later fails and says so.
                log.warning("Ray does not keep %s: %s", uri, error)

    def keep_of(self, environment: RuntimeEnv | None) -> None:
        """Keep those of an environment, without waiting for it; on the event loop."""
        packages = environment.packages if environment is not None and self._keep_s else ()
        if packages:
            task = asyncio.get_running_loop().create_task(self.keep(packages))
            self._keeping.add(task)
            task.add_done_callback(self._keeping.discard)
