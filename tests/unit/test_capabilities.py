"""Code of an attempt acts for its task's owner: by a capability, as long as the attempt runs, and with no
rights that its owner does not have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actors.assigned import item_of
from helix_ray.config import Settings
from helix_ray.core import orders as o
from helix_ray.core import questions as q
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.authority import STOPPING_S_MAX
from helix_ray.core.decide.submit import task_ids
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.events import subject_of
from helix_ray.core.orders import AttemptReport, Order, OrderBody, Receipt
from helix_ray.core.origin import Origin
from helix_ray.core.policy import Policy
from helix_ray.core.questions import Question
from helix_ray.engine import Engine
from helix_ray.execution import acting
from helix_ray.execution.assignment import Run
from helix_ray.execution.frames import FrameReader, encode
from helix_ray.journal.memory import MemoryJournal
from helix_ray.security.keys import KeyRing
from helix_ray.security.vault import KeyVault
from helix_ray.testing import ManualClock
from helix_ray.wire.ids import new_seed
from tests.cast import enrol

ANN = Principal("user-ann", "ann", ("developer",))
BEN = Principal("user-ben", "ben", ("developer",))
ROOT = Principal("user-root", "root", ("admin",))
JOB = Principal("job:7", "job:7", SYSTEM.roles)
NODE = "worker-n1"
NAMED = {"kind": "function", "function": "helix_ray.samples:add"}
PICKLED = {"kind": "function", "payload": "cGlja2xl", "function": "lambda"}


class World:
    """An engine with a key, three users, and a node that is given what is to run."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.engine = Engine(MemoryJournal(), Policy(), self.clock, vault=KeyVault(KeyRing.fresh()))
        enrol(self.engine, ANN, BEN, ROOT)
        offer: dict[str, Any] = {"worker_id": NODE, "kind": "node", "node_id": "n1", "boot": "boot"}
        self.give(o.RegisterWorker("n1", ("building",), {"cpu": 100.0}, **offer))

    def order(self, body: OrderBody, by: Principal = SYSTEM, **envelope: Any) -> Receipt[Any] | Rejected:
        (answer,) = self.engine.execute([Order(body, by, "req-test", new_seed(), **envelope)])
        return answer

    def give(self, body: OrderBody, by: Principal = SYSTEM) -> Receipt[Any]:
        answer = self.order(body, by)
        assert isinstance(answer, Receipt), answer
        return answer

    def refusal(self, body: OrderBody, by: Principal) -> tuple[str, str]:
        """Return the code and the reason of a refusal."""
        answer = self.order(body, by)
        assert isinstance(answer, Rejected), answer
        return answer.code.value, str(answer.details.get("reason", ""))

    def ask(self, question: Question, by: Principal = SYSTEM) -> Any:
        return self.engine.query(question, by)

    def submit(self, by: Principal, run: Any = PICKLED, **fields: Any) -> str:
        """Submit one task, which must be accepted; return its id."""
        receipt = self.give(o.SubmitTasks(({"title": "t", "type": "building", "run": run, **fields},)), by)
        assert not receipt.data["rejected"], receipt.data
        return task_ids(receipt.data["seed"], 1)[0]

    def rejected(self, by: Principal, **fields: Any) -> list[Any]:
        """Submit one task, which must be refused; return why."""
        receipt = self.give(
            o.SubmitTasks(({"title": "t", "type": "building", "run": PICKLED, **fields},)), by
        )
        return list(receipt.data["rejected"]["0"])

    def start(self, task_id: str) -> Principal:
        """Start a task; return as whom its code calls the control plane."""
        self.give(o.StartAttempts(((task_id, NODE),)))
        work = next(w for w in self.ask(q.WorkFor(NODE, "boot", 0, 0))["assign"] if w["task_id"] == task_id)
        item = item_of(work, Path("/logs"), Settings(), Path("/blobs"))
        (run,) = FrameReader().feed(encode(Run((item.assignment,))))
        assert isinstance(run, Run)
        found = acting.of(run.assignments[0])
        assert found is not None
        return found

    def running(self, by: Principal, **fields: Any) -> Principal:
        """Submit and start a task; return as whom its code calls the control plane."""
        return self.start(self.submit(by, NAMED if by is not JOB else PICKLED, **fields))

    def end(self, code: Principal, outcome: str = "completed") -> None:
        assert code.capability is not None
        report = AttemptReport(code.capability.task_id, code.capability.attempt, outcome)
        self.give(o.ReportAttempts(NODE, "boot", (report,)))


