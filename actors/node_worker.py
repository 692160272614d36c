"""A node's worker: leases attempts from the control plane, has executors run them, reports what came of it.

Assignments are state, not calls: the worker asks for what it holds since the last answer, so a
lost answer or a master that starts again costs nothing. Reports go out as orders and are
repeated until they are acknowledged.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import time
from base64 import b64decode
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from actors.attempt_log import read_piece, sweep
from actors.executor_host import Callbacks, ExecutorHost
from actors.gateway import RayControlPlane
from actors.life import LivingActor, Work
from actors.results import ResultShelf, refused, reports_of_one_order, to_report
from actors.usage import NodeUsage
from helix_ray.config import Settings
from helix_ray.core.access import inside
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.orders import (
    AttemptReport,
    Heartbeat,
    Order,
    OrderBody,
    Receipt,
    RegisterWorker,
    ReportAttempts,
)
from helix_ray.core.questions import WorkFor
from helix_ray.execution.assignment import Assignment, Finished, Progressed, Started
from helix_ray.execution.dispatch import Dispatch, Item, Key
from helix_ray.execution.fence import Fence
from helix_ray.wire.ids import new_seed

log = logging.getLogger(__name__)

HEARTBEAT_EVERY_S = 1.0
WORK_WAIT_S = 10.0
AGAIN_S = 0.2
# An attempt that was told to stop, or whose time is over, may take this long before its executor is killed.
STOP_GRACE_S = 5.0
CHECK_EVERY_S = 0.25
# Ray gives the resources of an executor to whoever asked first; after this long its tasks go
# back to the queue.
EXECUTOR_START_S_MAX = 60.0
SWEEP_EVERY_S = 3600.0
DEFAULT_DEMAND = (("cpu", 1.0),)
# A node may keep its things elsewhere than the head does: `helix node start` says where, as a whole path.
NODE_DATA_DIR = "HELIX_NODE_DATA_DIR"


class NodeWorker(LivingActor):
    """One per live Ray node; `offer` has worker_id, node_id, hostname, resources, labels and capabilities."""

    def __init__(self, settings: Settings, offer: dict[str, Any]) -> None:
        self._settings = settings
        self._offer = offer
        self._by = inside(offer["worker_id"])
        self._boot = uuid4().hex
        self._log_dir = Path(os.environ.get(NODE_DATA_DIR) or settings.data_dir) / "logs"
        models = settings.models_dir or Path(__file__).parent.parent / "helix_ray" / "models"
        callbacks = Callbacks(
            self._executor_ready, self._executor_said, self._executor_returned, self._executor_gone
        )
        self._host = ExecutorHost(offer["node_id"], settings.policy().function_allow, str(models), callbacks)
        self._dispatch = Dispatch(offer["resources"])
        self._usage = NodeUsage(offer)
        self._fence = Fence(settings.node_fence_s, time.monotonic())
        self._shelf = ResultShelf(settings.result_inline_bytes_max)
        self._outgoing: list[AttemptReport] = []
        self._to_report = asyncio.Event()
        self._stop_at: dict[
            Key, tuple[str, float]
        ] = {}  # attempt -> (why, monotonic time to kill its executor)
        self._killed: set[Key] = set()
        self._registered = False
        # What the control plane said to its last registration, where that was refused.
        self._refused: str | None = None
        self._slots_made = 0
        super().__init__()

    async def opening(self) -> None:
        """Make the folder of logs and the executors' socket."""
        self._log_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        await self._host.listen()
        self._plane = RayControlPlane(process="node_worker")
        self._open_slot(DEFAULT_DEMAND)

    def loops(self) -> Sequence[Work]:
        """Take work, be heard, report, look after what runs, and throw old logs away."""
        return (self._work_loop, self._heartbeat_loop, self._report_loop, self._check_loop, self._sweep_loop)

    # ------------------------------------------------------------------------------------------ calls

    async def ping(self, free: dict[str, float] | None = None) -> dict[str, Any]:
        """Say who this is; `free` is what Ray has free on this node."""
        if free is not None:
            self._usage.sample(free, [slot.demand for slot in self._dispatch.slots.values()])
        slots = {slot.id: len(slot.outstanding) for slot in self._dispatch.slots.values()}
        return {
            "pid": os.getpid(),
            "boot": self._boot,
            "worker_id": self._offer["worker_id"],
            "registered": self._registered,
            "refused": self._refused,
            "reason": self._life.reason,
            "seats": slots,
        }

    async def fetch_result(self, task_id: str, attempt: int) -> dict[str, Any] | None:
        """Return a result that was too large for the journal."""
        return await self._shelf.fetch((task_id, attempt))

    async def read_log(
        self, task_id: str, attempt: int, offset: int, limit_bytes: int, wait_s: float
    ) -> dict[str, Any]:
        """Return a piece of an attempt's log, waiting up to `wait_s` seconds for more of a running one."""
        end = time.monotonic() + wait_s
        while True:
            running = self._dispatch.holds((task_id, attempt))
            piece = read_piece(self._log_dir, task_id, attempt, offset, limit_bytes)
            piece["eof"] = not running and not piece.pop("more")
            if piece["text"] or piece["eof"] or time.monotonic() >= end:
                return piece
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """End the loops and every executor."""
        self._life.stop()
        self._host.close()

    # ------------------------------------------------------------------------------------------ loops

    async def _register(self) -> None:
        offer = self._offer
        order = RegisterWorker(
            offer["hostname"], tuple(offer["capabilities"]), offer["resources"], offer["worker_id"], "node",
            offer["node_id"], self._boot, offer["labels"],
        )  # fmt: skip
        sent_at = time.monotonic()
        answer = await self._order(order)
        self._registered = isinstance(answer, Receipt)
        self._refused = f"{offer['worker_id']}: {answer.message}" if isinstance(answer, Rejected) else None
        if self._registered:
            self._fence.acknowledged(sent_at)

    async def _order(self, body: OrderBody) -> Receipt | Rejected:
        return await self._plane.execute(Order(body, self._by, f"req-{self._by.id}", new_seed()))

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

    def _take_work(self, reply: dict[str, Any]) -> None:
        assigned = {(work["task_id"], work["attempt"]): work for work in reply["assign"]}
        revoked = [tuple(key) for key in reply["revoke"]]
        if reply["full"]:
            told = {(report.task_id, report.attempt) for report in self._outgoing}
            revoked += [key for key in self._dispatch.attempts() if key not in assigned]
            assigned = {key: work for key, work in assigned.items() if key not in told}
        for key in revoked:
            self._revoke(key)
        self._dispatch.add((self._item(work) for work in assigned.values()), time.monotonic())
        self._pump()

    def _item(self, work: dict[str, Any]) -> Item:
        run = dict(work["run"])
        payload = run.pop("payload", None)
        timeout = work["timeout_s"] if work["timeout_s"] is not None else run.get("timeout_s")
        assignment = Assignment(
            work["task_id"],
            work["attempt"],
            run,
            timeout,
            str(self._log_dir),
            b64decode(payload) if payload else None,
            work["shard"],
        )
        return Item(assignment, work["group"].demand, work["group"])

    def _revoke(self, key: Key) -> None:
        slot = self._dispatch.drop(key)
        if slot is not None:
            self._host.cancel(slot.id, key)
            self._stop_at[key] = ("cancelled", time.monotonic() + STOP_GRACE_S)

    async def _heartbeat_loop(self) -> None:
        for number in itertools.count(1):
            usage = await self._usage.read()
            status = "busy" if self._dispatch.attempts() else "idle"
            sent_at = time.monotonic()
            beat = Heartbeat(self._offer["worker_id"], status, None, usage, self._boot, number)
            if isinstance(await self._order(beat), Receipt):
                self._fence.acknowledged(sent_at)
            await asyncio.sleep(HEARTBEAT_EVERY_S)

    async def _report_loop(self) -> None:
        while True:
            await self._to_report.wait()
            self._to_report.clear()
            while self._outgoing:
                reports = reports_of_one_order(self._outgoing)
                answer = await self._order(ReportAttempts(self._offer["worker_id"], self._boot, reports))
                if isinstance(answer, Rejected) and answer.code is ErrorCode.SERVICE_UNAVAILABLE:
                    await asyncio.sleep(AGAIN_S)
                    continue
                taken = len(reports)
                if isinstance(answer, Rejected):
                    log.error("the master rejected reports: %s", answer)
                    await self._report_one_by_one(reports)
                else:
                    taken = answer.data["taken"]
                    if answer.data["stale"]:
                        log.info("%d reports arrived too late", len(answer.data["stale"]))
                del self._outgoing[:taken]

    async def _report_one_by_one(self, reports: Sequence[AttemptReport]) -> None:
        """Report again what was refused together, and in place of what is refused by
        itself that its attempt failed."""
        for report in reports:
            told: AttemptReport | None = report
            while told is not None:
                answer = await self._order(ReportAttempts(self._offer["worker_id"], self._boot, (told,)))
                if isinstance(answer, Receipt):
                    if answer.data["taken"]:
                        break
                    continue
                if answer.code is ErrorCode.SERVICE_UNAVAILABLE:
                    await asyncio.sleep(AGAIN_S)
                    continue
                told = refused(told, answer)

    async def _sweep_loop(self) -> None:
        while True:
            await asyncio.to_thread(sweep, self._log_dir, self._settings.log_keep_s, time.time())
            await asyncio.sleep(SWEEP_EVERY_S)

    async def _check_loop(self) -> None:
        while True:
            await asyncio.sleep(CHECK_EVERY_S)
            now = time.monotonic()
            if self._fence.due(now) and self._dispatch.attempts():
                self._cut_off()
            for key, (why, when) in list(self._stop_at.items()):
                slot = self._dispatch.drop(key) if why == "cancelled" else self._dispatch.slot_of(key)
                if slot is None:
                    self._stop_at.pop(key, None)
                elif now >= when and next(iter(slot.outstanding)) == key:
                    self._killed.add(key)
                    self._host.kill(slot.id)
            self._dispatch.external_usage = self._usage.external_usage()
            for slot in self._dispatch.surplus(now, self._settings.executor_idle_s):
                self._dispatch.close_slot(slot.id)
                self._host.end(slot.id)
            for slot in self._dispatch.overdue(now, EXECUTOR_START_S_MAX):
                self._dispatch.close_slot(slot.id)
                self._host.end(slot.id)
                self._give_back(self._dispatch.hand_back(slot.demand))
            self._pump()
            self._unstick(now)

    def _unstick(self, now: float) -> None:
        """Give back what waits behind attempts that run for longer than was thought,
        and say which these are."""
        stuck = self._dispatch.stuck(now)
        for item, ran_s in stuck.outlasting:
            self._report(AttemptReport(*item.key, "outlasted", duration_s=ran_s))
        self._give_back(stuck.items)
        for slot in stuck.slots:
            self._host.ask_back(slot.id)

    def _give_back(self, items: Iterable[Item]) -> None:
        for item in items:
            self._report(AttemptReport(*item.key, "returned"))

    def _cut_off(self) -> None:
        """End all that runs here, and be another worker's life from now on: what it
        held was given to others."""
        log.error(
            "no contact with the master for %g s: stopping everything that runs here",
            self._settings.node_fence_s,
        )
        self._host.kill_all()
        self._dispatch = Dispatch(self._offer["resources"])
        self._stop_at.clear()
        self._killed.clear()
        self._boot = uuid4().hex
        self._registered = False

    # ------------------------------------------------------------------------------------------ executors

    def _pump(self) -> None:
        """Give out what is queued, and start executors where more of them would help."""
        for slot, batch in self._dispatch.batches(time.monotonic()):
            self._host.run(slot.id, batch)
        for demand in self._dispatch.wanted():
            self._open_slot(demand)

    def _open_slot(self, demand: Any) -> None:
        self._slots_made += 1
        slot_id = f"{self._offer['worker_id']}-{self._boot[:6]}-{self._slots_made}"
        self._dispatch.open_slot(slot_id, demand, time.monotonic())
        try:
            self._host.start(slot_id, demand)
        except ValueError as error:
            # Ray has rules of its own for some accelerators: no later try would end otherwise.
            self._dispatch.close_slot(slot_id)
            refused = {
                "reason": "bad_spec",
                "type": "ValueError",
                "message": f"Ray rejected these resources: {error}",
            }
            for item in self._dispatch.hand_back(demand):
                self._report(AttemptReport(*item.key, "failed", error=refused, retryable=False))

    def _executor_ready(self, slot_id: str) -> None:
        if self._dispatch.slot_ready(slot_id, time.monotonic()) is None:
            self._host.end(slot_id)
        self._pump()

    def _executor_said(self, slot_id: str, item: Started | Progressed | Finished) -> None:
        key = (item.task_id, item.attempt)
        if isinstance(item, Finished):
            self._finished(slot_id, key, item)
        elif isinstance(item, Progressed):
            self._report(AttemptReport(*key, "progressed", progress=item.percent, note=item.note))
        elif key not in self._stop_at:
            self._guard(slot_id, key)

    def _guard(self, slot_id: str, key: Key) -> None:
        """The executor ends an attempt whose time is over; when even that fails, its process is killed."""
        slot = self._dispatch.slots.get(slot_id)
        item = slot.outstanding.get(key) if slot is not None else None
        if item is not None and item.assignment.timeout_s is not None:
            self._stop_at[key] = ("timeout", time.monotonic() + item.assignment.timeout_s + STOP_GRACE_S)

    def _finished(self, slot_id: str, key: Key, finished: Finished) -> None:
        duration = max(0.0, finished.ended_at - finished.started_at)
        item = self._dispatch.ended(slot_id, key, duration, time.monotonic())
        why, _ = self._stop_at.pop(key, ("", 0.0))
        if item is not None and why != "cancelled":
            self._report(to_report(finished, item.assignment, self._shelf))
        self._pump()

    def _report(self, report: AttemptReport) -> None:
        self._outgoing.append(report)
        self._to_report.set()

    def _executor_returned(self, slot_id: str, keys: tuple[Key, ...]) -> None:
        items = self._dispatch.returned(slot_id, keys)
        self._give_back(item for item in items if not item.ending)

    def _executor_gone(self, slot_id: str) -> None:
        running = self._dispatch.close_slot(slot_id)
        if running is not None:
            why, _ = self._stop_at.pop(running.key, ("", 0.0))
            killed = running.key in self._killed
            self._killed.discard(running.key)
            if killed and why == "timeout":
                message = "the function did not stop at its timeout and was killed"
                error = {"reason": "timeout", "type": "TimeoutError", "message": message}
                self._report(AttemptReport(*running.key, "failed", error=error))
            elif why != "cancelled":
                error = {"reason": "lost", "type": "ExecutorDied", "message": "the executor process died"}
                self._report(AttemptReport(*running.key, "lost", error=error))
        self._pump()
