"""Random orders by everybody, in any order, keep every law of the core."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from helix_ray.core import orders as o
from helix_ray.core.access import ANONYMOUS_ID, SYSTEM, Principal, may
from helix_ray.core.decide import decide
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.events import RequestsRefused, TaskSubmitted
from helix_ray.core.invariants import check
from helix_ray.core.orders import Order, OrderBody, Receipt
from helix_ray.engine import Engine
from helix_ray.followers.base import News
from helix_ray.followers.cascades import Cascade
from helix_ray.followers.leases import LeaseKeeper
from helix_ray.followers.scheduler import Scheduler
from helix_ray.followers.timers import Timekeeper
from helix_ray.journal.memory import MemoryJournal
from tests.cast import enrol
from tests.properties import machine_orders as mo
from tests.properties.machine_answers import judge_answers, judge_receipt
from tests.properties.machine_model import (
    ADMIN,
    BOT_1,
    BOT_2,
    CAST,
    DEV_1,
    DEV_2,
    POLICY,
    Announced,
    Doors,
    Fence,
    HandClock,
    folded,
    most_blocked,
    through_json,
    views,
    whole,
)

PEOPLE = st.sampled_from((ADMIN, DEV_1, DEV_1, DEV_2))
ANYBODY = st.sampled_from((*CAST, ADMIN, ADMIN, DEV_1, DEV_1, DEV_2))
SELDOM = st.sampled_from((False, False, False, True))
HAS_TASKS = precondition(lambda self: bool(self.engine.state.tasks))


# What a replica of the API asks for somebody who may not ask for it themselves.
IN_ANOTHERS_NAME = (o.OpenSession, o.RefreshSession, o.NoteTokenUse)


class CoreMachine(RuleBasedStateMachine):
    """An engine over a journal in memory, with a clock moved by hand, judged after every order."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = HandClock()
        self.journal = MemoryJournal()
        self.engine = Engine(self.journal, POLICY, self.clock)
        self.fence = Fence()
        self.doors = Doors()
        self.serial = 0
        self.sent: list[tuple[Order, Receipt, float]] = []
        self.timers, self.leases, self.scheduler = Timekeeper(POLICY), LeaseKeeper(POLICY), Scheduler(POLICY)
        self.cascade = Cascade(POLICY)

    # ------------------------------------------------------------------------------------------ one order

    def give(self, body: OrderBody, by: Principal, key: str | None = None) -> Receipt | Rejected:
        """Send an order in an envelope of its own."""
        self.serial += 1
        order = Order(body, by, f"req-{self.serial}", f"seed{self.serial}", key, f"print-{self.serial}")
        receipt = self.send(order)
        if isinstance(receipt, Receipt):
            self.sent.append((order, receipt, self.clock.now))
        return receipt

    def send(self, order: Order) -> Receipt | Rejected:
        """Send an order, and judge what came of it."""
        self.clock.now += 0.001
        before = whole(self.engine.state)
        decide(self.engine.state, order, self.clock.now, POLICY)
        assert whole(self.engine.state) == before, "decide changed the state"
        head, seen = self.journal.head(), views(self.engine.state)
        self.engine.board = announced = Announced()
        (answer,) = self.engine.execute([order])
        now_seen = views(self.engine.state)
        changed = {i for i in seen.keys() | now_seen.keys() if seen.get(i) != now_seen.get(i)}
        assert changed <= announced.ids, "a replica would go on showing these as they were"
        facts = self.journal.read_after(head, 10_000)
        refusals = [fact for fact in facts if isinstance(fact.event, RequestsRefused)]
        facts = facts[: len(facts) - len(refusals)]
        assert not any(isinstance(fact.event, RequestsRefused) for fact in facts), "they come last"
        if isinstance(answer, Rejected):
            assert answer.code is not ErrorCode.INTERNAL_ERROR, f"decide tripped over {order.body}"
            assert not facts, "a refused order left facts"
        else:
            assert answer.seq == self.engine.state.seq - len(refusals)
            assert may(order.by, type(order.body)), "the roles do not allow this"
            orjson.dumps(answer.data)
            judge_receipt(self.engine.state, order, answer)
        for fact in facts:
            assert fact.request_id == order.request_id
            for_somebody = order.by.id == SYSTEM.id and isinstance(order.body, IN_ANOTHERS_NAME)
            users = {*self.engine.state.users, ANONYMOUS_ID}
            assert fact.actor == order.by.id or (for_somebody and fact.actor in users), fact
            orjson.dumps(fact.event)
            self.fence.read(fact)
            self.doors.read(fact, self.engine.state)
        return answer

    # ------------------------------------------------------------------------------------------ the cast

    @initialize()
    def set_up(self) -> None:
        """Two nodes, two external workers, a user with a session and some tasks are there."""
        enrol(self.engine, *(who for who in CAST if who is not SYSTEM))
        for node in mo.NODES:
            self.give(mo.node_order(node, "boot-0"), SYSTEM)
        for worker, by in zip(mo.BOTS, (BOT_1, BOT_2), strict=True):
            self.give(o.RegisterWorker("host", mo.TYPES, {}, worker_id=worker), by)
        self.give(o.OpenSession(DEV_1.id, "sess-a", "hash-a", self.clock.now + 900.0), SYSTEM)
        self.give(o.SubmitTasks(mo.FIRST_TASKS), DEV_1, "user-dev1:first")
        (first_whole,) = (task.id for task in self.engine.state.tasks.values() if "shards" in task.spec)
        self.give(o.SubmitTasks(mo.after_shards(first_whole)), DEV_1)
        self.give(o.SubmitTasks(mo.FIRST_TASKS[:2]), DEV_2)

    @rule(data=st.data(), by=PEOPLE, keyed=st.booleans())
    def submit(self, data: st.DataObject, by: Principal, keyed: bool) -> None:
        """Somebody submits a few tasks."""
        specs = data.draw(st.lists(mo.specs(self.engine.state, self.clock.now), min_size=1, max_size=4))
        key = f"{by.id}:k{self.serial}" if keyed else None
        self.give(o.SubmitTasks(tuple(specs)), by, key)

    @HAS_TASKS
    @rule(data=st.data(), by=ANYBODY)
    def order_about_a_task(self, data: st.DataObject, by: Principal) -> None:
        """Somebody updates, cancels, retries, deletes or drains."""
        self.give(data.draw(mo.by_people(self.engine.state, self.clock.now)), by)

    @HAS_TASKS
    @rule(data=st.data())
    def its_owner_updates_a_task(self, data: st.DataObject) -> None:
        """The owner of a task updates it."""
        body = data.draw(mo.updates(self.engine.state, self.clock.now))
        task = self.engine.state.tasks.get(getattr(body, "task_id", ""))
        owners = [who for who in CAST if task is not None and who.id == task.owner]
        self.give(body, owners[0] if owners else ADMIN)

    @HAS_TASKS
    @rule(data=st.data())
    def its_owner_tries_again(self, data: st.DataObject) -> None:
        """The owner of a task that ended badly queues it again."""
        ended = [t for t in self.engine.state.tasks.values() if t.status in ("failed", "cancelled")]
        if ended:
            self.give(o.RetryTask(data.draw(st.sampled_from(ended)).id, data.draw(st.booleans())), ADMIN)

    @precondition(lambda self: any("shards" in t.spec for t in self.engine.state.tasks.values()))
    @rule(data=st.data())
    def shards_run(self, data: st.DataObject) -> None:
        """Shards of a whole are placed, and some of them end, in whatever way."""
        self.schedule()
        tasks = self.engine.state.tasks.values()
        # What a node held that was forgotten meanwhile is running until it is told: nobody is
        # there to report on it.
        there = self.engine.state.workers.keys() & set(mo.NODES)
        running = [t for t in tasks if "shard" in t.spec and t.status == "running" and t.worker in there]
        for task in running:
            outcome = data.draw(st.sampled_from(("completed", "completed", "completed", "lost", "failed")))
            error = {"reason": "error"} if outcome == "failed" else None
            item = o.AttemptReport(task.id, task.attempt, outcome, {"n": task.id}, error, duration_s=0.2)
            worker = self.engine.state.workers[task.worker or ""]
            self.give(o.ReportAttempts(worker.id, worker.boot, (item,)), SYSTEM)

    @precondition(
        lambda self: any(
            "shard" in task.spec
            for i in self.engine.state.dependents
            if (task := self.engine.state.tasks.get(i)) is not None
        )
    )
    @rule(data=st.data(), ends=st.sampled_from((o.CancelTask, o.DeleteTask)))
    def a_whole_ends_before_its_shards(self, data: st.DataObject, ends: Callable[[str], OrderBody]) -> None:
        """Somebody ends a task whose shards others wait for."""
        awaited = [i for i in self.engine.state.dependents if "shard" in self.engine.state.tasks[i].spec]
        shard = self.engine.state.tasks[data.draw(st.sampled_from(sorted(awaited)))]
        self.give(ends(shard.spec["shard"]["of"]), ADMIN)

    @rule(data=st.data())
    def its_worker_updates_a_task(self, data: st.DataObject) -> None:
        """External workers ask for work, and one reports on what it holds."""
        for worker_id, by in zip(mo.BOTS, (BOT_1, BOT_2), strict=True):
            self.give(o.Heartbeat(worker_id, "idle"), by)
        running = [
            (w, i) for w in self.engine.state.workers.values() if w.kind == "external" for i in w.running
        ]
        if running:
            worker, task_id = data.draw(st.sampled_from(running))
            status = data.draw(st.sampled_from((None, *mo.STATUSES)))
            progress = data.draw(st.sampled_from((None, 20, 80)))
            by = next(who for who in CAST if who.id == worker.owner)
            self.give(o.UpdateTask(task_id, status, progress=progress, worker_id=worker.id), by)

    @rule(data=st.data(), by=st.sampled_from((BOT_1, BOT_1, BOT_2, BOT_2, ADMIN, DEV_1)))
    def external_worker_speaks(self, data: st.DataObject, by: Principal) -> None:
        """An external worker registers or sends its heartbeat."""
        self.give(data.draw(mo.by_bots(self.engine.state)), by)

    @rule(data=st.data(), by=st.sampled_from((SYSTEM, SYSTEM, ADMIN, DEV_1)))
    def order_about_an_account(self, data: st.DataObject, by: Principal) -> None:
        """Users and sessions come and go."""
        self.give(data.draw(mo.on_accounts(self.engine.state, self.serial, self.clock.now)), by)

    # ------------------------------------------------------------------------------------------ the cluster

    def schedule(self) -> None:
        """The scheduler places what fits."""
        for body in self.scheduler.react(self.news()):
            self.give(body, SYSTEM)

    @rule(data=st.data())
    def start_at_random(self, data: st.DataObject) -> None:
        """A scheduler with a stale picture starts what it should not."""
        ids, workers = (
            mo.task_ids(self.engine.state),
            st.sampled_from([*self.engine.state.workers, "worker-x"]),
        )
        pairs = data.draw(st.lists(st.tuples(ids, workers), max_size=4))
        preempt = data.draw(mo.preemptions(self.engine.state))
        self.give(o.StartAttempts(tuple(pairs), preempt), SYSTEM)

    @rule(data=st.data(), node=st.sampled_from(mo.NODES), fresh=st.sampled_from((True, True, True, False)))
    def node_reports(self, data: st.DataObject, node: str, fresh: bool) -> None:
        """A node worker gets work and reports, now and then from before its reboot."""
        self.schedule()
        known = self.engine.state.workers.get(node)
        boot = known.boot if fresh and known is not None else "boot-old"
        self.give(o.ReportAttempts(node, boot, data.draw(mo.reports(self.engine.state, node))), SYSTEM)

    @rule(data=st.data(), goes_on=SELDOM)
    def running_tasks_wait(self, data: st.DataObject, goes_on: bool) -> None:
        """Tasks on nodes wait for others in their code, or go on; what they wait for inherits."""
        self.give(o.SubmitTasks(mo.CHILDREN), DEV_1)
        self.schedule()
        for worker in [w for w in self.engine.state.workers.values() if w.kind == "node" and w.running]:
            waits = data.draw(mo.waits(self.engine.state, worker.id, goes_on=goes_on))
            self.give(o.ReportAttempts(worker.id, worker.boot, waits), SYSTEM)
        for body in self.cascade.react(self.news()):
            self.give(body, SYSTEM)

    def fill(self, node: str) -> None:
        """A node gets more than one order takes away."""
        self.give(o.SubmitTasks(mo.FIRST_TASKS[1:2] * POLICY.spread_tasks_max), DEV_1)
        self.give(o.StartAttempts(mo.all_for(self.engine.state, node)), SYSTEM)

    @rule(node=st.sampled_from(mo.NODES), boot=st.sampled_from(mo.BOOTS), full=SELDOM)
    def node_registers(self, node: str, boot: str, full: bool) -> None:
        """A node worker comes up, perhaps as another process."""
        if full:
            self.fill(node)
        self.give(mo.node_order(node, boot), SYSTEM)

    @rule(data=st.data(), boot=st.sampled_from((None, *mo.BOOTS[:2])), full=SELDOM, gone=st.booleans())
    def lose(self, data: st.DataObject, boot: str | None, full: bool, gone: bool) -> None:
        """A worker is given up, and is removed, or perhaps comes back."""
        worker = data.draw(st.sampled_from([*self.engine.state.workers, "worker-unknown"]))
        if full:
            self.fill(worker)
        self.give(o.LoseWorker(worker, "silent"), SYSTEM)
        if gone:
            self.give(o.RemoveWorker(worker), ADMIN)
        self.give(o.Heartbeat(worker, "busy", boot=boot), SYSTEM)

    @rule(seconds=st.sampled_from((0.2, 0.2, 1.5, 1.5, 7.0, 40.0, 700.0)))
    def time_passes(self, seconds: float) -> None:
        """The clock moves, and the followers do what it asks for."""
        self.clock.now += seconds
        if seconds < POLICY.node_lease_s:
            for node in mo.NODES:
                self.give(o.Heartbeat(node, "busy"), SYSTEM)
        for follower in (self.leases, self.timers, self.cascade):
            for body in follower.react(self.news()):
                self.give(body, SYSTEM)

    @rule(data=st.data(), reason=st.sampled_from(("deadline", "timeout")))
    def expire_too_early(self, data: st.DataObject, reason: str) -> None:
        """A timekeeper with a stale picture names tasks whose time may not be over."""
        ids = tuple(data.draw(st.lists(mo.task_ids(self.engine.state), max_size=5)))
        self.give(o.ExpireTasks(ids, reason), SYSTEM)
        self.give(o.ReleaseTasks(ids), SYSTEM)

    @HAS_TASKS
    @rule(through=st.integers(0, 400), limit=st.integers(1, 4))
    def archive(self, through: int, limit: int) -> None:
        """Finished tasks leave memory."""
        self.give(o.ArchiveTasks(through, self.clock.now - 1.0, limit), SYSTEM)

    def news(self) -> News:
        """Return what followers see."""
        state, now = self.engine.state, self.clock.now
        return News(state, self.engine.liveness, now, now)

    # ------------------------------------------------------------------------------------------ again

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def resend(self, data: st.DataObject) -> None:
        """An order that is sent again has no second effect; with a key it has the same receipt."""
        order, receipt, sent_at = data.draw(st.sampled_from(self.sent[-6:]))
        head = self.journal.head()
        if order.key is not None and self.clock.now + 1 < sent_at + POLICY.client_receipt_ttl_s:
            again = self.send(order)
            assert isinstance(again, Receipt)
            assert again.replayed
            assert again.data == receipt.data
            left = self.journal.read_after(head, 10_000)
            # Counts of refusals are due by the clock, whatever the order is.
            assert all(isinstance(fact.event, RequestsRefused) for fact in left)
        elif isinstance(order.body, o.SubmitTasks) and self._made(order) & set(self.engine.state.tasks):
            again = self.send(order)
            assert isinstance(again, Receipt)
            assert not self._submitted_after(head)

    @precondition(lambda self: any(order.key for order, _, _ in self.sent[-6:]))
    @rule()
    def reuse_a_key(self) -> None:
        """The same key with another request is a conflict."""
        order, _, sent_at = next(sent for sent in reversed(self.sent) if sent[0].key)
        if self.clock.now + 1 < sent_at + POLICY.client_receipt_ttl_s:
            other = Order(o.CancelTask("task-x"), order.by, "req-other", "seed-other", order.key, "another")
            answer = self.send(other)
            assert isinstance(answer, Rejected)
            assert answer.code is ErrorCode.CONFLICT

    def _made(self, order: Order) -> set[str]:
        return {
            fact.event.id
            for fact in self.journal.read_after(0, 100_000)
            if fact.request_id == order.request_id and isinstance(fact.event, TaskSubmitted)
        }

    def _submitted_after(self, head: int) -> list[Any]:
        return [f.event for f in self.journal.read_after(head, 100_000) if isinstance(f.event, TaskSubmitted)]

    # ----------------------------------------------------------------------------------------- crash and look

    @rule(keep=st.booleans())
    def restart(self, keep: bool) -> None:
        """A snapshot is kept, or an engine that folds the last one and the tail goes on
        from where the old stopped."""
        if keep:
            self.engine.save_snapshot()
            return
        again = Engine(self.journal, POLICY, self.clock)
        again.recover()
        assert whole(again.state) == whole(self.engine.state)
        assert check(again.state) == []
        self.engine = again

    @rule(by=ANYBODY, status=st.sampled_from((None, "pending", "waiting", "completed", "nonsense")))
    def look(self, by: Principal, status: str | None) -> None:
        """Everybody sees what is theirs to see, and every answer is JSON."""
        judge_answers(self.engine, by, status)

    @invariant()
    def laws_hold(self) -> None:
        """No law of the state is broken, and no more attempts are blocked than the policy allows."""
        assert check(self.engine.state) == []
        assert most_blocked(self.engine.state) <= POLICY.blocked_attempts_max

    def teardown(self) -> None:
        """The whole journal, and a snapshot from a disk, both fold into the state that is there; and whatever
        is left to tell of endings is told by as many orders as there are tasks."""
        state = self.engine.state
        # A priority is recomputed at a task for each task above it.
        for _ in range(len(state.tasks) ** 2):
            if not (left := self.cascade.react(self.news())):
                break
            self.give(left[0], SYSTEM)
        assert self.cascade.react(self.news()) == []
        assert check(state) == []
        assert whole(folded(self.journal.read_after(0, 1_000_000))) == whole(self.engine.state)
        assert whole(through_json(self.engine.state)) == whole(self.engine.state)


HEALTHY = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
SETTINGS = settings(max_examples=60, stateful_step_count=50, deadline=None, suppress_health_check=HEALTHY)
TestCoreMachine = CoreMachine.TestCase
TestCoreMachine.settings = SETTINGS
