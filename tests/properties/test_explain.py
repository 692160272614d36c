"""The smallest change of an explanation: it always places the task, and no part of it can be left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.errors import Rejected
from helix_ray.core.orders import Order, OrderBody, Receipt
from helix_ray.core.policy import Policy
from helix_ray.core.questions import ExplainTask
from helix_ray.engine import Engine
from helix_ray.followers.base import News
from helix_ray.followers.scheduler import Scheduler
from helix_ray.journal.memory import MemoryJournal
from tests.cast import enrol
from tests.properties import small_clusters as sc
from tests.properties.machine_model import HandClock

DEV = Principal("user-dev", "dev", ("developer",))
ADMIN = Principal("user-admin", "admin", ("admin",))
POLICY = Policy(preempt_from="none")
EXAMPLES = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
# No node has less than this of anything when it is empty, so it is sure to be taken in.
AMPLE = {"cpu": 64.0, "gpu": 64.0, "npu": 64.0, "memory_mb": 65536.0, "licence": 64.0}


def applied(spec: Mapping[str, Any], changes: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the spec of a task after these changes; changes that do not concern the task
    leave it as it is."""
    changed = dict(spec)
    for change in changes:
        if change["change"] == "drop_capability":
            kept = [name for name in changed.get("required_capabilities") or () if name != change["name"]]
            changed["required_capabilities"] = kept
        elif change["change"] == "drop_label":
            labels = changed.get("labels") or {}
            changed["labels"] = {name: value for name, value in labels.items() if name != change["name"]}
        elif change["change"] == "reduce":
            changed["resources"] = _reduced(changed.get("resources") or {}, change["resource"], change["to"])
        elif change["change"] == "fewer_shards":
            changed["shards"] = {**changed["shards"], "count": change["to"]}
    return changed


def _reduced(resources: Mapping[str, Any], name: str, to: float) -> dict[str, Any]:
    custom = resources.get("custom") or {}
    if name in custom:
        return {**resources, "custom": {**custom, name: to}}
    return {**resources, name: to}


class World:
    """An engine with nodes, and the scheduler that places on them."""

    def __init__(self) -> None:
        self.engine = Engine(MemoryJournal(), POLICY, HandClock())
        self.serial = 0
        enrol(self.engine, DEV, ADMIN)

    def give(self, body: OrderBody, by: Principal = SYSTEM) -> Receipt:
        """Carry out an order that must not be refused."""
        self.serial += 1
        (answer,) = self.engine.execute([Order(body, by, "req-1", f"s{self.serial}")])
        assert isinstance(answer, Receipt), answer
        return answer

    def submit(self, spec: dict[str, Any]) -> str:
        """Submit a task; return its id."""
        data = self.give(o.SubmitTasks((spec,)), DEV).data
        assert not data["rejected"], data
        return f"task-{data['seed']}"

    def schedule(self) -> None:
        """Let a scheduler that has seen nothing yet place what fits."""
        now = self.engine.clock.wall()
        news = News(self.engine.state, self.engine.liveness, now, now)
        for body in Scheduler(POLICY).react(news):
            self.give(body)

    def explain(self, task_id: str) -> dict[str, Any]:
        """Return the explanation of a task."""
        view = self.engine.query(ExplainTask(task_id), DEV)
        assert not isinstance(view, Rejected)
        return view

    def placed(self, *task_ids: str) -> bool:
        """Say whether tasks run, all of them."""
        return all(self.engine.state.tasks[i].status == "running" for i in task_ids)


