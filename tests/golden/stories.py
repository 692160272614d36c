"""What happens in the golden journals: orders that are given by hand, at fixed times and with fixed ids."""

from __future__ import annotations

from helix_ray.core import events as ev
from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.errors import Rejected
from helix_ray.core.events import Event, Fact
from helix_ray.core.orders import AttemptReport, Order, OrderBody
from helix_ray.core.origin import Origin
from helix_ray.core.policy import Policy
from helix_ray.core.state import Task
from helix_ray.engine import Engine
from helix_ray.journal.memory import MemoryJournal
from tests.golden.audit_story import AUDIT_STORIES
from tests.golden.dataset_story import datasets
from tests.golden.device_story import devices
from tests.golden.model_story import models
from tests.golden.threshold_story import thresholds
from tests.golden.webhook_story import webhooks

START = 1_790_000_000.0

ADMIN = Principal("user-0000000001", "admin", ("admin",), "sess-1")

ADA = Principal("user-0000000003", "ada", ("developer",), "sess-2")

BOT = Principal("user-bot", "bot", ("worker",))


class FixedClock:
    """A quarter of a second a look."""

    now = START

    def wall(self) -> float:
        self.now += 0.25
        return self.now

    def monotonic(self) -> float:
        return self.now


class Story:
    """An engine that is told what happens."""

    def __init__(self) -> None:
        self.journal = MemoryJournal()
        self.clock = FixedClock()
        self.engine = Engine(self.journal, Policy(losses_max=1), self.clock)
        self._count = 0

    def tell(
        self, body: OrderBody, by: Principal, key: str | None = None, recalled: o.Recalled | None = None
    ) -> None:
        """Carry out one order, which must not be refused; number n makes ids from n."""
        self._count += 1
        order = Order(
            body, by, f"req-{self._count:010d}", f"{self._count:010d}", key, "f" * 16, recalled=recalled
        )
        (answer,) = self.engine.execute([order])
        assert not isinstance(answer, Rejected), answer

    def report(self, number: str, attempt: int, outcome: str, **more: object) -> None:
        """Let the node worker report on a task."""
        item = AttemptReport(f"task-{number}", attempt, outcome, **more)  # type: ignore[arg-type]
        self.tell(o.ReportAttempts("worker-node", "boot-1", (item,)), SYSTEM)

    def start(self, *numbers: str) -> None:
        """Lease tasks to the node worker."""
        self.tell(o.StartAttempts(tuple((f"task-{n}", "worker-node") for n in numbers)), SYSTEM)


def accounts(story: Story) -> None:
    """Users and sessions come and go (orders 1 to 13)."""
    story.tell(o.CreateUser("admin", "$argon2id$1", ("admin",), only_if_missing=True), SYSTEM)
    story.tell(o.OpenSession(ADMIN.id, "sess-1", "aa", START + 9e5), SYSTEM)
    story.tell(o.CreateUser("ada", "$argon2id$2", ("developer",)), ADMIN)
    story.tell(o.CreateUser("zoë", "$argon2id$3", ("viewer", "worker")), ADMIN)
    story.tell(o.OpenSession(ADA.id, "sess-2", "bb", START + 9e5), SYSTEM)
    story.tell(o.OpenSession(ADA.id, "sess-3", "cc", START + 9e5), SYSTEM)
    story.tell(o.RefreshSession("bb", "dd", START + 1e6), SYSTEM)
    # Older releases kept one refused login as a fact here.
    story.tell(o.NoteRefusals(()), SYSTEM)
    story.tell(o.ChangePassword(ADA.id, "$argon2id$4"), ADA)
    story.tell(o.OpenSession(ADA.id, "sess-4", "ee", START + 9e5), SYSTEM)
    story.tell(o.CloseSession("sess-4"), ADA)
    story.tell(o.RefreshSession("bb", "ff", START + 1e6), SYSTEM)
    story.tell(o.RemoveUser("zoë"), ADMIN)


