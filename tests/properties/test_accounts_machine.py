"""Users that come, go, act and remove each other in any order: nobody acts after their
removal, an administrator stays."""

from __future__ import annotations

from typing import Literal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from helix_ray.core import orders as o
from helix_ray.core import questions as q
from helix_ray.core.access import ROLES, SYSTEM, Principal, may
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.events import RequestsRefused
from helix_ray.core.invariants import check
from helix_ray.core.orders import Order, OrderBody, Receipt
from helix_ray.core.visibility import administers
from helix_ray.core.webhooks import FilterRecord
from helix_ray.engine import Engine
from helix_ray.journal.memory import MemoryJournal
from tests.properties.machine_model import POLICY, HandClock, folded, through_json, whole

NAMES = st.sampled_from(("ann", "Ann", "ANN", "bob", "b\u00f6b", "cid", "cid\n", "dan"))
KEY = "whsec_" + "QUFB" * 8
WANTED: FilterRecord = {"events": ["*"], "projects": [], "types": [], "labels": {}, "statuses": []}
SOME_ROLES = st.sampled_from((("admin",), ("admin",), ("developer", "worker"), ("viewer",), ()))


class AccountsMachine(RuleBasedStateMachine):
    """An engine, and all the people that it ever knew, each with what they believe to be."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = HandClock()
        self.journal = MemoryJournal()
        self.engine = Engine(self.journal, POLICY, self.clock)
        self.people: list[Principal] = []
        self.serial = 0

    def give(self, body: OrderBody, by: Principal) -> Receipt | Rejected:
        """Send an order; a removed user is UNAUTHORIZED, and the roles are those of the state."""
        self.serial += 1
        self.clock.now += 0.01
        state = self.engine.state
        user, session = state.users.get(by.id), state.sessions.get(by.session or "")
        ended = by.session is not None and (session is None or session.expires_at <= self.clock.now)
        roles = user.roles if user is not None else ()
        head = state.seq
        (answer,) = self.engine.execute([Order(body, by, f"req-{self.serial}", f"{self.serial}")])
        if by is not SYSTEM:
            if user is None or ended:
                assert isinstance(answer, Rejected)
                assert answer.code is ErrorCode.UNAUTHORIZED
                facts = self.engine.facts(head, 10_000).facts
                assert all(isinstance(fact.event, RequestsRefused) for fact in facts), "it changed something"
            elif isinstance(answer, Receipt):
                assert may(Principal(by.id, roles=roles), type(body))
        return answer

    @initialize()
    def set_up(self) -> None:
        """The first start makes an administrator."""
        answer = self.give(o.CreateUser("ann", "argon", ("admin",), only_if_missing=True), SYSTEM)
        assert isinstance(answer, Receipt)
        self.people.append(Principal(answer.data["id"], "ann", ("admin",)))

    def somebody(self, data: st.DataObject) -> Principal:
        """Draw anybody who ever was a user, now and then as they were before they were changed."""
        return data.draw(st.sampled_from(self.people))

    @rule(data=st.data(), name=NAMES, roles=SOME_ROLES)
    def create(self, data: st.DataObject, name: str, roles: tuple[str, ...]) -> None:
        """Somebody adds a user."""
        answer = self.give(o.CreateUser(name, "argon", roles), self.somebody(data))
        if isinstance(answer, Receipt):
            assert set(roles) <= set(ROLES)
            self.people.append(Principal(answer.data["id"], name, roles))

    @rule(data=st.data(), as_system=st.sampled_from((False, False, True)))
    def remove(self, data: st.DataObject, as_system: bool) -> None:
        """Somebody removes somebody, perhaps under another spelling."""
        by = SYSTEM if as_system else self.somebody(data)
        self.give(o.RemoveUser(data.draw(st.sampled_from(self.people)).name.upper()), by)

    @rule(data=st.data())
    def two_remove_each_other(self, data: st.DataObject) -> None:
        """At most one of them succeeds, and the other one is there no longer."""
        one, two = self.somebody(data), self.somebody(data)
        users = self.engine.state.users
        if one.id in users and two.id in users and one.id != two.id:
            names = users[one.id].username, users[two.id].username
            answers = [self.give(o.RemoveUser(names[1]), one), self.give(o.RemoveUser(names[0]), two)]
            assert sum(isinstance(answer, Receipt) for answer in answers) <= 1

    @rule(data=st.data(), roles=SOME_ROLES)
    def change_roles(self, data: st.DataObject, roles: tuple[str, ...]) -> None:
        """Somebody gives somebody other roles."""
        self.give(o.ChangeRoles(data.draw(st.sampled_from(self.people)).name, roles), self.somebody(data))

    @rule(data=st.data(), lasts_s=st.sampled_from((5.0, 500.0)))
    def log_in(self, data: st.DataObject, lasts_s: float) -> None:
        """Somebody opens a session, and acts in it from then on, whatever becomes of it."""
        who = self.somebody(data)
        session = f"sess-{self.serial}"
        body = o.OpenSession(who.id, session, f"hash-{session}", self.clock.now + lasts_s)
        if isinstance(self.give(body, SYSTEM), Receipt):
            self.people.append(Principal(who.id, who.name, who.roles, session))

    @rule(data=st.data())
    def change_sessions(self, data: st.DataObject) -> None:
        """Somebody logs out, changes a password or refreshes."""
        who, hashes = self.somebody(data), [*self.engine.state.sessions_by_refresh, "hash-none"]
        sessions = [*self.engine.state.sessions, "sess-none"]
        self.give(o.CloseSession(data.draw(st.sampled_from(sessions))), who)
        self.give(o.ChangePassword(who.id, "argon-2"), who)
        expires_at = self.clock.now + 100.0
        refresh = o.RefreshSession(data.draw(st.sampled_from(hashes)), f"hash-{self.serial}", expires_at)
        self.give(refresh, SYSTEM)

    @rule(data=st.data())
    def act(self, data: st.DataObject) -> None:
        """Somebody submits a task, and asks for it."""
        who = self.somebody(data)
        answer = self.give(o.SubmitTasks(({"title": "t", "type": "testing"},)), who)
        asked = self.engine.query(q.ListTasks(), who)
        if isinstance(answer, Rejected) and answer.code is ErrorCode.UNAUTHORIZED:
            assert isinstance(asked, Rejected)
            assert asked.code is ErrorCode.UNAUTHORIZED

    @rule(data=st.data())
    def create_a_webhook(self, data: st.DataObject) -> None:
        """Somebody has an address told."""
        body = o.CreateWebhook(url="https://a.example", filter=WANTED, secret=KEY, signing_secret=KEY)
        self.give(body, self.somebody(data))

    @rule(data=st.data(), pending=st.sampled_from(("skip", "replay")), as_system=st.booleans())
    def change_a_webhook(
        self, data: st.DataObject, pending: Literal["skip", "replay"], as_system: bool
    ) -> None:
        """Whoever may change one owns it, or is an administrator."""
        name = data.draw(st.sampled_from([*self.engine.state.webhooks, "webhook-none"]))
        bodies: list[OrderBody] = [
            o.UpdateWebhook(name, {"name": pending}), o.PauseWebhook(name), o.ResumeWebhook(name, pending),
            o.RotateWebhookSecret(name, KEY, KEY, 5.0), o.TestWebhook(name), o.Redeliver(name, 0),
            o.DeleteWebhook(name),
        ]  # fmt: skip
        if as_system:
            bodies = [o.SwitchOffWebhook(name, "gone"), o.NoteDeliveries(((name, self.engine.state.seq, 1),))]
        by, before = SYSTEM if as_system else self.somebody(data), self.engine.state.webhooks.get(name)
        answer = self.give(data.draw(st.sampled_from(bodies)), by)
        user = self.engine.state.users.get(by.id)
        if isinstance(answer, Receipt) and not as_system:
            assert before is not None
            assert user is not None
            assert before.owner == by.id or administers(Principal(by.id, roles=user.roles))

    @invariant()
    def a_webhook_hears_as_its_owner(self) -> None:
        """With the owner's current roles, or as nobody."""
        board = self.engine.query(q.WebhookBoard(), SYSTEM)
        assert not isinstance(board, Rejected)
        for hook in board["webhooks"]:
            user = self.engine.state.users[self.engine.state.webhooks[hook["id"]].owner]
            writes = not {"admin", "developer"}.isdisjoint(user.roles)
            assert (hook["owner"] is not None) == writes
            assert hook["owner"] is None or tuple(hook["owner"]["roles"]) == user.roles

    @rule(seconds=st.sampled_from((1.0, 40.0, 1000.0)))
    def time_passes(self, seconds: float) -> None:
        """The clock moves."""
        self.clock.now += seconds

    @rule()
    def restart(self) -> None:
        """Another engine goes on from the journal."""
        again = Engine(self.journal, POLICY, self.clock)
        again.recover()
        assert whole(again.state) == whole(self.engine.state)
        self.engine = again

    @invariant()
    def an_administrator_stays(self) -> None:
        """From the first one on there is always one, and no law is broken."""
        state = self.engine.state
        assert not state.users or any("admin" in user.roles for user in state.users.values())
        assert check(state) == []

    def teardown(self) -> None:
        """The whole journal, and a snapshot from a disk, both fold into the state that is there."""
        assert whole(folded(self.journal.read_after(0, 1_000_000))) == whole(self.engine.state)
        assert whole(through_json(self.engine.state)) == whole(self.engine.state)


TestAccountsMachine = AccountsMachine.TestCase
TestAccountsMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
