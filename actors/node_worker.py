"""A node's worker: leases attempts from the control plane, runs them in executors,
and reports their outcomes.

What its attempts and executors are, and what is to be done about them, is NodeState's
(helix_ray/execution/node_state.py): this tells it what happened and carries out what it returns.

Assignments are state, not calls: the worker asks for the changes of its assignments since the last
answer, so a lost answer or a restart of the master costs nothing. Reports are orders, and are repeated
until they are acknowledged.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypedDict
from uuid import uuid4

from actors import labels as known_labels
from actors.arguments import ArgumentKeeper, Taken, stored
from actors.assigned import item_of
from actors.attempt_files import AttemptFiles
from actors.attempt_log import with_last_output
from actors.blob_link import RayBlobs
from actors.erased_here import keep_erased_away
from actors.executor_host import Callbacks
from actors.gateway import RayControlPlane
from actors.life import Work
from actors.log_keeper import keep_logs
from actors.node_blobs import NodeBlobs, report_of_fetch, report_of_upload
from actors.node_processes import NodeProcesses
from actors.packages import PackageKeeper
from actors.reporting import Reporter
from actors.results import ResultShelf, to_report
from actors.starter_config import starter_config
from actors.usage import NodeOffer, NodeUsage, inference_class, registration, tell_models
from helix_ray.blobs.errors import BlobError
from helix_ray.blobs.places import node_store
from helix_ray.config import Settings
from helix_ray.core.access import inside
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.orders import Heartbeat, Order, Receipt
from helix_ray.core.orders.kind import Data, OrderKind
from helix_ray.core.questions import WaitTasks, WorkFor
from helix_ray.core.specs import JsonObject
from helix_ray.core.views.attempts import WorkView
from helix_ray.core.views.tasks import EndedView
from helix_ray.execution.assignment import Assignment, Finished, ReportItem
from helix_ray.execution.effects import (
    AskBack,
    CancelAttempt,
    Effect,
    FetchBlobs,
    GiveAttempts,
    Key,
    KillExecutor,
    ReleaseExecutor,
    Say,
    SayFinished,
    StartExecutor,
)
from helix_ray.execution.fence import Fence
from helix_ray.execution.node_state import NodeState
from helix_ray.execution.starter.sweeping import sweep_attempts
from helix_ray.execution.wear import Bounds
from helix_ray.inference.folder import DEFAULT_ROOT
from helix_ray.wire.ids import new_seed

log = logging.getLogger(__name__)

HEARTBEAT_EVERY_S = 1.0
WORK_WAIT_S = 10.0
AGAIN_S = 0.2
CHECK_EVERY_S = 0.25
SWEEP_EVERY_S = 3600.0
MODELS_EVERY_S = 5.0
DEFAULT_DEMAND = (("cpu", 1.0),)
# A node may have another data directory than the head: `helix node start` sets its absolute path.
NODE_DATA_DIR = "HELIX_NODE_DATA_DIR"


class NodeSaid(TypedDict):
    """What a node worker says of itself: whether it is registered, or why not, and how many attempts
    each of its slots has."""

    pid: int
    boot: str
    worker_id: str
    registered: bool
    refused: str | None
    reason: str | None
    slots: dict[str, int]


class NodeWorker(AttemptFiles):
    """The worker of one live Ray node."""

    def __init__(self, settings: Settings, offer: NodeOffer) -> None:
        self._settings = settings
        self._offer = offer
        self._by = inside(offer["worker_id"])
        self._boot = uuid4().hex
        self._log_dir = Path(os.environ.get(NODE_DATA_DIR) or settings.data_dir) / "logs"
        self._models = settings.models_dir or DEFAULT_ROOT
        callbacks = Callbacks(
            self._executor_ready,
            self._executor_said,
            self._executor_returned,
            self._environment_failed,
            self._executor_gone,
        )
        home = Path(os.environ.get(NODE_DATA_DIR) or settings.data_dir)
        config = starter_config(settings, home, offer["worker_id"])
        bounds = Bounds(
            settings.executor_tasks_max,
            settings.executor_growth_mb_max,
            settings.yield_bytes_max,
            settings.result_inline_bytes_max,
        )
        allow = settings.policy().function_allow
        self._host = NodeProcesses(offer["node_id"], allow, str(self._models), bounds, config, callbacks)
        self._state = self._empty()
        self._usage = NodeUsage(offer, settings.all_smi_url, (home, Path("/")))
        self._fence = Fence(settings.node_fence_s, time.monotonic())
        self._shelf = ResultShelf(settings.result_inline_bytes_max)
        self._arguments = ArgumentKeeper(self._ended)
        self._packages = PackageKeeper(settings.runtime_env_keep_s)
        self._blobs = NodeBlobs(
            node_store(settings, home),
            RayBlobs(),
            self._blobs_came,
            lambda report: self._reporter.add(report),
        )
        self._reporter = Reporter(offer["worker_id"], lambda: self._boot, self._order)
        self._registered = False
        # The refusal of its last registration, if it was refused.
        self._refused: str | None = None
        super().__init__()

    async def opening(self) -> None:
        """Create the folders for logs and blobs, and the executors' socket."""
        self._log_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        await self._blobs.prepare()
        ready = await self._host.listen()
        self._attempts = Path(ready.attempts)
        found = {
            known_labels.ISOLATION: ready.isolation,
            known_labels.INFERENCE_CLASS: await asyncio.to_thread(inference_class, self._offer),
        }
        self._offer["labels"] = {**self._offer["labels"], **found}
        await asyncio.to_thread(tell_models, self._offer, self._models)
        self._plane = RayControlPlane(process="node_worker")
        self._do(self._state.open(DEFAULT_DEMAND, time.monotonic()))

    def loops(self) -> Sequence[Work]:
        """The loops for assignments, heartbeats, reports, attempts, old logs, erased tasks and arguments."""
        return (
            self._work_loop,
            self._heartbeat_loop,
            self._reporter.run,
            self._check_loop,
            self._logs_loop,
            self._sweep_loop,
            self._models_loop,
            self._erased_loop,
            self._arguments.run,
        )

    # ------------------------------------------------------------------------------------------ calls

    async def ping(self, free: dict[str, float] | None = None) -> NodeSaid:
        """Return this worker's identity; `free` is what Ray has free on this node."""
        if free is not None:
            self._usage.sample(free, [slot.held for slot in self._state.slots()])
        slots = {slot.id: len(slot.outstanding) for slot in self._state.slots()}
        return {
            "pid": os.getpid(),
            "boot": self._boot,
            "worker_id": self._offer["worker_id"],
            "registered": self._registered,
            "refused": self._refused,
            "reason": self._life.reason,
            "slots": slots,
        }

    async def fetch_result(self, task_id: str, attempt: int) -> JsonObject | None:
        """Return a result that is stored on this node because it was too large for the journal."""
        return await self._shelf.fetch((task_id, attempt))

    async def keep_result(self, task_id: str, attempt: int, parts: Sequence[Any]) -> None:
        """Keep an executor's large result, as parts of a pickle."""
        reference = await stored(parts)
        self._shelf.put((task_id, attempt), reference, sum(part.nbytes for part in parts))

    async def keep_argument(self, key: str, parts: Sequence[Any]) -> Taken:
        """Keep the arguments of a large call, as parts of a pickle, until their task has completed."""
        return await self._arguments.keep(key, parts)

    async def keep_packages(self, uris: Sequence[str]) -> None:
        """Have Ray keep uploaded folders beyond the end of their job."""
        await self._packages.keep(uris)

    async def argument_of(self, key: str, task_id: str) -> bool:
        """Say which task needs the arguments."""
        return self._arguments.assign(key, task_id)

    async def argument(self, key: str) -> list[Any]:
        """Return the reference of kept arguments in a list; an empty one where they are gone."""
        return self._arguments.get(key)

    async def stop(self) -> None:
        """Stop the loops and end every executor."""
        self._life.stop()
        self._usage.stop()
        self._blobs.close()
        self._do(self._state.shut_down())
        await self._host.close()

    # ------------------------------------------------------------------------------------------ loops

    async def _register(self) -> None:
        offer = self._offer
        order = registration(offer, self._boot)
        sent_at = time.monotonic()
        answer = await self._order(order)
        self._registered = isinstance(answer, Receipt)
        self._refused = f"{offer['worker_id']}: {answer.message}" if isinstance(answer, Rejected) else None
        if self._registered:
            self._fence.acknowledged(sent_at)

    async def _order(self, body: OrderKind[Data]) -> Receipt[Data] | Rejected:
        return await self._plane.execute(Order(body, self._by, f"req-{self._by.id}", new_seed()))

    async def _ended(self, task_ids: tuple[str, ...]) -> EndedView | Rejected:
        return await self._plane.query(WaitTasks(task_ids, results=False), self._by)

    async def _work_loop(self) -> None:
        await self._register()
        boot, epoch, after = self._boot, 0, 0
        while True:
            question = WorkFor(self._offer["worker_id"], boot, epoch, after)
            reply = await self._plane.query(question, self._by, WORK_WAIT_S)
            if boot != self._boot:
                return
            if isinstance(reply, Rejected):
                if reply.code is ErrorCode.NOT_FOUND:
                    await self._register()
                await asyncio.sleep(AGAIN_S)
                continue
            epoch, after = reply["epoch"], reply["seq"]
            self._take_work(reply)

    def _take_work(self, reply: WorkView) -> None:
        assigned = {(work["task_id"], work["attempt"]): work for work in reply["assign"]}
        revoked = [*reply["revoke"]]
        if reply["full"]:
            reported = self._reporter.keys() | set(self._blobs.uploading())
            revoked += [key for key in self._state.attempts() if key not in assigned]
            assigned = {key: work for key, work in assigned.items() if key not in reported}
        where = (self._log_dir, self._settings, self._blobs.folder)
        items = [item_of(work, *where) for work in assigned.values()]
        self._do(self._state.assign(items, revoked, time.monotonic()))

    async def _heartbeat_loop(self) -> None:
        for number in itertools.count(1):
            usage = await self._usage.read()
            status = "busy" if self._state.attempts() else "idle"
            sent_at = time.monotonic()
            worker_id, boot = self._offer["worker_id"], self._boot
            beat = Heartbeat(worker_id, status, current_task=None, usage=usage, boot=boot, number=number)
            if isinstance(await self._order(beat), Receipt):
                self._fence.acknowledged(sent_at)
            # At the same time of each second: the history of the host has a point for every second.
            await asyncio.sleep(HEARTBEAT_EVERY_S - time.monotonic() % HEARTBEAT_EVERY_S)

    async def _logs_loop(self) -> None:
        await keep_logs(self._log_dir, self._settings, self._state.attempts)

    async def _sweep_loop(self) -> None:
        while True:
            keep_s, bytes_max = self._settings.log_keep_s, self._settings.attempts_keep_bytes
            await asyncio.to_thread(sweep_attempts, self._attempts, keep_s, bytes_max, time.time())
            await asyncio.sleep(SWEEP_EVERY_S)

    async def _models_loop(self) -> None:
        """Tell when models come to the folder or go, so that tasks can name them."""
        while True:
            await asyncio.sleep(MODELS_EVERY_S)
            if await asyncio.to_thread(tell_models, self._offer, self._models) and self._registered:
                await self._register()

    async def _erased_loop(self) -> None:
        await keep_erased_away(self._plane, self._by, self._log_dir, self._attempts, self._shelf)

    async def _check_loop(self) -> None:
        while True:
            await asyncio.sleep(CHECK_EVERY_S)
            now = time.monotonic()
            if self._fence.due(now) and self._state.attempts():
                self._cut_off()
            self._do(self._state.tick(self._usage.external_usage(), now))
            self._blobs.let_go(self._state.holds)

    def _cut_off(self) -> None:
        """End all attempts, and begin another boot: the old one's tasks were assigned to others."""
        log.error(
            "no contact with the master for %g s: stopping everything that runs here",
            self._settings.node_fence_s,
        )
        self._do(self._state.cut_off())
        self._boot = uuid4().hex
        self._state = self._empty()
        self._registered = False

    # ------------------------------------------------------------------------------------------ executors

    def _empty(self) -> NodeState:
        name = f"{self._offer['worker_id']}-{self._boot[:6]}"
        return NodeState(self._offer["resources"], name, self._settings.executor_idle_s)

    def _do(self, effects: Iterable[Effect]) -> None:
        """Carry out what the state of the node asks for."""
        for effect in effects:
            match effect:
                case StartExecutor():
                    self._start(effect)
                case FetchBlobs(key, digests):
                    if self._blobs.need(key, digests):
                        self._blobs_came(key, None)
                case GiveAttempts(slot_id, batch):
                    self._host.run(slot_id, batch)
                case CancelAttempt(slot_id, key):
                    self._host.cancel(slot_id, key)
                case AskBack(slot_id):
                    self._host.ask_back(slot_id)
                case ReleaseExecutor(slot_id, at_once):
                    self._host.end(slot_id, at_once=at_once)
                case KillExecutor(slot_id):
                    self._host.kill(slot_id)
                case Say(report):
                    self._reporter.add(with_last_output(report, self._log_dir))
                case SayFinished(finished, assignment):
                    self._say_finished(finished, assignment)

    def _say_finished(self, finished: Finished, assignment: Assignment) -> None:
        """Report the end of an attempt, when the files that it has built are on the head."""
        key = (finished.task_id, finished.attempt)

        def done(error: BlobError | None) -> None:
            self._reporter.add(
                report_of_upload(key, error) if error is not None
                else to_report(finished, assignment, self._shelf)
            )  # fmt: skip

        if finished.outcome.blobs:
            keep = assignment.run["kind"] != "inference"
            self._blobs.upload(key, finished.outcome.blobs, done, keep=keep)
        else:
            done(None)

    def _blobs_came(self, key: Key, error: BlobError | None) -> None:
        if error is None:
            self._do(self._state.fetched(key, time.monotonic()))
        else:
            self._do(self._state.fetch_failed(report_of_fetch(key, error)))

    def _start(self, effect: StartExecutor) -> None:
        try:
            self._host.start(
                effect.slot_id, effect.demand, effect.environment, on_released=effect.on_released
            )
            self._packages.keep_of(effect.environment)
        except ValueError as error:
            message = f"Ray rejected these resources: {error}"
            self._do(self._state.start_refused(effect.slot_id, message))

    def _executor_ready(self, slot_id: str) -> None:
        self._do(self._state.ready(slot_id, time.monotonic()))

    def _executor_said(self, slot_id: str, items: Sequence[ReportItem]) -> None:
        self._do(self._state.said(slot_id, items, time.monotonic()))

    def _executor_returned(self, slot_id: str, keys: tuple[Key, ...]) -> None:
        self._do(self._state.returned(slot_id, keys, time.monotonic()))

    def _environment_failed(self, slot_id: str, message: str) -> None:
        self._do(self._state.environment_failed(slot_id, message))

    def _executor_gone(self, slot_id: str) -> None:
        self._do(self._state.gone(slot_id, time.monotonic()))
