"""The processes of a node's executors: Ray starts them as actors, and we talk to them over a
Unix socket and end them.

It reports through four callbacks and decides nothing: helix_ray/execution/node_state.py does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.runtime_env import RuntimeEnv as RayEnvironment
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.devices import BYTES_PER_MB
from actors.executor import ExecutorActor
from helix_ray.core.blocking import kept
from helix_ray.core.state import Demand
from helix_ray.execution.assignment import (
    Assignment,
    Cancel,
    GiveBack,
    Hello,
    Message,
    Report,
    ReportItem,
    Returned,
    Run,
)
from helix_ray.execution.descendants import end_below, end_marked
from helix_ray.execution.effects import Key
from helix_ray.execution.frames import FrameError, FrameReader, encode
from helix_ray.execution.own_folder import executors_folder
from helix_ray.execution.runtime_env import RuntimeEnv
from helix_ray.execution.starter.sweeping import remove_folder
from helix_ray.execution.wear import Bounds
from helix_ray.socket_folders import SocketFolder

log = logging.getLogger(__name__)

_EXECUTOR: Any = ray.remote(ExecutorActor)

RECEIVE_BYTES = 256 * 1024
# The loop stands still for as long.
KILL_WAIT_S = 1.0
# How long Ray may take to end an idle executor.
RAY_ENDS_S_MAX = 5.0
# Resources for which Ray has separate arguments.
RAY_OPTIONS = {"cpu": "num_cpus", "gpu": "num_gpus"}


@dataclass(slots=True)
class _Link:
    actor: Any
    in_environment: bool = False
    pid: int | None = None
    handle: int | None = None
    writer: asyncio.StreamWriter | None = None
    devices: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Callbacks:
    """The callbacks of the host: an executor is ready, sent a report, returned attempts, cannot have its
    runtime environment (and why), or is gone."""

    ready: Callable[[str], None]
    said: Callable[[str, Sequence[ReportItem]], None]
    returned: Callable[[str, tuple[Key, ...]], None]
    environment_failed: Callable[[str, str], None]
    gone: Callable[[str], None]


class ExecutorHost:
    """Starts, feeds and ends executors on this node."""

    def __init__(
        self, node_id: str, allow: tuple[str, ...], models_dir: str, bounds: Bounds, callbacks: Callbacks
    ) -> None:
        self._node_id = node_id
        self._bounds = bounds
        self._allow = allow
        self._models_dir = models_dir
        self._callbacks = callbacks
        self._links: dict[str, _Link] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.AbstractServer | None = None
        self._folder: SocketFolder | None = None
        # What functions leave is kept there; set before an executor is started.
        self.attempts = Path()

    async def listen(self) -> None:
        """Open the socket; safe to call twice. Raises OSError; the next call then starts afresh."""
        if self._server is None:
            # Only this user's processes may connect.
            self._folder = SocketFolder(self._node_id[:12])
            self._path = str(self._folder.path / "executors.sock")
            self._server = await asyncio.start_unix_server(self._serve, self._path, limit=RECEIVE_BYTES)

    def start(
        self, slot_id: str, demand: Demand, environment: RuntimeEnv | None, *, on_released: bool
    ) -> None:
        """Ask Ray for an executor with these resources on this node, in this environment; `ready` is
        called when it has connected. Raises ValueError where Ray rejects the resources.

        Of one that runs `on_released` CPUs, another executor holds them: Ray has no call with which an actor
        gives its CPUs back for a while, and would never start one that asked for them again.
        """
        cpus = dict(demand).get("cpu", 0.0)
        options = _options(kept(demand) if on_released else demand, self._node_id)
        if environment is not None:
            try:
                options["runtime_env"] = RayEnvironment(**environment.fields())
            except (TypeError, ValueError) as error:
                self._callbacks.environment_failed(slot_id, str(error))
                self._callbacks.gone(slot_id)
                return
        actor = _EXECUTOR.options(**options).remote()
        self._links[slot_id] = _Link(actor, in_environment=environment is not None)
        text = environment.text if environment is not None else None
        done = actor.serve.remote(
            self._path,
            slot_id,
            self._allow,
            self._models_dir,
            cpus,
            self._bounds,
            text,
            str(self.attempts),
        )
        self._keep(self._watch(slot_id, done))

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _let_ray_end(self, slot_id: str, link: _Link) -> None:
        _end_actor(link)
        assert link.handle is not None
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(link.handle, ended.set)
        try:
            await asyncio.wait_for(ended.wait(), RAY_ENDS_S_MAX)
        except TimeoutError:
            log.warning("executor %s did not end within %s s: it is killed", slot_id, RAY_ENDS_S_MAX)
        finally:
            loop.remove_reader(link.handle)
            self._release(slot_id, link)
            end_marked(slot_id)

    async def _watch(self, slot_id: str, done: Any) -> None:
        try:
            await done
        except ray.exceptions.RayError as error:
            log.info("executor %s ended: %s", slot_id, str(error).splitlines()[0])
            link = self._links.get(slot_id)
            if link is not None and link.in_environment and link.writer is None:
                # It never came to run: there is nothing that another start would do better.
                self._callbacks.environment_failed(slot_id, str(error))
        self._lost(slot_id)

    def run(self, slot_id: str, batch: tuple[Assignment, ...]) -> None:
        """Send attempts to an executor."""
        self._send(slot_id, Run(batch))

    def devices(self, slot_id: str) -> dict[str, str]:
        """Return the variables that say which accelerators Ray gave to an executor."""
        link = self._links.get(slot_id)
        return link.devices if link is not None else {}

    def cancel(self, slot_id: str, key: Key) -> None:
        """Ask an executor to end an attempt."""
        self._send(slot_id, Cancel(*key))

    def ask_back(self, slot_id: str) -> None:
        """Ask an executor for the attempts that it has not started; `returned` is called with them."""
        self._send(slot_id, GiveBack())

    def end(self, slot_id: str, *, at_once: bool = True) -> None:
        """End an executor's process and release its resources; `gone` is not called for it.

        Ray ends it, and knows that it was meant, unless something may still run in it: between the order and
        the end that could start a process which nobody would find.
        """
        link = self._links.pop(slot_id, None)
        if link is None:
            return
        if at_once or link.handle is None:
            self._release(slot_id, link)
        else:
            self._keep(self._let_ray_end(slot_id, link))

    def kill(self, slot_id: str) -> None:
        """Kill an executor that does not respond; `gone` is called for it.

        A node that is cut off cannot reach Ray.
        """
        link = self._links.get(slot_id)
        if link is not None:
            _kill(link)

    async def close(self) -> None:
        """Kill every executor that is left, wait for those that Ray ends, and close the socket."""
        for slot_id in list(self._links):
            self.end(slot_id)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=RAY_ENDS_S_MAX)
        if self._server is not None:
            self._server.close()
        if self._folder is not None:
            self._folder.remove()

    def _send(self, slot_id: str, message: Message) -> None:
        link = self._links.get(slot_id)
        if link is not None and link.writer is not None:
            link.writer.write(encode(message))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = FrameReader()
        slot_id = ""
        try:
            while data := await reader.read(RECEIVE_BYTES):
                for message in frames.feed(data):
                    slot_id = self._take(slot_id, message, writer)
        except (OSError, FrameError) as error:
            log.warning("executor %s: %s", slot_id, error)
        finally:
            writer.close()
            self._lost(slot_id)

    def _take(self, slot_id: str, message: Message, writer: asyncio.StreamWriter) -> str:
        if isinstance(message, Hello):
            link = self._links.get(message.executor_id)
            if link is None:
                writer.close()
                return ""
            link.pid, link.writer, link.devices = message.pid, writer, message.devices
            with contextlib.suppress(ProcessLookupError):  # gone already: its connection says so next
                link.handle = os.pidfd_open(message.pid)
            self._callbacks.ready(message.executor_id)
            return message.executor_id
        if isinstance(message, Returned):
            self._callbacks.returned(slot_id, message.attempts)
        if isinstance(message, Report):
            self._callbacks.said(slot_id, message.items)
        return slot_id

    def _lost(self, slot_id: str) -> None:
        link = self._links.pop(slot_id, None)
        if link is not None:
            self._release(slot_id, link)
            end_marked(slot_id)
            self._callbacks.gone(slot_id)

    def _release(self, slot_id: str, link: _Link) -> None:
        """End an executor's process and what comes of it, and remove its folder: it may live on without its
        connection."""
        _kill(link)
        if link.handle is not None:
            os.close(link.handle)
            link.handle = None
        if link.writer is not None:
            link.writer.close()
        _end_actor(link)
        self._keep(asyncio.to_thread(remove_folder, executors_folder(self.attempts, slot_id)))


def _kill(link: _Link) -> None:
    if link.pid is not None and link.handle is not None:
        end_below(link.pid, link.handle, KILL_WAIT_S)


def _end_actor(link: _Link) -> None:
    """Have Ray end an executor; its raylet reports any other end to the console as a crash."""
    with contextlib.suppress(ray.exceptions.RayError, ValueError):
        ray.kill(link.actor, no_restart=True)


def _options(demand: Demand, node_id: str) -> dict[str, Any]:
    options: dict[str, Any] = {
        "num_cpus": 0,
        "max_restarts": 0,
        "scheduling_strategy": NodeAffinitySchedulingStrategy(node_id, soft=False),
    }
    custom: dict[str, float] = {}
    for name, amount in demand:
        if name in RAY_OPTIONS:
            options[RAY_OPTIONS[name]] = amount
        elif name == "memory_mb":
            options["memory"] = int(amount * BYTES_PER_MB)
        else:
            custom["NPU" if name == "npu" else name] = amount
    if custom:
        options["resources"] = custom
    return options