def workers(story: Story) -> None:
    """A node worker, an external one, and one that is lost (orders 14 to 17)."""
    node = {"cpu": 8, "memory_mb": 16000, "gpu": 1}
    story.tell(
        o.RegisterWorker(
            "host-1", ("gpu",), node, worker_id="worker-node", kind="node", node_id="node-1", boot="boot-1"
        ),
        SYSTEM,
    )
    story.tell(o.RegisterWorker("laptop", ("testing",), {"cpu": 2}, labels={"zone": "b"}), BOT)
    story.tell(o.RegisterWorker("gone", ("building",), {}, worker_id="worker_gone"), BOT)
    story.tell(o.DrainWorker("worker-0000000015", True), ADMIN)


def tasks(story: Story) -> None:
    """Tasks in every way to end, and some that have not (orders 18 on; ids are of their order)."""
    run = {"kind": "function", "function": "helix_ray.samples:noop", "args": [1, None], "kwargs": {"ü": 2.5}}
    plain = {
        "title": "first ✓",
        "type": "testing",
        "run": run,
        "max_retries": 1,
        "labels": {"b": "2", "a": "1"},
    }
    story.tell(
        o.SubmitTasks((plain, plain, {**plain, "depends_on": ["#0"]}, {**plain, "depends_on": ["#1"]})),
        ADA,
        "k:1",
    )
    story.start("0000000018-0", "0000000018-1")
    story.report("0000000018-0", 1, "progressed", progress=40.5, note="half way")
    story.report("0000000018-1", 1, "failed", error={"reason": "exit", "message": "1"}, duration_s=0.5)
    story.report("0000000018-0", 1, "completed", result={"success": True, "value": [1, "x"]}, duration_s=1.5)
    story.clock.now += 60
    story.tell(o.ReleaseTasks(("task-0000000018-1",)), SYSTEM)
    story.start("0000000018-1")
    story.report(
        "0000000018-1", 2, "failed", error={"reason": "exit", "message": "2"}, result={"exit_code": 2}
    )
    story.tell(o.RetryTask("task-0000000018-1"), ADA)
    person = {
        "title": "by hand",
        "type": "design",
        "priority": "low",
        "project_id": "p-1",
        "deadline": START + 5e3,
    }
    story.tell(o.SubmitTasks((person,)), ADA, "~g:1")
    story.tell(o.UpdateTask("task-0000000027", edits={"title": "by hand!", "priority": "high"}), ADA)
    story.tell(o.UpdateTask("task-0000000027", progress=30.0), ADA)
    story.tell(o.SubmitTasks((person, person, {**plain, "priority": "critical"})), ADA)
    story.tell(o.CancelTask("task-0000000030-0"), ADA)
    story.tell(o.DeleteTask("task-0000000030-1"), ADA)
    story.start("0000000030-2", "0000000018-2")
    story.report("0000000030-2", 1, "returned")
    building = {"title": "for the lost one", "type": "building"}
    story.tell(o.SubmitTasks((building,)), ADA)
    story.tell(o.Heartbeat("worker_gone", "idle"), BOT)
    story.tell(o.LoseWorker("worker_gone", "silent"), SYSTEM)
    story.tell(o.ArchiveTasks(story.engine.state.finished["task-0000000018-0"], story.clock.now), SYSTEM)