@pytest.fixture
def world() -> World:
    return World()


def test_what_code_submits_belongs_to_the_owner_of_its_task_at_any_depth(world: World) -> None:
    """The author of the fact is the user, and its origin the attempt, whatever the code says of itself."""
    outer = world.running(ANN)
    inner = world.start(world.submit(outer))
    assert outer.capability is not None
    assert inner.capability is not None
    innermost = world.submit(inner)
    assert world.ask(q.GetTask(innermost))["owner"] == ANN.id
    (fact,) = [f for f in world.engine.facts(0, 100).facts if subject_of(f.event) == innermost]
    assert fact.actor == ANN.id
    assert fact.origin == Origin(credential=f"{inner.capability.task_id}#1")
    body = o.SubmitTasks(({"title": "t", "type": "building", "run": PICKLED},))
    world.order(body, inner, origin=Origin("1.2.3.4", "session-1"))
    assert world.engine.facts(0, 100).facts[-1].origin == fact.origin


def test_what_code_submits_exists_for_its_owner_only(world: World) -> None:
    """Neither another user nor the code of another user's task sees or cancels it."""
    mine = world.submit(world.running(ANN))
    others = world.running(BEN)
    assert world.ask(q.GetTask(mine), ANN)["id"] == mine
    for by in (BEN, others):
        assert world.ask(q.GetTask(mine), by).code is ErrorCode.NOT_FOUND
        assert world.refusal(o.CancelTask(mine), by) == ("NOT_FOUND", "")
        assert mine not in [task["id"] for task in world.ask(q.ListTasks(), by)["tasks"]]


def test_it_counts_against_the_quota_of_its_owner(world: World) -> None:
    """A function is no way around it."""
    world.give(o.SetQuota(ANN.id, {"queued": 3}))
    code = world.running(ANN)
    world.submit(code)
    world.submit(code)
    assert world.rejected(code)[0] == ErrorCode.RATE_LIMIT_EXCEEDED.value
    world.submit(world.running(BEN))


def test_it_stays_in_the_project_of_its_task(world: World) -> None:
    """It is put there unless it says so, and cannot leave it; one without a project may name its owner's."""
    world.give(o.CreateProject("red", "red", ("ann",)))
    world.give(o.CreateProject("blue", "blue", ("ann",)))
    code = world.running(ANN, project_id="red")
    assert world.ask(q.GetTask(world.submit(code)))["project_id"] == "red"
    assert world.ask(q.GetTask(world.submit(code, project_id="red")))["project_id"] == "red"
    assert world.rejected(code, project_id="blue")[0] == ErrorCode.FORBIDDEN.value
    elsewhere = world.submit(ANN, NAMED, project_id="blue")
    assert world.ask(q.GetTask(elsewhere), code).code is ErrorCode.NOT_FOUND
    free = world.running(ANN)
    assert world.ask(q.GetTask(world.submit(free, project_id="blue")))["project_id"] == "blue"


@pytest.mark.parametrize("forgery", ["owner", "task", "attempt", "mac", "no key"])
def test_nobody_can_make_a_capability(world: World, forgery: str) -> None:
    """Or change one: the control plane believes only its own."""
    code, other = world.running(ANN), world.running(BEN)
    assert code.capability is not None
    assert other.capability is not None
    forged = {
        "owner": replace(code, id=BEN.id),
        "task": replace(code, capability=replace(code.capability, task_id=other.capability.task_id)),
        "attempt": replace(code, capability=replace(code.capability, attempt=2)),
        "mac": replace(code, capability=replace(code.capability, mac="")),
        "no key": code,
    }[forgery]
    if forgery == "no key":
        world.engine = Engine(MemoryJournal(), Policy(), world.clock)
    body = o.SubmitTasks(({"title": "t", "type": "building", "run": PICKLED},))
    assert world.refusal(body, forged) == ("UNAUTHORIZED", "not_genuine")
    assert world.ask(q.ListTasks(), forged).details["reason"] == "not_genuine"
    events = world.engine.events(0, 10, forged)
    assert isinstance(events, Rejected)
    assert events.details["reason"] == "not_genuine"


