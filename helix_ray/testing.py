"""The control plane in memory: the real engine and followers on a journal in memory.

For tests of code above the port, and for trials of the API without Ray. There are no nodes: tasks with a
`run` stay pending until the test reports on them, as a node worker would.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_bytes
from tempfile import TemporaryDirectory
from threading import RLock
from typing import Any, TypeVar, cast

from helix_ray.checkpoints import Checkpoint, origin_of
from helix_ray.config import Settings
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.answers import Answer, has_news
from helix_ray.core.errors import Refused, Rejected
from helix_ray.core.events import CheckpointSigned
from helix_ray.core.host_points import span_of
from helix_ray.core.host_sample import HeardSample
from helix_ray.core.lifecycle import TERMINAL, Status
from helix_ray.core.orders import CreateUser, Order, Receipt
from helix_ray.core.orders.kind import Data, OrderKind
from helix_ray.core.policy import Policy
from helix_ray.core.proof_questions import (
    JournalSize,
    ListCheckpoints,
    NewestCheckpoint,
    ProofQuestion,
    within,
)
from helix_ray.core.questions import (
    GetDelivery,
    GetTask,
    GetWebhook,
    ListDeliveries,
    Metrics,
    QuestionKind,
    Readiness,
    ReadItems,
    ReadLog,
    SystemFigures,
    SystemHistory,
    View,
)
from helix_ray.core.views.deliveries import no_deliveries
from helix_ray.core.views.figures import MetricsView, ReplicaReport
from helix_ray.core.views.log_text import text_of
from helix_ray.core.views.proofs import CheckpointPageView, RecordedCheckpointView, page_of
from helix_ray.core.views.tasks import ItemsView, LogView
from helix_ray.engine import Engine
from helix_ray.execution.log_reading import read_items
from helix_ray.followers.base import News
from helix_ray.followers.in_master import in_master
from helix_ray.journal.memory import MemoryJournal
from helix_ray.journal.proving import prove
from helix_ray.monitoring.history import HostHistory, read_hosts
from helix_ray.plane.deliveries import NO_DELIVERY
from helix_ray.plane.host_history import with_history
from helix_ray.ports import Batch, Clock
from helix_ray.security.notes import sign
from helix_ray.security.passwords import hash_password
from helix_ray.sync.here import SyncHere
from helix_ray.wire.ids import new_seed

T = TypeVar("T")

TEST_REQUEST = "req-testing"
REACTIONS_MAX = 100
SYNC_INTERVAL_S = 30.0


class RealClock:
    """The machine's time."""

    def wall(self) -> float:
        """Return epoch seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()


@dataclass
class ManualClock:
    """A clock that moves only with `advance`; starts at `now`, in epoch seconds."""

    now: float = 1_762_509_600.0
    passed: float = 0.0

    def wall(self) -> float:
        """Return epoch seconds."""
        return self.now + self.passed

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return self.passed

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.passed += seconds


@dataclass
class _Waiter:
    """A caller that waits for news, and its event loop."""

    loop: asyncio.AbstractEventLoop
    news: asyncio.Event = field(default_factory=asyncio.Event)


class MemoryControlPlane:
    """ports.ControlPlane over an Engine in this process; may be used from several threads and event loops."""

    def __init__(self, policy: Policy | None = None, clock: Clock | None = None) -> None:
        self.policy = policy or Policy()
        self.clock: Clock = clock or RealClock()
        self.engine = Engine(MemoryJournal(), self.policy, self.clock)
        self._followers = in_master(self.policy)
        # Parts that a test makes unavailable, with the reason.
        self.missing: dict[str, str] = {}
        self._logs: dict[tuple[str, int], str] = {}
        self._cuts: dict[tuple[str, int], tuple[int, int]] = {}
        # Signs checkpoints.
        self.checkpoint_seed = token_bytes(32)
        self._waiting: dict[int, _Waiter] = {}
        self._hosts: list[HeardSample] = []
        self._replica: Callable[[], ReplicaReport] | None = None
        self._lock = RLock()
        self.sync = SyncHere(self.ask, self._facts, self.clock.wall, SYNC_INTERVAL_S)

    # ------------------------------------------------------------------------------------- the verbs

    async def execute(self, order: Order[Data]) -> Receipt[Data] | Rejected:
        """Carry out an order."""
        return self.carry_out(order)

    async def query(
        self, question: QuestionKind[View], by: Principal, wait_s: float = 0.0
    ) -> View | Rejected:
        """Answer a question, waiting for news if the question allows it."""
        return cast("View | Rejected", await self._answer(question, by, wait_s))

    async def _answer(self, question: QuestionKind[Any], by: Principal, wait_s: float) -> Answer:
        if isinstance(question, ReadLog):
            return await self._until(lambda: self._read_log(question, by), _has_text, wait_s)
        if isinstance(question, ReadItems):
            return await self._read_items(question, by, wait_s)
        if isinstance(question, Readiness):
            return {"missing": dict(self.missing)}
        if question.of_sync:
            return await self._until(
                lambda: self._synced(question, by), lambda reply: self.sync.is_news(question, reply), wait_s
            )
        if isinstance(question, ProofQuestion):
            return self._proof(question, by)
        if isinstance(question, Metrics) and self._replica is not None:
            return {**cast("MetricsView", self.ask(question, by)), **self._replica()}
        if isinstance(question, SystemHistory):
            return self._host_history(question, by)
        if isinstance(question, ListDeliveries | GetDelivery):
            return self._deliveries(question, by)
        answer: Answer = await self._until(
            lambda: self.ask(question, by), lambda reply: has_news(question, reply), wait_s
        )
        return answer

    async def events(
        self, after: int, limit: int, by: Principal, wait_s: float = 0.0, *, abouts: bool = False
    ) -> Batch:
        """Return the facts after a cursor that `by` may see, waiting up to `wait_s` for some."""

        def read() -> Batch | Rejected:
            with self._lock:
                return self.engine.events(after, limit, by, abouts)

        batch = await self._until(read, lambda b: isinstance(b, Rejected) or b.cursor > after, wait_s)
        if isinstance(batch, Rejected):
            raise Refused(batch)
        return batch

    # ------------------------------------------------------------------------------- without a loop

    def carry_out(self, order: Order[Data]) -> Receipt[Data] | Rejected:
        """Carry out an order, and the followers' orders that result from it."""
        with self._lock:
            (answer,) = self.engine.execute([order])
            self.react()
            return cast("Receipt[Data] | Rejected", answer)

    def give(self, body: OrderKind[Data], by: Principal = SYSTEM) -> Receipt[Data]:
        """Carry out an order; raise Refused when it is refused."""
        answer = self.carry_out(Order(body, by, TEST_REQUEST, new_seed()))
        if isinstance(answer, Rejected):
            raise Refused(answer)
        return answer

    def ask(self, question: QuestionKind[View], by: Principal = SYSTEM) -> View | Rejected:
        """Answer a question from the current state."""
        with self._lock:
            return self.engine.query(question, by)

    def react(self) -> None:
        """Let the followers react to new facts and to the time until they are done."""
        with self._lock:
            for _ in range(REACTIONS_MAX):
                state, liveness = self.engine.state, self.engine.liveness
                news = News(state, liveness, self.clock.wall(), self.clock.monotonic())
                bodies = [body for follower in self._followers for body in follower.react(news)]
                if not bodies and not any(follower.busy for follower in self._followers):
                    break
                self.engine.execute([Order(body, SYSTEM, TEST_REQUEST, new_seed()) for body in bodies])
            self._wake()

    def report_replica(self, report: Callable[[], ReplicaReport]) -> None:
        """Take the function that tells what the API over this plane has answered."""
        self._replica = report

    def write_log(self, task_id: str, attempt: int, text: str) -> None:
        """Add to an attempt's output."""
        with self._lock:
            self._logs[task_id, attempt] = self._logs.get((task_id, attempt), "") + text
            self._wake()

    def cut_log(self, task_id: str, attempt: int, start: int, end: int) -> None:
        """Remove these bytes of an attempt's output, as a node does where a log is too long."""
        with self._lock:
            self._cuts[task_id, attempt] = (start, end)

    # -------------------------------------------------------------------------------------- within

    def _facts(self, after: int, limit: int) -> Batch:
        return self.engine.facts(after, limit)

    def _synced(self, question: QuestionKind[Any], by: Principal) -> Answer:
        with self._lock:
            return self.sync.answer(question, by)

    def _read_log(self, question: ReadLog, by: Principal) -> LogView | Rejected:
        with self._lock:
            task = self.engine.query(GetTask(question.task_id), by)
            if isinstance(task, Rejected):
                return task
            attempt = question.attempt or task["attempt"]
            raw = self._logs.get((question.task_id, attempt), "").encode()
            cut = self._cuts.get((question.task_id, attempt), (0, 0))
        start = question.offset
        if cut[0] <= start < cut[1]:
            start = cut[1]
        end = min(start + question.limit_bytes, cut[0] if start < cut[0] else len(raw))
        over = Status(task["status"]) in TERMINAL or attempt < task["attempt"]
        text, used = raw[start:end].decode("latin-1"), max(0, end - start)
        if not question.raw:
            text, used = text_of(raw[start:end], more=end < len(raw) or not over)
        return {
            "text": text,
            "offset": start,
            "next_offset": start + used,
            "eof": over and start + used >= len(raw),
            "attempt": attempt,
            "cut_bytes": cut[1] - cut[0],
        }

    async def _read_items(self, question: ReadItems, by: Principal, wait_s: float) -> ItemsView | Rejected:
        """Answer that nothing was yielded, since no node runs functions here."""
        task = self.ask(GetTask(question.task_id), by)
        if isinstance(task, Rejected):
            return task

        async def nothing(attempt: int) -> ItemsView:
            return {"attempt": attempt, "data": b"", "next_offset": question.offset, "eof": True}

        return await read_items(question, task, nothing, wait_s)

    def _deliveries(self, question: ListDeliveries | GetDelivery, by: Principal) -> Answer:
        """Answer that nothing was delivered, since nothing delivers here."""
        webhook = self.ask(GetWebhook(question.webhook_id), by)
        if isinstance(webhook, Rejected):
            return webhook
        return no_deliveries(question.webhook_id) if isinstance(question, ListDeliveries) else NO_DELIVERY

    def _host_history(self, question: SystemHistory, by: Principal) -> Answer:
        """Answer from files that live as long as this process wants them."""
        figures = self.ask(SystemFigures(question.node_id), by)
        if isinstance(figures, Rejected):
            return figures
        span = span_of(question, len(figures["hosts"]), self.clock.wall())
        if isinstance(span, Rejected):
            return span
        names = [host["hostname"] for host in figures["hosts"]]
        with self._lock, TemporaryDirectory() as folder:
            self._hosts += self.engine.liveness.take_hosts(self.engine.state)
            history = HostHistory(Path(folder))
            history.note(self._hosts)
            history.close()
            return with_history(figures, span, names, read_hosts(Path(folder), names, span))

    def _proof(self, question: ProofQuestion, by: Principal) -> Answer:
        with self._lock:
            journal = self.engine.query(JournalSize(), by)
            if isinstance(journal, Rejected):
                return journal
            complete = within(question, journal["size"])
            if isinstance(complete, Rejected):
                return complete
            if isinstance(complete, ListCheckpoints):
                return self._checkpoints(complete)
            tree = self.engine.journal
            if not isinstance(complete, NewestCheckpoint):
                return prove(tree, complete)
            due = Checkpoint(origin_of(tree.leaf(1)), tree.head(), tree.root())
            return {"note": sign(due.text(), due.origin, self.checkpoint_seed)}

    def _checkpoints(self, question: ListCheckpoints) -> CheckpointPageView:
        """Answer from the facts."""
        before = self.engine.state.seq + 1 if question.before is None else question.before
        rows: list[RecordedCheckpointView] = [
            {"seq": fact.seq, "at": fact.at, "size": event.size, "root": event.id, "note": event.note}
            for fact in reversed(self.engine.facts(0, before).facts)
            if isinstance(event := fact.event, CheckpointSigned) and fact.seq < before
        ]
        return page_of(rows, question.limit)

    def _wake(self) -> None:
        # Under the lock a waiter cannot be removed, so its event loop is still open.
        with self._lock:
            for waiter in self._waiting.values():
                waiter.loop.call_soon_threadsafe(waiter.news.set)

    async def _until(self, read: Callable[[], T], good: Callable[[T], bool], wait_s: float) -> T:
        answer = read()
        if wait_s <= 0 or good(answer):
            return answer
        waiter = _Waiter(asyncio.get_running_loop())
        with self._lock:
            self._waiting[id(waiter)] = waiter
        try:
            async with asyncio.timeout(wait_s):
                while not good(answer := read()):
                    await waiter.news.wait()
                    waiter.news.clear()
        except TimeoutError:
            pass
        finally:
            with self._lock:
                del self._waiting[id(waiter)]
        return answer


def add_user(plane: MemoryControlPlane, username: str, password: str, roles: Sequence[str]) -> Principal:
    """Add a user who can log in; return them as a principal without a session."""
    user_id = plane.give(CreateUser(username, hash_password(password), tuple(roles))).data["id"]
    return Principal(user_id, username, tuple(roles))


def memory_plane(
    settings: Settings, admin_password: str = "admin123", clock: Clock | None = None
) -> MemoryControlPlane:
    """Return a control plane with the settings' policy and an administrator."""
    plane = MemoryControlPlane(settings.policy(), clock)
    add_user(plane, "admin", admin_password, ["admin"])
    return plane


def _has_text(answer: LogView | Rejected) -> bool:
    return isinstance(answer, Rejected) or bool(answer["text"]) or bool(answer["eof"])
