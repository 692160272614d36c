"""The two hosts of a node behind one face: executors for functions and inference, the starter for commands.

A slot is an executor that holds its resources. A command runs in a slot whose executor waits meanwhile,
and with the devices that Ray gave to that executor; it is the starter that runs it, so it never meets
what a function left in the executor's process.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from actors.executor_host import Callbacks, ExecutorHost
from actors.starter_host import StarterHost
from helix_ray.core.state import Demand
from helix_ray.execution.assignment import Assignment
from helix_ray.execution.effects import Key
from helix_ray.execution.environment import slot_variables
from helix_ray.execution.own_folder import functions_folder
from helix_ray.execution.runtime_env import RuntimeEnv
from helix_ray.execution.starter.begin import Config
from helix_ray.execution.starter.levels import CellSpec
from helix_ray.execution.starter.messages import StarterReady
from helix_ray.execution.starter.sweeping import remove_folder
from helix_ray.execution.wear import Bounds


class NodeProcesses:
    """What a node's state asks for, carried out by the processes that run the attempts of a slot."""

    def __init__(
        self,
        node_id: str,
        allow: tuple[str, ...],
        models_dir: str,
        bounds: Bounds,
        config: Config,
        callbacks: Callbacks,
    ) -> None:
        self._gone = callbacks.gone
        self._executors = ExecutorHost(
            node_id, allow, models_dir, bounds, replace(callbacks, gone=self._executor_gone)
        )
        self._starter = StarterHost(config, callbacks.said, callbacks.returned)
        self._demands: dict[str, Demand] = {}

    async def listen(self) -> StarterReady:
        """Open both, and return what the starter offers; safe to call again. Raises OSError, Unavailable."""
        await self._executors.listen()
        ready = await self._starter.open()
        self._executors.attempts = Path(ready.attempts)
        # Of executors of a node worker that was killed.
        await asyncio.to_thread(remove_folder, functions_folder(self._executors.attempts))
        return ready

    def start(
        self, slot_id: str, demand: Demand, environment: RuntimeEnv | None, *, on_released: bool
    ) -> None:
        """Ask Ray for an executor that holds the demand, without CPUs where it runs on released ones; raises
        ValueError where Ray rejects it."""
        self._demands[slot_id] = demand
        self._executors.start(slot_id, demand, environment, on_released=on_released)

    def run(self, slot_id: str, batch: tuple[Assignment, ...]) -> None:
        """Run attempts in a slot; the first says of which kind all are."""
        if not batch[0].is_command:
            self._executors.run(slot_id, batch)
            return
        demand = dict(self._demands.get(slot_id, ()))
        variables = slot_variables(self._executors.devices(slot_id), demand)
        self._starter.run(slot_id, cell_spec(demand), variables, batch)

    def cancel(self, slot_id: str, key: Key) -> None:
        """Ask for the end of an attempt."""
        if self._starter.has(slot_id, key):
            self._starter.cancel(slot_id, key)
        else:
            self._executors.cancel(slot_id, key)

    def ask_back(self, slot_id: str) -> None:
        """Ask for what has not begun; `returned` is called with that."""
        self._starter.ask_back(slot_id)
        self._executors.ask_back(slot_id)

    def end(self, slot_id: str, *, at_once: bool) -> None:
        """End all that runs in a slot and give its resources back; `gone` is not called for it. `at_once`:
        its executor may still run something."""
        self._demands.pop(slot_id, None)
        self._starter.close_slot(slot_id)
        self._executors.end(slot_id, at_once=at_once)

    def kill(self, slot_id: str) -> None:
        """End a slot that does not end what it was told to; `gone` is called for it."""
        self._starter.close_slot(slot_id)
        self._executors.kill(slot_id)

    async def close(self) -> None:
        """End everything."""
        self._starter.close()
        await self._executors.close()

    def _executor_gone(self, slot_id: str) -> None:
        self._demands.pop(slot_id, None)
        self._starter.close_slot(slot_id)
        self._gone(slot_id)


def cell_spec(demand: dict[str, float]) -> CellSpec:
    """Return the cell that a slot with these resources has: accelerators only for those that hold one."""
    return CellSpec(
        devices=bool(demand.keys() - {"cpu", "memory_mb"}),
        memory_mb=demand.get("memory_mb"),
        cpus=demand.get("cpu"),
    )