def placement(story: Story) -> None:
    """A quota, a sharded task that is preempted and completed, one that fails, one that is
    distributed (journal-2)."""
    node = {"cpu": 4.0, "npu": 1.0}
    for name in ("a", "b"):
        story.tell(
            o.RegisterWorker(
                f"host-{name}",
                ("npu",),
                node,
                worker_id=f"worker-{name}",
                kind="node",
                node_id=name,
                boot="boot-1",
            ),
            SYSTEM,
        )
    story.tell(o.SetQuota("p-1", {"cpu": 3.0, "tasks": 2.0}, 2.0), ADMIN)
    story.tell(o.SetQuota("p-2", {"cpu": 1.0}), ADMIN)
    story.tell(o.SetQuota("p-2"), ADMIN)
    run = {"kind": "function", "function": "helix_ray.samples:noop"}
    shards = {"title": "in two", "type": "testing", "run": run, "shards": {"count": 2, "gang": True}}
    story.tell(o.SubmitTasks((shards,)), ADA)
    story.tell(
        o.StartAttempts((("task-0000000006-s0", "worker-a"), ("task-0000000006-s1", "worker-b"))), SYSTEM
    )
    urgent = {"title": "urgent", "type": "testing", "run": run, "priority": "critical", "project_id": "p-1"}
    story.tell(o.SubmitTasks((urgent,)), ADA)
    preempt = (("task-0000000006-s1", 1),)
    story.tell(o.StartAttempts((("task-0000000008", "worker-b"),), preempt), SYSTEM)
    story.tell(o.StartAttempts((("task-0000000006-s1", "worker-b"),)), SYSTEM)
    for number, attempt, worker in (("s0", 1, "a"), ("s1", 2, "b")):
        item = AttemptReport(
            f"task-0000000006-{number}", attempt, "completed", {"value": number}, duration_s=0.5
        )
        story.tell(o.ReportAttempts(f"worker-{worker}", "boot-1", (item,)), SYSTEM)
    story.tell(o.SubmitTasks(({**shards, "shards": {"count": 3}},)), ADA)
    pairs = tuple((f"task-0000000013-s{i}", "worker-a") for i in range(3))
    story.tell(o.DistributeTask("task-0000000013", pairs, "pack", ("npu",)), ADA)
    item = AttemptReport("task-0000000013-s1", 1, "failed", error={"reason": "exit", "message": "1"})
    story.tell(o.ReportAttempts("worker-a", "boot-1", (item,)), SYSTEM)
    story.tell(o.LoseWorker("worker-b", "silent"), SYSTEM)


def surprise(story: Story) -> None:
    """A task that runs longer than was known, and one that was queued behind it (journal-2, order 17 on)."""
    run = {"kind": "command", "argv": ["true"]}
    story.tell(o.SubmitTasks(({"title": "long", "type": "testing", "run": run},) * 2), ADA)
    tasks = tuple(f"task-0000000017-{i}" for i in range(2))
    story.tell(o.StartAttempts(tuple((task_id, "worker-a") for task_id in tasks)), SYSTEM)
    reports = (
        AttemptReport(tasks[0], 1, "outlasted", duration_s=1.25),
        AttemptReport(tasks[1], 1, "returned"),
    )
    story.tell(o.ReportAttempts("worker-a", "boot-1", reports), SYSTEM)
    # worker-b was lost before.
    story.clock.now += 8 * 86_400
    story.tell(o.RemoveLostWorkers(("worker-b", "worker-a")), SYSTEM)


def access(story: Story) -> None:
    """Roles that change, and what else accounts do (journal-accounts)."""
    story.tell(o.CreateUser("admin", "$argon2id$1", ("admin",), only_if_missing=True), SYSTEM)
    story.tell(o.CreateUser("Ben", "$argon2id$2", ("developer",)), SYSTEM)
    story.tell(o.ChangeRoles("ben", ("viewer", "worker")), SYSTEM)
    ben = Principal("user-0000000002", "Ben", ("viewer", "worker"))
    for number, projects in enumerate((None, ("p-1", "p-2"), None), 4):
        token = o.CreateToken(
            f"program {number}", f"h{number}", "a1B2", 3600.0, roles=("worker",), projects=projects
        )
        story.tell(token, ben)
    story.tell(o.NoteTokenUse("token-0000000004"), SYSTEM)
    story.tell(o.RevokeToken("token-0000000005"), ben)
    for number in range(2):
        story.tell(o.OpenSession(ADMIN.id, f"sess-{number}", f"r{number}", START + 9e5), SYSTEM)
    story.tell(o.RefreshSession("r0", "r0b", START + 1e6), SYSTEM)
    story.clock.now += 60
    story.tell(o.RefreshSession("r0", "r0c", START + 1e6), SYSTEM)


