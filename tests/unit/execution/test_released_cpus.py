"""A blocked attempt's CPUs go to others on its node, whose executors ask Ray for none."""

from __future__ import annotations

import pytest

from helix_ray.core.orders import AttemptReport
from helix_ray.execution.assignment import Assignment, Blocked, Finished, Outcome, Unblocked
from helix_ray.execution.dispatch import ON_RELEASED_IDLE_S
from helix_ray.execution.effects import AskBack, Effect, GiveAttempts, ReleaseExecutor, Say, StartExecutor
from helix_ray.execution.node_state import NodeState
from helix_ray.execution.slots import STUCK_S, Item
from helix_ray.execution.tenant import Tenant

ONE = (("cpu", 1.0),)
ROOMY = (("cpu", 1.0), ("memory_mb", 60.0))


def item(name: str, demand: tuple[tuple[str, float], ...] = ONE, owner: str = "ann") -> Item:
    """Return an attempt of a task by name."""
    work = Assignment(name, 1, {"kind": "function"}, None, "/logs")
    return Item(assignment=work, demand=demand, group=demand, tenant=Tenant(owner))


def given(effects: list[Effect]) -> list[tuple[str, str]]:
    """Return (slot, task) of what was given out."""
    return [
        (effect.slot_id, work.task_id)
        for effect in effects
        if isinstance(effect, GiveAttempts)
        for work in effect.batch
    ]


def started(effects: list[Effect]) -> list[StartExecutor]:
    """Return the executors to start."""
    return [effect for effect in effects if isinstance(effect, StartExecutor)]


class OneCpu(NodeState):
    """A node of one CPU whose executor n-1 runs the task `parent`."""

    def __init__(self, **more: float) -> None:
        super().__init__({"cpu": 1.0, **more}, "n", 30.0)
        self.open(ONE, 0.0)
        self.ready("n-1", 0.0)
        self.assign([item("parent")], (), 0.0)

    def block(self, slot_id: str, name: str, now: float = 0.0) -> list[Effect]:
        """Have a task wait."""
        return self.said(slot_id, [Blocked(name, 1, ("x",), "all")], now)

    def go_on(self, slot_id: str, name: str, now: float = 0.0) -> list[Effect]:
        """Have a task wait no more."""
        return self.said(slot_id, [Unblocked(name, 1)], now)

    def end(self, slot_id: str, name: str, now: float = 0.0) -> list[Effect]:
        """Have a task end."""
        return self.said(slot_id, [Finished(name, 1, Outcome(True), 0.0, 1.0)], now)


@pytest.fixture
def node() -> OneCpu:
    """A node whose only CPU is in use."""
    return OneCpu()


def test_the_control_plane_is_told(node: OneCpu) -> None:
    """With what the attempt waits for; its end says the rest."""
    said = AttemptReport("parent", 1, "blocked", on=("x",), until="all")
    assert node.block("n-1", "parent") == [Say(said)]
    assert node.go_on("n-1", "parent") == [Say(AttemptReport("parent", 1, "unblocked"))]


def test_an_executor_on_released_cpus_asks_ray_for_none(node: OneCpu) -> None:
    """Ray has given the CPU to the executor of the parent, and does not know that it is free."""
    assert started(node.assign([item("child")], (), 0.0)) == []
    assert started(node.block("n-1", "parent")) == [StartExecutor("n-2", ONE, on_released=True)]
    assert given(node.ready("n-2", 0.0)) == [("n-2", "child")]
    assert [slot.held for slot in node.slots()] == [ONE, ()]


def test_with_cpus_of_its_own_an_executor_borrows_none() -> None:
    """What Ray has is asked for first."""
    node = OneCpu(cpu=2.0)
    node.block("n-1", "parent")
    assert started(node.assign([item("a"), item("b"), item("c")], (), 0.0)) == [
        StartExecutor("n-2", ONE),
        StartExecutor("n-3", ONE, on_released=True),
    ]


def test_fifty_levels_run_on_one_cpu(node: OneCpu) -> None:
    """Each releases what another one has released to it."""
    slot, name = "n-1", "parent"
    for depth in range(50):
        node.block(slot, name)
        (start,) = started(node.assign([item(f"child{depth}")], (), 0.0))
        assert start.on_released
        slot, name = start.slot_id, f"child{depth}"
        assert given(node.ready(slot, 0.0)) == [(slot, name)]
    assert len(node.attempts()) == 51


