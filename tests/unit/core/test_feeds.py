"""A feed shows somebody the facts about what they see, without secrets; the system's
followers get all as they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest

from helix_ray.core import events as ev
from helix_ray.core import orders as o
from helix_ray.core.about import KINDS
from helix_ray.core.access import SYSTEM, Principal, inside
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.feeds import shown_to
from helix_ray.core.orders import Order
from helix_ray.core.origin import NOWHERE, Origin
from helix_ray.core.policy import Policy
from helix_ray.core.secrets import MASK
from helix_ray.engine import Engine
from helix_ray.journal.memory import MemoryJournal
from helix_ray.testing import ManualClock
from tests.cast import enrol
from tests.unit.core.stage import ADMIN, BOT, BOT_2, CAST, DEV, OTHER, VIEWER, spec

WORKER = "worker_bot"
RUN = {"kind": "command", "argv": ["x"], "env": {"A": "canary"}}


class World:
    """An engine, its cast, and what has been done in it."""

    def __init__(self) -> None:
        self.engine = Engine(MemoryJournal(), Policy(), ManualClock())
        enrol(self.engine, *CAST)
        self._orders = 0

    def give(self, body: o.OrderBody, by: Principal = DEV) -> dict[str, Any]:
        """Carry out an order that must not be refused."""
        self._orders += 1
        origin = Origin(f"192.0.2.{len(by.id)}", by.session or "", "probe/1")
        order = Order(body, by, f"req-{self._orders}", f"s{self._orders}", origin=origin)
        (answer,) = self.engine.execute([order])
        assert not isinstance(answer, Rejected), answer
        return answer.data

    def fed(self, by: Principal, after: int = 0) -> list[ev.Fact]:
        """Return the facts that somebody is shown."""
        batch = self.engine.events(after, 10_000, by)
        assert not isinstance(batch, Rejected), batch
        return list(batch.facts)

    def kinds(self, by: Principal, after: int) -> list[str]:
        """Return the names of the kinds that somebody is shown."""
        return [type(fact.event).__name__ for fact in self.fed(by, after)]


@pytest.fixture
def world() -> World:
    """A world with its cast."""
    return World()


def test_there_is_a_rule_for_every_kind() -> None:
    """A new kind of fact must say who sees it."""
    assert {*get_args(ev.Event), ev.Erased} == KINDS


def test_a_task_is_fed_to_who_sees_it(world: World) -> None:
    """To its owner, to the user whose worker runs it, to administrators and viewers, up to its last fact."""
    start = world.engine.state.seq
    world.give(o.RegisterWorker("host", ("building",), {}, worker_id=WORKER), BOT)
    task_id = f"task-{world.give(o.SubmitTasks((spec(),)))['seed']}"
    world.give(o.Heartbeat(WORKER, "idle"), BOT)
    world.give(o.UpdateTask(task_id, "completed", worker_id=WORKER), BOT)
    world.give(o.DeleteTask(task_id))
    whole = ["TaskSubmitted", "TaskAssigned", "TaskCompleted", "TaskDeleted"]
    for by in CAST:
        expected = whole if by in (DEV, BOT, ADMIN, VIEWER) else []
        assert [kind for kind in world.kinds(by, start) if kind.startswith("Task")] == expected, by


def test_a_bound_token_is_fed_its_projects(world: World) -> None:
    """Whatever its owner sees."""
    start = world.engine.state.seq
    world.give(o.SubmitTasks((spec(project_id="p-1"), spec(project_id="p-2"), spec())))
    token = world.give(o.CreateToken("ci", "hash", "abcd", 3600.0, roles=None, projects=("p-1",)))["id"]
    bound = replace(DEV, token=token, projects=("p-1",))
    shown = [fact.event for fact in world.fed(bound, start) if isinstance(fact.event, ev.TaskSubmitted)]
    assert [event.spec["project_id"] for event in shown] == ["p-1"]


def test_accounts_are_fed_to_their_user_and_administrators(world: World) -> None:
    """With a mark for every hash."""
    start = world.engine.state.seq
    world.give(o.OpenSession(DEV.id, "session-1", "canary", 1e12), SYSTEM)
    world.give(o.ChangePassword(DEV.id, "canary"), replace(DEV, session="session-1"))
    world.give(o.CloseSession("session-1"), replace(DEV, session="session-1"))
    for by in CAST:
        mine = by in (DEV, ADMIN)
        assert world.kinds(by, start) == (
            ["SessionOpened", "PasswordChanged", "SessionClosed"] if mine else []
        )
        assert "canary" not in str([_values(fact) for fact in world.fed(by, start)])
    opened = world.fed(DEV, start)[0].event
    assert isinstance(opened, ev.SessionOpened)
    assert opened.refresh_hash == MASK


def test_followers_get_everything_as_it_is(world: World) -> None:
    """And nobody else does who is inside the cluster."""
    world.give(o.SubmitTasks((spec(run=RUN),)))
    assert world.fed(SYSTEM) == world.engine.journal.read_after(0, 10_000)
    assert "canary" not in str([_values(fact) for fact in world.fed(inside("job:1"))])


def test_where_from_is_shown_to_oneself_and_administrators(world: World) -> None:
    """An address is the business of whose it is, and of who answers for the system."""
    start = world.engine.state.seq
    world.give(o.SubmitTasks((spec(),)))
    shown = {by.id: world.fed(by, start)[0].origin for by in (DEV, ADMIN, VIEWER)}
    assert shown[VIEWER.id] == NOWHERE
    assert shown[DEV.id] == shown[ADMIN.id] != NOWHERE


def test_refusals_are_for_administrators(world: World) -> None:
    """They say which names are tried, and from where."""
    start = world.engine.state.seq
    refusal = o.Refusal(
        "login", "credentials", "dev", author="anonymous", request_id="req-1", origin=Origin("192.0.2.9")
    )
    world.give(o.NoteRefusals((refusal,)), SYSTEM)
    assert {by.id for by in CAST if world.fed(by, start)} == {ADMIN.id}


def test_workers_projects_and_quotas_follow_their_questions(world: World) -> None:
    """Who may list workers is fed them all; projects are for their members."""
    start = world.engine.state.seq
    world.give(o.RegisterWorker("host", (), {}, worker_id=WORKER), BOT)
    world.give(o.CreateProject("team", members=("dev",)), ADMIN)
    world.give(o.SetQuota("team", {"cpu": 1.0}), ADMIN)
    world.give(o.SetQuota(OTHER.id, {"cpu": 1.0}), ADMIN)
    shown = {by.id: world.kinds(by, start) for by in CAST}
    assert shown[DEV.id] == ["WorkerRegistered", "ProjectSet", "QuotaSet"]
    assert shown[OTHER.id] == ["WorkerRegistered", "QuotaSet"]
    assert shown[BOT.id] == ["WorkerRegistered"]
    assert shown[BOT_2.id] == []


def test_the_cursor_moves_past_what_is_not_seen(world: World) -> None:
    """A reader who sees nothing of it still comes along."""
    world.give(o.SubmitTasks((spec(),)))
    batch = world.engine.events(0, 3, BOT_2)
    assert not isinstance(batch, Rejected)
    assert batch.cursor == 3
    assert all(isinstance(fact.event, ev.UserCreated) for fact in batch.facts)


def test_who_is_gone_is_fed_nothing(world: World) -> None:
    """The roles of now count, and a session that ended ends its feeds."""
    gone = world.engine.events(0, 10, replace(DEV, session="session-gone"))
    assert isinstance(gone, Rejected)
    assert gone.code is ErrorCode.UNAUTHORIZED
    claimed = replace(OTHER, roles=("admin",))
    assert [fact.event.id for fact in world.fed(claimed)] == [OTHER.id]  # type: ignore[union-attr]


def test_the_facts_themselves_stay_as_they_are(world: World) -> None:
    """What is shown is a copy."""
    world.give(o.SubmitTasks((spec(run=RUN),)))
    facts = tuple(world.engine.journal.read_after(0, 10_000))
    shown_to(ADMIN, facts, world.engine.state)
    assert "canary" in str([_values(fact) for fact in facts])


def _values(fact: ev.Fact) -> list[Any]:
    return [getattr(fact.event, name) for name in fact.event.__slots__]
