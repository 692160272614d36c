"""Links over Ray. The only module of helix_ray that imports Ray, so it is imported
only where Ray is installed.

The master is called over its Unix socket where that can be reached (ADR 13), else through Ray. Ray's
exceptions do not leave this module.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.runtime_env import RuntimeEnv

from helix_ray.plane.links import CallFailed, LinkLost, MasterInfo, MasterLink
from helix_ray.plane.local_link import LocalLink
from helix_ray.plane.names import MASTER, NAMESPACE


class RayLinks:
    """Ray's named actors, as links.Links."""

    def __init__(self, namespace: str = NAMESPACE) -> None:
        self._namespace = namespace
        # A handle survives restarts of its actor; a lost one is looked up again.
        self._handles: dict[str, Any] = {}

    async def master(self) -> MasterLink:
        """Connect to the master over its socket where that can be reached, else
        through Ray. Raises LinkLost."""
        info: MasterInfo = await self.call(MASTER, "info")
        try:
            link = await LocalLink.connect(info["socket"])
        except OSError:
            return _ThroughRay(self)
        link.board = info["board"]
        return link

    async def call(self, actor: str, method: str, *arguments: Any) -> Any:
        """Call a method of a named actor. Raises LinkLost or CallFailed."""
        handle = self._handles.get(actor)
        if handle is None:
            handle = self._handles[actor] = await self._find(actor)
        try:
            return await getattr(handle, method).remote(*arguments)
        except RayTaskError as error:
            # The actor's log has the details; here it matters only that the connection was not the cause.
            raise CallFailed(str(error)) from error
        except RayError as error:
            self._handles.pop(actor, None)
            raise LinkLost(str(error)) from error

    async def _find(self, name: str) -> Any:
        try:
            return await asyncio.to_thread(ray.get_actor, name, namespace=self._namespace)
        except (ValueError, RayError) as error:
            raise LinkLost(f"cannot find actor {name}: {error}") from error


class _ThroughRay:
    """The master through Ray, for processes on other hosts, which cannot map its board either."""

    board = None

    def __init__(self, links: RayLinks) -> None:
        self._links = links

    async def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the master. Raises LinkLost or CallFailed."""
        return await self._links.call(MASTER, method, *arguments)

    def close(self) -> None:
        """Do nothing: there is no connection to close."""


def job_id() -> str:
    """Return the id of the Ray job that this process belongs to."""
    found: str = ray.get_runtime_context().get_job_id()
    return found


def node_id() -> str:
    """Return the id of the Ray node that this process is on."""
    found: str = ray.get_runtime_context().get_node_id()
    return found


def job_environment() -> dict[str, Any]:
    """Return the runtime environment of this process, with its folders as the packages that Ray made."""
    return dict(ray.get_runtime_context().runtime_env)


def checked_environment(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a runtime environment as Ray writes it; raises ValueError or TypeError for one that it
    refuses."""
    return dict(RuntimeEnv(**fields))


def join(
    address: str | None, namespace: str = NAMESPACE, runtime_env: Mapping[str, Any] | None = None
) -> RayLinks:
    """Connect this process to a Ray cluster, unless it is connected, and return the links to Helix Ray on it.

    `runtime_env` is that of the job which begins. Raises ConnectionError without a Ray cluster, LookupError
    without Helix Ray on it, and ValueError for an environment where the job has begun.
    """
    if not ray.is_initialized():
        ray.init(address=address or "auto", runtime_env=None if runtime_env is None else dict(runtime_env))
    elif runtime_env is not None:
        raise ValueError(
            "this process is a Ray job already: pass its runtime_env to ray.init, or that of a call to submit"
        )
    try:
        ray.get_actor(MASTER, namespace=namespace)
    except ValueError as error:
        raise LookupError(str(error)) from error
    return RayLinks(namespace)