def test_a_capability_ends_with_its_attempt(world: World) -> None:
    """What is being stopped may still read and cancel for a while, but begin nothing."""
    code = world.running(ANN)
    nested = world.submit(code)
    body = o.SubmitTasks(({"title": "t", "type": "building", "run": PICKLED},))
    world.end(code)
    assert world.refusal(body, code) == ("UNAUTHORIZED", "attempt_ended")
    assert world.ask(q.GetTask(nested), code)["id"] == nested
    world.give(o.CancelTask(nested), code)
    world.clock.advance(STOPPING_S_MAX + 1)
    assert world.ask(q.GetTask(nested), code).details["reason"] == "attempt_ended"


def test_an_attempt_that_was_lost_cannot_go_on(world: World) -> None:
    """Its task runs again elsewhere: the code of before, which may still run on a node that is cut off, is
    refused."""
    code = world.running(ANN)
    assert code.capability is not None
    world.end(code, "returned")
    again = world.start(code.capability.task_id)
    body = o.SubmitTasks(({"title": "t", "type": "building", "run": PICKLED},))
    assert world.refusal(body, code) == ("UNAUTHORIZED", "attempt_ended")
    world.submit(again)


def test_a_function_of_an_administrator_is_no_administrator(world: World) -> None:
    """It sees its owner's tasks, changes no other, and may do what a token of projects may."""
    task_id = world.submit(ANN, NAMED)
    code = world.running(ROOT)
    assert world.ask(q.GetTask(task_id), code).code is ErrorCode.NOT_FOUND
    assert world.refusal(o.CancelTask(task_id), code)[0] == "NOT_FOUND"
    assert world.refusal(o.SetQuota(ROOT.id, {}), code)[0] == "FORBIDDEN"
    assert world.refusal(o.CreateToken("t", "hash", "shown", 60.0), code)[0] == "FORBIDDEN"
    world.give(o.CreateProject("red", "red"))
    world.submit(world.running(ROOT, project_id="red"))


def test_rights_are_those_that_the_owner_has_now(world: World) -> None:
    """A role that was taken away, or an account that was removed, ends what its functions may do."""
    anns, bens = world.running(ANN), world.running(BEN)
    world.give(o.ChangeRoles("ann", ("viewer",)))
    world.give(o.RemoveUser("ben"))
    body = o.SubmitTasks(({"title": "t", "type": "building", "run": PICKLED},))
    assert world.refusal(body, anns)[0] == "FORBIDDEN"
    assert world.refusal(body, bens) == ("UNAUTHORIZED", "user_removed")


def test_functions_of_a_ray_job_act_for_the_job(world: World) -> None:
    """With its rights; whoever can start a Ray job can run any code."""
    task_id = world.submit(ANN, NAMED)
    code = world.running(JOB)
    assert world.ask(q.GetTask(world.submit(code)))["owner"] == JOB.id
    assert world.ask(q.GetTask(task_id), code)["id"] == task_id


def test_a_restart_of_the_control_plane_keeps_capabilities() -> None:
    """They follow from the key; an older key of the ring is as good."""
    old, new = KeyRing.fresh(), KeyRing.fresh()
    mac = KeyVault(old).mac("text")
    both = KeyVault(KeyRing(new.current, {**old.secrets, **new.secrets}))
    assert both.genuine("text", mac)
    assert not both.genuine("other", mac)
    assert not KeyVault(new).genuine("text", mac)
    assert not both.genuine("text", "ü:é")
