"""A notifier over an engine of this process, with receivers that are functions."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.notices import Filter
from helix_ray.core.orders import ArchiveTasks, CancelTask, SubmitTasks
from helix_ray.core.questions import NoticeTasks
from helix_ray.core.views.events import NoticeTask, notice_task
from helix_ray.followers.feed import BatchLimits
from helix_ray.followers.following import Following
from helix_ray.outward.outcome import PostOutcome
from helix_ray.ports import Batch
from helix_ray.testing import MemoryControlPlane, add_user
from helix_ray.webhooks.board import Hook, HookBoard, SigningSecret
from helix_ray.webhooks.desk import Desk
from helix_ray.webhooks.hook_traces import HookTraces
from helix_ray.webhooks.messages import Mark
from helix_ray.webhooks.notifying import Notifying, OutboxBounds

KEY = "whsec_" + "QUFB" * 10
DEADLINE_S = 60.0


class Got(dict[str, Any]):
    """A body that a receiver got, with its headers."""

    headers: Mapping[str, str]

    @property
    def task(self) -> str:
        return str(self["data"]["task_id"])


class World:
    """An engine, webhooks as a test wants them, and their receivers by URL."""

    def __init__(self, folder: Path, bounds: OutboxBounds | None = None) -> None:
        self.path = folder / "outbox.sqlite"
        self.bounds = bounds
        self.plane = MemoryControlPlane()
        self.owner = add_user(self.plane, "owner", "a password", ["admin"])
        self.hooks: dict[str, Hook] = {}
        self.modes: dict[str, Any] = {}
        self.got: defaultdict[str, list[Got]] = defaultdict(list)
        self.flying: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.switched_off: dict[str, str] = {}
        self.noted: dict[str, Mark] = {}
        self.history: dict[str, NoticeTask] = {}
        self.passed = 0.0
        # What receivers answer.
        self.answer = b"thanks"
        self.traces = HookTraces()
        self.turns = 0
        self.refusals = 0
        self._back = asyncio.Event()
        self._back.set()
        self._stirred = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    # ------------------------------------------------------------------------------------------ the cast

    def hook(self, name: str, mode: Any = 200, **more: Any) -> Hook:
        """Add a webhook whose receiver answers with a status, hangs, or is a function of what it gets."""
        filters = more.pop("filter", Filter(("task.created",)))
        since = more.pop("since", self.plane.engine.state.seq)
        self.modes[name] = mode
        self.hooks[name] = Hook(
            id=name, owner=more.pop("owner", self.owner), url=name, filter=filters, secret="a secret of it",
            signing_secrets=(SigningSecret(KEY),), since=since, **more,
        )  # fmt: skip
        return self.hooks[name]

    def change(self, name: str, **values: Any) -> None:
        """Change a webhook, and have a fact say so."""
        self.hooks[name] = replace(self.hooks[name], **values)
        self.stir()

    def stir(self) -> None:
        """Commit a fact that concerns the board."""
        add_user(self.plane, f"user{self.plane.engine.state.seq}", "a password", ["viewer"])

    def submit(self, count: int = 1, by: Principal | None = None, **spec: Any) -> list[str]:
        """Commit so many `task.created`; return the ids of the tasks."""
        specs = tuple({"title": "x", "type": "building", **spec} for _ in range(count))
        seed = self.plane.give(SubmitTasks(specs), by or self.owner).data["seed"]
        return [f"task-{seed}"] if count == 1 else []

    # ------------------------------------------------------------------------------------------ a desk

    def desk(self) -> Desk:
        """Return who tells the notifier of webhooks: this world itself."""
        return self

    async def board(self) -> HookBoard:
        self._answer()
        return HookBoard(self.plane.engine.state.seq, self.hooks.values())

    async def switch_off(self, name: str, reason: str) -> None:
        self.switched_off[name] = reason
        self._stirred.set()
        self.change(name, status="off")

    async def note(self, marks: Mapping[str, Mark]) -> None:
        self.noted.update(marks)

    # ------------------------------------------------------------------------------------------ a plane

    async def events(
        self, after: int, limit: int, by: Principal, wait_s: float = 0.0, *, abouts: bool = False
    ) -> Batch:
        self._answer()
        return await self.plane.events(after, limit, by, wait_s, abouts=abouts)

    async def after(self, cursor: int, limits: BatchLimits, wait_s: float) -> Batch:
        return await self.events(cursor, limits.facts_max, SYSTEM, wait_s, abouts=True)

    async def query(self, question: Any, by: Principal, wait_s: float = 0.0) -> Any:
        self._answer()
        found: Any = await self.plane.query(question, by, wait_s)
        if isinstance(question, NoticeTasks):
            archived = {
                task_id: self.history[task_id] for task_id in found["unknown"] if task_id in self.history
            }
            found = {**found, "tasks": found["tasks"] | archived}
        return found

    def cancel(self, task_id: str) -> None:
        """Cancel a task."""
        self.plane.give(CancelTask(task_id), self.owner)

    def archive(self, task_id: str) -> None:
        """Have a task leave memory, as one that ended long ago: the history alone knows it."""
        task = self.plane.engine.state.tasks[task_id]
        self.history[task_id] = notice_task(task)
        self.plane.give(ArchiveTasks(task.finished_seq, self.now() + 1.0, 10), SYSTEM)
        assert task_id not in self.plane.engine.state.tasks
        self.plane.engine.state.gone.clear()

    @property
    def away(self) -> bool:
        """Whether the control plane answers nothing."""
        return not self._back.is_set()

    @away.setter
    def away(self, is_away: bool) -> None:
        (self._back.clear if is_away else self._back.set)()

    def _answer(self) -> None:
        if self.away:
            self.refusals += 1
            self._stirred.set()
            raise OSError("the control plane is away")

    # ------------------------------------------------------------------------------------------ receivers

    async def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        timeout_s: float,
        ca: str | None = None,
        limit: asyncio.Timeout | None = None,
    ) -> PostOutcome:
        mode = self.modes[url]
        self.flying[url] += 1
        self.most[url] = max(self.most[url], self.flying[url])
        try:
            await asyncio.sleep(0)
            if mode == "hang":
                with contextlib.suppress(TimeoutError):
                    async with limit or asyncio.timeout(timeout_s):
                        await asyncio.Event().wait()
                return PostOutcome(None, "timeout", "no response", (), b"", timeout_s, "192.0.2.1", None)
            got = Got(json.loads(body))
            got.headers = headers
            status = mode(got) if callable(mode) else mode
            self.got[url].append(got)
            retry_after_s = 30.0 if status == 429 else None
            failure = None if 200 <= status < 300 else f"http_{status}"
            return PostOutcome(
                status, failure, "", (("Server", "test"),), self.answer, 0.001, "192.0.2.1", retry_after_s
            )
        finally:
            self.flying[url] -= 1
            self._stirred.set()

    # ------------------------------------------------------------------------------------------ a life

    def now(self) -> float:
        return self.plane.clock.wall() + self.passed

    async def start(self) -> Notifying:
        """Begin, and let all loops run."""
        self.notifying = Notifying(
            self,
            self.desk(),
            self.post,
            self.path,
            self.bounds,
            now=self.now,
            send_s_max=0.5,
            traces=self.traces,  # type: ignore[arg-type]
        )
        await self.notifying.begin()
        self._signal()
        following = Following(
            "webhooks", self.notifying, self, BatchLimits(200), wait_s=1.0, sleep=lambda _: self._back.wait()
        )
        works = (
            following.step, self.notifying.catch_up, self.notifying.read_unread, self.notifying.send,
            self.notifying.care_soon,
        )  # fmt: skip
        self._tasks = [asyncio.create_task(self._keep(work)) for work in works]
        return self.notifying

    async def _keep(self, work: Callable[[], Any]) -> None:
        while True:
            try:
                await work()
            except OSError:
                await self._back.wait()

    def _signal(self) -> None:
        """Have `until` look again after whatever changes the outbox, and after each turn of the courier."""

        def signalling(change: Callable[..., Any], *, is_turn: bool = False) -> Callable[..., Any]:
            def changed(*values: Any, **named: Any) -> Any:
                try:
                    return change(*values, **named)
                finally:
                    self.turns += is_turn
                    self._stirred.set()

            return changed

        outbox, courier = self.notifying.outbox, self.notifying.courier
        for name in ("take", "catch_up", "send_again", "skip", "remove", "hold", "resumed", "turn"):
            setattr(outbox, name, signalling(getattr(outbox, name)))
        courier.turn = signalling(courier.turn, is_turn=True)  # type: ignore[method-assign]

    async def kill(self) -> None:
        """End as kill -9 does: nothing that is under way is stored."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.notifying.stop()

    def change_mark(self, name: str, mark: Mark) -> Hook:
        return replace(self.hooks[name], mark=mark)

    def wait(self, seconds: float) -> None:
        """Let time pass for the notifier."""
        self.passed += seconds
        self.notifying.courier.look_at_clock()

    async def looked(self) -> None:
        """Wait until the notifier has looked at the clock, and no request is under way."""
        turns = self.turns
        self.notifying.courier.look_at_clock()
        await self.until(lambda: self.turns > turns and not self.flying.total())

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for a condition, which is looked at after every change."""
        async with asyncio.timeout(DEADLINE_S):
            while not true():
                self._stirred.clear()
                await self._stirred.wait()