def projects(story: Story) -> None:
    """A project with members who come and go, one that is removed, and a user who goes (journal-projects)."""
    for name, roles in (("ada", ("developer",)), ("ben", ("developer",)), ("cy", ("viewer",))):
        story.tell(o.CreateUser(name, f"$argon2id${name}", roles), SYSTEM)
    story.tell(o.CreateProject("team-a", "Team A", ("ada",)), SYSTEM)
    story.tell(o.AddMember("team-a", "ben"), SYSTEM)
    story.tell(o.AddMember("team-a", "cy"), SYSTEM)
    story.tell(o.RemoveMember("team-a", "ada"), SYSTEM)
    story.tell(o.ChangeProject("team-a", "Team B"), SYSTEM)
    story.tell(o.CreateProject("team-c"), SYSTEM)
    story.tell(o.RemoveProject("team-c"), SYSTEM)
    story.tell(o.RemoveUser("ben"), SYSTEM)


def odd(story: Story) -> None:
    """What releases before the gate took in: lone surrogates, results nested deeper than an
    answer can (journal-odd)."""
    story.tell(o.CreateUser("admin", "$argon2id$1", ("admin",), only_if_missing=True), SYSTEM)
    deep: list[object] = []
    for _ in range(400):
        deep = [deep]
    argv = {"kind": "command", "argv": ["wc", "caf\udce9.txt"], "env": {"\udce9": "a"}}
    spec = {"title": "caf\udce9", "type": "building", "labels": {"caf\udce9": "\udce9"}, "run": argv}
    failed = {"reason": "failed", "message": "no such file: caf\udce9", "traceback": "\ud800"}
    named = (
        "worker-node",
        "node",
        SYSTEM.id,
        "h\udce9",
        [],
        {"cpu": 4.0},
        {"zone": "\udce9"},
        "n-1",
        "boot-1",
    )
    events: list[Event] = [
        ev.WorkerRegistered(*named),
        *(ev.TaskSubmitted(f"task-odd{i}", ADMIN.id, spec) for i in range(4)),
        *(ev.TaskAssigned(f"task-odd{i}", 1, "worker-node") for i in range(3)),
        ev.TaskProgressed("task-odd0", 1, 10.0, "\udce9"),
        ev.TaskCompleted("task-odd0", 1, {"success": True, "value": [deep, 2**53 + 1]}, 0.5),
        ev.TaskFailed("task-odd1", 1, failed, {"output": "caf\udce9"}),
        ev.TaskEdited("task-odd3", {"description": "\udce9"}),
    ]
    first = story.engine.state.seq + 1
    facts = [Fact(n, START + 600, ADMIN.id, "req-odd", event) for n, event in enumerate(events, first)]
    story.journal.append(facts)
    story.engine.recover()


def refusals(story: Story) -> None:
    """Logins that fail, one after the other, and what no role allows (journal-refusals)."""
    story.tell(o.CreateUser("admin", "$argon2id$1", ("admin",), only_if_missing=True), SYSTEM)
    origin = Origin("192.0.2.7", "", "curl/8")
    for name in ("root", "admin", "roott"):
        refusal = o.Refusal(
            "login", "credentials", name, author="anonymous", request_id=f"req-{name}", origin=origin
        )
        story.tell(o.NoteRefusals((refusal,)), SYSTEM)
    forbidden = o.Refusal(
        "forbidden",
        "RemoveUser",
        "RemoveUser",
        author=ADA.id,
        request_id="req-ada",
        origin=Origin(credential="sess-2"),
    )
    story.tell(o.NoteRefusals((forbidden,)), SYSTEM)
    story.clock.now += 90
    story.tell(o.NoteRefusals(()), SYSTEM)


def restored(story: Story) -> None:
    """What failed yesterday is queued again, with what failed because of it: all of it had left
    memory (journal-restored)."""
    story.tell(o.CreateUser("ada", "$argon2id$2", ("developer",)), SYSTEM)
    story.tell(o.CreateUser("bot", "$argon2id$2", ("worker",)), SYSTEM)
    ada = Principal("user-0000000001", "ada", ("developer",))
    bot = Principal("user-0000000002", "bot", ("worker",))
    story.tell(o.RegisterWorker("laptop", ("building",), {}, worker_id="worker_bot"), bot)
    spec = {"title": "t", "type": "building"}
    sharded = {
        **spec,
        "run": {"kind": "command", "argv": ["true"]},
        "shards": {"count": 2},
        "depends_on": ["#0"],
    }
    story.tell(o.SubmitTasks((spec, sharded, {**spec, "depends_on": ["#0"]})), ada)
    story.tell(o.Heartbeat("worker_bot"), bot)
    failed = {"reason": "exit", "message": "1"}
    story.tell(o.UpdateTask("task-0000000004-0", "failed", attempt=1, error=failed), bot)
    state = story.engine.state
    records: dict[str, Task | None] = dict(state.tasks)
    story.tell(o.ArchiveTasks(state.seq, story.clock.now + 60), SYSTEM)
    recalled = o.Recalled(story.engine.state.seq, records, frozenset(records))
    story.tell(o.RetryTask("task-0000000004-0", dependants=True), ada, "k:1", recalled)