specs = st.fixed_dictionaries(
    {"title": st.just("t"), "type": st.just("testing"), "run": st.just(sc.RUN), "resources": sc.amounts},
    optional={
        "labels": sc.labels,
        "required_capabilities": sc.capabilities.map(sorted),
        "project_id": st.sampled_from(sc.PROJECTS),
    },
)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Return a cluster that runs something: nodes of all sorts, some draining, some quotas."""
    world = World()
    for i in range(draw(st.integers(1, 4))):
        name = f"n{i}"
        body = o.RegisterWorker(
            "host",
            tuple(sorted(draw(sc.capabilities))),
            draw(sc.capacities),
            worker_id=name,
            kind="node",
            node_id=name,
            boot="boot",
            labels=draw(sc.labels),
        )
        world.give(body)
    for project in sorted(draw(st.sets(st.sampled_from(sc.PROJECTS)))):
        limits = draw(
            st.dictionaries(st.sampled_from(("cpu", "tasks")), st.sampled_from((4.0, 5.0)), max_size=2)
        )
        world.give(o.SetQuota(project, limits), ADMIN)
    # A type of node that was there once: whatever the tasks ask for could be held by it.
    world.give(
        o.RegisterWorker("host", (), AMPLE, worker_id="n-gone", kind="node", node_id="n-gone", boot="boot")
    )
    world.give(o.LoseWorker("n-gone", "gone"))
    for spec in draw(st.lists(specs, max_size=5)):
        world.submit(spec)
    world.schedule()
    for i in range(draw(st.integers(0, 1))):
        world.give(o.DrainWorker(f"n{i}"), ADMIN)
    # What waits now is in nobody's way.
    for task in [t for t in world.engine.state.tasks.values() if t.status == "pending"]:
        world.give(o.CancelTask(task.id), ADMIN)
    return world


def carry_out(world: World, spec: dict[str, Any], changes: list[dict[str, Any]]) -> list[str]:
    """Do what changes say and submit the task so changed; return the ids of what should run then."""
    undo: list[OrderBody] = []
    for change in changes:
        if change["change"] == "undrain":
            world.give(o.DrainWorker(change["node"], False), ADMIN)
            undo.append(o.DrainWorker(change["node"], True))
        elif change["change"] == "raise_quota":
            quota = world.engine.state.quotas[change["project_id"]]
            undo.append(o.SetQuota(change["project_id"], dict(quota.limits), quota.weight))
            limits = {**quota.limits, change["resource"]: quota.limits[change["resource"]] + change["by"]}
            world.give(o.SetQuota(change["project_id"], limits, quota.weight), ADMIN)
    task_id = world.submit(applied(spec, changes))
    world.schedule()
    count = applied(spec, changes).get("shards", {}).get("count", 0)
    ids = [f"{task_id}-s{i}" for i in range(count)] or [task_id]
    done = ids if world.placed(*ids) else []
    world.give(o.DeleteTask(task_id), ADMIN)
    for body in reversed(undo):
        world.give(body, ADMIN)
    return done


@EXAMPLES
@given(worlds(), specs)
def test_the_smallest_change_places_the_task_and_is_needed_whole(world: World, spec: dict[str, Any]) -> None:
    """For a task that waits, for whatever reasons."""
    check(world, spec)


@EXAMPLES
@given(worlds(), specs, st.integers(2, 6))
def test_the_smallest_change_of_a_gang_places_it_whole(
    world: World, spec: dict[str, Any], count: int
) -> None:
    """Then the shards that are left run, all of them."""
    check(world, {**spec, "shards": {"count": count, "gang": True}})


def check(world: World, spec: dict[str, Any]) -> None:
    """Explain a task that waits, and try the change and every smaller one."""
    (answer,) = world.engine.execute([Order(o.SubmitTasks((spec,)), DEV, "req-1", "s-asked")])
    assert isinstance(answer, Receipt)
    # More than a quota allows at once is refused where it is submitted.
    assume(not answer.data["rejected"])
    world.schedule()
    whole = world.engine.state.tasks["task-s-asked"]
    view = world.explain(whole.id)
    assume(whole.status == "pending")
    change = view["change"]
    assert view["verdict"] in ("waiting", "never", "quota"), view["summary"]
    assert change, view
    world.give(o.DeleteTask(whole.id), ADMIN)
    assert carry_out(world, spec, change), change
    for size in range(len(change)):
        for part in combinations(change, size):
            assert not carry_out(world, spec, list(part)), f"{part} is enough of {change}"


@EXAMPLES
@given(worlds(), specs)
def test_what_is_said_to_fit_is_placed(world: World, spec: dict[str, Any]) -> None:
    """And only that: the verdict of a task that is next agrees with what the scheduler does."""
    (answer,) = world.engine.execute([Order(o.SubmitTasks((spec,)), DEV, "req-1", "s-asked")])
    assert isinstance(answer, Receipt)
    assume(not answer.data["rejected"])
    verdict = world.explain("task-s-asked")["verdict"]
    world.schedule()
    assert world.placed("task-s-asked") == (verdict == "placeable"), verdict