def test_nothing_is_released_twice(node: OneCpu) -> None:
    """Of two children one runs; the other one gets its executor."""
    node.block("n-1", "parent")
    assert len(started(node.assign([item("a"), item("b")], (), 0.0))) == 1
    assert given(node.ready("n-2", 0.0)) == [("n-2", "a")]
    assert given(node.end("n-2", "a")) == [("n-2", "b")]


def test_who_goes_on_is_not_kept_waiting(node: OneCpu) -> None:
    """The node is over its CPUs until the child ends; nothing else starts before."""
    node.block("n-1", "parent")
    node.assign([item("a")], (), 0.0)
    node.ready("n-2", 0.0)
    node.go_on("n-1", "parent")
    assert given(node.assign([item("b")], (), 0.0)) == []
    assert given(node.end("n-2", "a")) == []
    assert given(node.end("n-1", "parent")) == [("n-1", "b")]


def test_what_finds_no_cpus_any_more_goes_back(node: OneCpu) -> None:
    """The parent went on before its child had an executor: another node may run the child at once."""
    node.block("n-1", "parent")
    node.assign([item("a")], (), 0.0)
    node.go_on("n-1", "parent")
    assert given(node.ready("n-2", 0.5)) == []
    effects = node.tick((), STUCK_S + 0.1)
    assert Say(AttemptReport("a", 1, "returned")) in effects


def test_an_executor_is_kept_for_the_next_wait(node: OneCpu) -> None:
    """A parent that waits for one child after the other needs one process for all of them."""
    node.block("n-1", "parent")
    node.assign([item("a")], (), 0.0)
    node.ready("n-2", 0.0)
    node.end("n-2", "a", 1.0)
    node.go_on("n-1", "parent", 1.0)
    assert node.tick((), 1.0 + ON_RELEASED_IDLE_S) == []
    node.block("n-1", "parent", 1.5 + ON_RELEASED_IDLE_S)
    assert given(node.assign([item("b")], (), 4.0)) == [("n-2", "b")]
    node.end("n-2", "b", 5.0)
    node.go_on("n-1", "parent", 5.0)
    assert node.tick((), 5.1 + ON_RELEASED_IDLE_S) == [ReleaseExecutor("n-2")]


def test_what_is_behind_a_blocked_attempt_goes_elsewhere(node: OneCpu) -> None:
    """It may be what the attempt waits for."""
    node.end("n-1", "parent", 0.0)
    short = Finished("short", 1, Outcome(True), 0.0, 0.00001)
    node.assign([item("short")], (), 0.0)
    for _ in range(60):
        node.said("n-1", [short], 0.0)
        node.assign([item("short")], (), 0.0)
    node.said("n-1", [short], 0.0)
    assert given(node.assign([item("a"), item("b")], (), 0.0)) == [("n-1", "a"), ("n-1", "b")]
    assert AskBack("n-1") in node.block("n-1", "a")
    (start,) = started(node.returned("n-1", [("b", 1)], 0.0))
    assert given(node.ready(start.slot_id, 0.0)) == [(start.slot_id, "b")]


def test_only_cpus_are_released() -> None:
    """A child that needs memory which the parent has kept waits for it."""
    node = NodeState({"cpu": 1.0, "memory_mb": 100.0}, "n", 30.0)
    node.open(ROOMY, 0.0)
    node.ready("n-1", 0.0)
    node.assign([item("parent", ROOMY)], (), 0.0)
    node.said("n-1", [Blocked("parent", 1, (), "unblocked")], 0.0)
    assert started(node.assign([item("large", ROOMY)], (), 0.0)) == []
    assert started(node.assign([item("small")], (), 0.0)) == [StartExecutor("n-2", ONE, on_released=True)]


def test_an_idle_executor_of_another_owner_makes_room(node: OneCpu) -> None:
    """It has borrowed nothing while it is idle, and is no reason to wait."""
    node.block("n-1", "parent")
    node.assign([item("a")], (), 0.0)
    node.ready("n-2", 0.0)
    node.end("n-2", "a")
    (start,) = started(node.assign([item("b", owner="ben")], (), 0.0))
    assert start.on_released


def test_an_attempt_that_is_blocked_for_long_is_not_reported_as_long(node: OneCpu) -> None:
    """It has not been running; what could not start meanwhile goes back."""
    node.block("n-1", "parent")
    node.assign([item("a"), item("b")], (), 0.0)
    node.ready("n-2", 0.0)
    effects = node.tick((), STUCK_S + 0.1)
    assert [effect.report.task_id for effect in effects if isinstance(effect, Say)] == ["a", "b"]
    assert [effect.report.outcome for effect in effects if isinstance(effect, Say)] == [
        "outlasted",
        "returned",
    ]