def erasures(story: Story) -> None:
    """What concerns a user who was removed and a task is erased on request (journal-erasures)."""
    story.tell(o.CreateUser("admin", "$argon2id$1", ("admin",)), SYSTEM)
    story.tell(o.CreateUser("ada", "$argon2id$2", ("developer",)), SYSTEM)
    admin = Principal("user-0000000001", "admin", ("admin",))
    ada = Principal("user-0000000002", "ada", ("developer",))
    story.tell(o.SubmitTasks(({"title": "t", "type": "building"},)), ada, f"{ada.id}:1")
    story.tell(o.CancelTask("task-0000000003"), ada)
    story.tell(o.RemoveUser("ada"), admin)
    story.tell(o.RequestErasure(("task-0000000001-0",), (ada.id,), "she asked for it"), admin)
    seq = story.engine.state.seq + 1
    erased = ev.FactsErased([2, 3], "she asked for it", "erasure-0000000006", ["task-0000000003"], [ada.id])
    story.journal.append([Fact(seq, story.clock.wall(), admin.id, "req-0000000006", erased)])
    story.engine.recover()
    story.tell(o.CompleteErasure("erasure-0000000006", 0, ("journal.sqlite.format1",)), SYSTEM)


def waiting(story: Story) -> None:
    """Running tasks wait for others in their code, and these inherit a priority (journal-waiting)."""
    story.tell(o.CreateUser("ada", "$argon2id$1", ("developer",)), SYSTEM)
    ada = Principal("user-0000000001", "ada", ("developer",))
    node = {"cpu": 1, "memory_mb": 1000}
    story.tell(
        o.RegisterWorker("host", (), node, worker_id="worker-node", kind="node", node_id="n", boot="boot-1"),
        SYSTEM,
    )
    run = {"kind": "function", "function": "helix_ray.samples:noop", "args": [], "kwargs": {}}
    spec = {"title": "t", "type": "building", "run": run, "priority": "low"}
    story.tell(o.SubmitTasks(({**spec, "priority": "critical"},)), ada)
    story.start("0000000003")
    story.tell(o.SubmitTasks((spec, spec, {**spec, "depends_on": ["#1"]})), ada)
    story.report("0000000003", 1, "blocked", on=("task-0000000005-0",), until="any")
    story.tell(o.SpreadEndings(500), SYSTEM)
    story.start("0000000005-0")
    story.report("0000000005-0", 1, "completed")
    story.report("0000000003", 1, "blocked", on=("task-0000000005-2",), until="unblocked")
    story.tell(o.SpreadEndings(500), SYSTEM)
    story.tell(o.SpreadEndings(500), SYSTEM)
    story.report("0000000003", 1, "unblocked")
    story.tell(o.SpreadEndings(500), SYSTEM)
    # What is left to settle, and a task that is still blocked, are in the state.
    story.report("0000000003", 1, "blocked", on=("task-0000000005-1",), until="all")


STORIES = {
    "journal-1": (accounts, workers, tasks),
    "journal-2": (placement, surprise),
    "journal-accounts": (access,),
    "journal-projects": (projects,),
    "journal-odd": (odd,),
    "journal-refusals": (refusals,),
    "journal-restored": (restored,),
    **AUDIT_STORIES,
    "journal-erasures": (erasures,),
    "journal-waiting": (waiting,),
    "journal-models": (models,),
    "journal-webhooks": (webhooks,),
    "journal-devices": (devices,),
    "journal-datasets": (datasets,),
    "journal-thresholds": (thresholds,),
}
