"""Whatever the order of events, a node reports each attempt once and runs it in one place at a time."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from helix_ray.core.orders import AttemptReport
from helix_ray.execution.assignment import (
    Assignment,
    Blocked,
    Finished,
    Outcome,
    Progressed,
    Started,
    Unblocked,
)
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
from helix_ray.execution.node_state import NodeState
from helix_ray.execution.runtime_env import RuntimeEnv
from helix_ray.execution.slots import Item
from helix_ray.execution.tenant import tenant_of

CAPACITY = {"cpu": 2.0, "gpu": 1.0}
DEMANDS = ((("cpu", 1.0),), (("cpu", 0.5),), (("gpu", 1.0),), ())
ENVIRONMENTS = tuple(
    RuntimeEnv(name, '{"config": {"setup_timeout_seconds": 5}, "working_dir": "s3://x.zip"}')
    for name in ("blue", "red")
)
ENDED = ("completed", "failed", "lost", "returned")
picks = st.integers(0, 10_000)


@dataclass
class Process:
    """An executor as its node sees it: what it was given and has not ended, and whether it still hears."""

    demand: tuple[tuple[str, float], ...]
    environment: RuntimeEnv | None
    served: list[Assignment] = field(default_factory=list)
    ready: bool = False
    killed: bool = False
    begun: bool = False
    blocked: bool = False
    queue: list[Key] = field(default_factory=list)
    asked_back: bool = False
    cancelled: list[Key] = field(default_factory=list)


def one_owner(served: list[Assignment]) -> None:
    """Commands aside, a process runs code of one owner only, and a fresh one runs one attempt."""
    inside = [work for work in served if not work.is_command]
    owners = {work.run["owner"] for work in inside if work.run["kind"] == "function"}
    assert len(owners) <= 1
    if owners:
        assert {work.run["owner"] for work in inside} == owners
    if any(work.run["fresh"] for work in inside):
        assert len(inside) == 1


class NodeMachine(RuleBasedStateMachine):
    """A control plane, a clock and executors that do as they like, around one NodeState."""

    def __init__(self) -> None:
        super().__init__()
        self.node = NodeState(CAPACITY, "n", 30.0)
        self.now = 0.0
        self.made = 0
        self.processes: dict[str, Process] = {}
        self.owed: set[Key] = set()  # assigned, not revoked, end not reported
        self.environments: dict[Key, RuntimeEnv | None] = {}
        self.fetching: list[Key] = []

    @initialize()
    def one_demand_is_known_to_be_short(self) -> None:
        """So its attempts go out in batches."""
        self.assign(1, DEMANDS[0], None)
        self.becomes_ready(0)
        self.begins(0)
        self.finishes(0, 0.00001)

    # ------------------------------------------------------------------------------------- effects

    def carry_out(self, effects: list[Effect]) -> None:
        self.released_cpus_are_used_once(effects)
        for effect in effects:
            match effect:
                case StartExecutor(slot_id, demand, environment):
                    assert slot_id not in self.processes
                    self.processes[slot_id] = Process(demand, environment)
                case FetchBlobs(key, digests):
                    assert digests == ("digest",)
                    self.fetching.append(key)
                case GiveAttempts(slot_id, batch):
                    process = self.processes[slot_id]
                    assert process.ready
                    assert not process.killed
                    keys = [(given.task_id, given.attempt) for given in batch]
                    assert not set(keys) & {key for other in self.processes.values() for key in other.queue}
                    assert set(keys) <= self.owed, "only what is wanted is given out"
                    assert not set(keys) & set(self.fetching), "nothing begins before its files are there"
                    process.queue += keys
                    process.served += batch
                    one_owner(process.served)
                    assert {self.environments[key] for key in keys} == {process.environment}
                case CancelAttempt(slot_id, key):
                    self.processes[slot_id].cancelled.append(key)
                case AskBack(slot_id):
                    self.processes[slot_id].asked_back = True
                case ReleaseExecutor(slot_id):
                    process = self.processes.pop(slot_id)
                    assert not process.queue, "what runs is not released"
                case KillExecutor(slot_id):
                    assert not self.processes[slot_id].killed, "killed once"
                    self.processes[slot_id].killed = True
                case Say(report):
                    if report.outcome in ENDED:
                        self.owed.remove((report.task_id, report.attempt))
                case SayFinished(finished, _):
                    self.owed.remove((finished.task_id, finished.attempt))

    def one_of(self, pick: int, **wanted: bool) -> str | None:
        slots = [
            slot_id
            for slot_id, process in self.processes.items()
            if all(bool(getattr(process, name)) == value for name, value in wanted.items())
        ]
        return slots[pick % len(slots)] if slots else None

    # ------------------------------------------------------------------------------------- events

    @rule(
        count=st.integers(1, 4),
        demand=st.sampled_from(DEMANDS),
        timeout_s=st.sampled_from([None, 1.0]),
        kind=st.sampled_from(["function", "function", "command", "inference"]),
        owner=st.sampled_from(["ann", "ben"]),
        fresh=st.booleans(),
        environment=st.sampled_from([None, None, *ENVIRONMENTS]),
        blobs=st.sampled_from([(), ("digest",)]),
    )
    def assign(
        self,
        count: int,
        demand: tuple[tuple[str, float], ...],
        timeout_s: float | None,
        kind: str = "function",
        owner: str = "ann",
        fresh: bool = False,
        environment: RuntimeEnv | None = None,
        blobs: tuple[str, ...] = (),
    ) -> None:
        environment = environment if kind == "function" else None
        items = []
        for _ in range(count):
            self.made += 1
            run = {"kind": kind, "owner": owner, "fresh": fresh and kind == "function"}
            work = Assignment(f"t{self.made}", 1, run, timeout_s, "/logs")
            work.blobs = blobs if kind == "inference" else ()
            tenant = tenant_of(work, owner, environment)
            items.append(Item(assignment=work, demand=demand, group=demand, tenant=tenant))
            self.owed.add(items[-1].key)
            self.environments[items[-1].key] = environment
        self.carry_out(self.node.assign(items, (), self.now))

    @precondition(lambda self: self.owed)
    @rule(pick=picks)
    def revoke(self, pick: int) -> None:
        key = sorted(self.owed)[pick % len(self.owed)]
        self.owed.remove(key)
        self.carry_out(self.node.assign((), [key], self.now))

    @precondition(lambda self: self.fetching)
    @rule(pick=picks, came=st.booleans())
    def files_come(self, pick: int, came: bool = True) -> None:
        key = self.fetching.pop(pick % len(self.fetching))
        if came:
            self.carry_out(self.node.fetched(key, self.now))
        else:
            self.carry_out(self.node.fetch_failed(AttemptReport(*key, "lost")))

    @rule(pick=picks)
    def becomes_ready(self, pick: int) -> None:
        slot_id = self.one_of(pick, ready=False, killed=False)
        if slot_id is not None:
            self.processes[slot_id].ready = True
            self.carry_out(self.node.ready(slot_id, self.now))

    @rule(pick=picks)
    def begins(self, pick: int) -> None:
        slot_id = self.one_of(pick, begun=False, queue=True, killed=False)
        if slot_id is not None:
            process = self.processes[slot_id]
            process.begun = True
            key = process.queue[0]
            self.carry_out(self.node.said(slot_id, [Started(*key)], self.now))

    @rule(pick=picks)
    def progresses(self, pick: int) -> None:
        slot_id = self.one_of(pick, begun=True, queue=True)
        if slot_id is not None:
            key = self.processes[slot_id].queue[0]
            self.carry_out(self.node.said(slot_id, [Progressed(*key, 1.0)], self.now))

    @rule(pick=picks)
    def waits_for_tasks(self, pick: int) -> None:
        slot_id = self.one_of(pick, begun=True, queue=True, blocked=False)
        if slot_id is not None:
            process = self.processes[slot_id]
            process.blocked = True
            said = Blocked(*process.queue[0], ("x",), "all")
            self.carry_out(self.node.said(slot_id, [said], self.now))

    @rule(pick=picks)
    def goes_on(self, pick: int) -> None:
        slot_id = self.one_of(pick, begun=True, queue=True, blocked=True)
        if slot_id is not None:
            process = self.processes[slot_id]
            process.blocked = False
            self.carry_out(self.node.said(slot_id, [Unblocked(*process.queue[0])], self.now))

    @rule(pick=picks, took_s=st.sampled_from([0.00001, 5.0]), count=st.integers(1, 3))
    def finishes(self, pick: int, took_s: float, count: int = 1) -> None:
        slot_id = self.one_of(pick, begun=True, queue=True)
        if slot_id is not None:
            process = self.processes[slot_id]
            process.begun = process.blocked = False
            ended, process.queue = process.queue[:count], process.queue[count:]
            self.end(slot_id, took_s, *ended)

    def end(self, slot_id: str, took_s: float, *keys: Key) -> None:
        said = [Finished(*key, Outcome(True), 0.0, took_s) for key in keys]
        self.carry_out(self.node.said(slot_id, said, self.now))

    @rule(pick=picks)
    def hears_a_cancel(self, pick: int) -> None:
        slot_id = self.one_of(pick, cancelled=True)
        if slot_id is not None:
            process = self.processes[slot_id]
            key = process.cancelled.pop(0)
            if key in process.queue[1 if process.begun else 0 :]:
                process.queue.remove(key)
                self.end(slot_id, 0.0, key)

    @rule(pick=picks)
    def returns_what_it_was_asked_for(self, pick: int) -> None:
        slot_id = self.one_of(pick, asked_back=True)
        if slot_id is not None:
            process = self.processes[slot_id]
            process.asked_back = False
            begun = 1 if process.begun else 0
            keys, process.queue = process.queue[begun:], process.queue[:begun]
            self.carry_out(self.node.returned(slot_id, keys, self.now))

    @rule(pick=picks)
    def dies(self, pick: int) -> None:
        slot_id = self.one_of(pick)
        if slot_id is not None:
            del self.processes[slot_id]
            self.carry_out(self.node.gone(slot_id, self.now))

    @rule(pick=picks)
    def cannot_be_set_up(self, pick: int) -> None:
        slot_id = self.one_of(pick, ready=False, environment=True)
        if slot_id is not None:
            self.carry_out(self.node.environment_failed(slot_id, "no such package"))
            environment = self.processes.pop(slot_id).environment
            given = {key for process in self.processes.values() for key in process.queue}
            waiting = [key for key in self.node.attempts() if self.environments[key] == environment]
            assert set(waiting) <= given, "what waits for it has failed"
            self.carry_out(self.node.gone(slot_id, self.now))

    @rule(
        seconds=st.sampled_from([0.0, 0.3, 1.5, 8.0, 70.0]), external=st.sampled_from([(), (("cpu", 1.5),)])
    )
    def time_passes(self, seconds: float, external: tuple[tuple[str, float], ...]) -> None:
        self.now += seconds
        self.carry_out(self.node.tick(external, self.now))

    # ------------------------------------------------------------------------------------- what always holds

    @invariant()
    def nothing_is_forgotten_and_nothing_is_kept(self) -> None:
        held = set(self.node.attempts())
        given = {key for process in self.processes.values() for key in process.queue}
        assert self.owed <= held
        assert held - self.owed <= given, "what was revoked is held only while an executor has it"
        assert given <= held

    @invariant()
    def slots_fit_the_node(self) -> None:
        slots = self.node.slots()
        assert {slot.id for slot in slots} == set(self.processes)
        for name, capacity in CAPACITY.items():
            assert sum(dict(slot.held).get(name, 0.0) for slot in slots) <= capacity

    def released_cpus_are_used_once(self, effects: list[Effect]) -> None:
        """What begins on released CPUs fits there: what goes on beside it may be more than fits, not that."""
        begun = {effect.slot_id for effect in effects if isinstance(effect, StartExecutor | GiveAttempts)}
        slots = self.node.slots()
        if not any(slot.on_released and slot.id in begun for slot in slots):
            return
        released = [slot.demand for slot in slots if slot.blocked and not slot.on_released]
        used = [
            slot.demand
            for slot in slots
            if slot.on_released and not slot.blocked and (slot.outstanding or not slot.ready)
        ]
        assert sum(dict(d).get("cpu", 0.0) for d in used) <= sum(dict(d).get("cpu", 0.0) for d in released)

    def teardown(self) -> None:
        """Once everything that runs ends, nothing is held and everything was reported."""
        for _ in range(1000):
            if not self.node.attempts():
                break
            while self.fetching:
                self.files_come(0)
            for slot_id, process in list(self.processes.items()):
                if process.killed:
                    del self.processes[slot_id]
                    self.carry_out(self.node.gone(slot_id, self.now))
                elif not process.ready:
                    process.ready = True
                    self.carry_out(self.node.ready(slot_id, self.now))
                elif process.queue:
                    process.begun = False
                    self.end(slot_id, 0.01, process.queue.pop(0))
            self.time_passes(0.3, ())
        assert not self.node.attempts()
        assert not self.owed


TestNodeMachine = NodeMachine.TestCase
TestNodeMachine.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
