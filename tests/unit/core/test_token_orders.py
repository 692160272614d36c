"""API tokens: what they may do, how long, and what ends them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from helix_ray.core import orders as o
from helix_ray.core import questions as q
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.answers import answer
from helix_ray.core.authority import as_of
from helix_ray.core.decide.outcome import Decision
from helix_ray.core.errors import ErrorCode
from helix_ray.core.policy import Policy
from tests.unit.core.stage import ADMIN, DEV, Stage, add_user, spec


class TestTokens:
    """API tokens: a part of what their owner may do, for a while."""

    def make(self, stage: Stage, who: Principal, **fields: Any) -> Principal:
        """Give a user a token; return who comes with it."""
        body = o.CreateToken("ci", f"hash-{stage.serial}", "a1B2", fields.pop("ttl_s", 100.0), **fields)
        return Principal(who.id, token=stage.give(body, who)["id"])

    def test_it_has_the_roles_that_it_was_given_and_its_owner_has_now(self, stage: Stage) -> None:
        """Neither others of its owner's, nor those that its owner lost."""
        both = add_user(stage, role="admin")
        both = replace(both, session=None)
        token = self.make(stage, both, roles=("admin",))
        stage.give(o.CreateUser("cid", "argon", ("viewer",)), token)
        stage.give(o.ChangeRoles("ann", ("developer",)), ADMIN)
        assert stage.refuse(o.CreateUser("dan", "argon", ("viewer",)), token).code is ErrorCode.FORBIDDEN
        assert stage.refuse(o.SubmitTasks((spec(),)), token).code is ErrorCode.FORBIDDEN
        body = o.CreateToken("more", "h", "a1B2", 100.0, roles=("admin",))
        assert stage.refuse(body, both).details["field"] == "roles"

    @pytest.mark.parametrize("order", [o.CreateToken("t", "h", "a", 99.0), o.ChangePassword("user-dev", "x")])
    def test_it_makes_no_other_and_changes_no_password(self, stage: Stage, order: o.OrderBody) -> None:
        """A token that leaked must not outlive itself."""
        assert stage.refuse(order, self.make(stage, DEV)).code is ErrorCode.FORBIDDEN

    def test_it_ends_with_its_time_its_owner_or_when_it_is_revoked(self, stage: Stage) -> None:
        """And says which; others cannot revoke it."""
        ann = replace(add_user(stage), session=None)
        late, revoked, orphan = (self.make(stage, ann, ttl_s=t) for t in (60.0, 500.0, 500.0))
        assert stage.refuse(o.RevokeToken(revoked.token or ""), DEV).code is ErrorCode.NOT_FOUND
        stage.give(o.RevokeToken(revoked.token or ""), revoked)
        stage.now += 60
        reasons = {"expired": late, "revoked": revoked}
        for reason, who in reasons.items():
            assert stage.refuse(o.SubmitTasks((spec(),)), who).details["reason"] == reason
        stage.submit(spec(), by=orphan)
        stage.give(o.RemoveUser("ann"), ADMIN)
        assert stage.refuse(o.SubmitTasks((spec(),)), orphan).details["reason"] == "user_removed"
        assert not stage.state.tokens
        assert stage.sound()

    def test_one_that_is_bound_to_projects_sees_and_submits_to_those_only(self, stage: Stage) -> None:
        """Nothing of its owner's other tasks exists for it, and nothing beyond tasks is open to it."""
        inside, outside = stage.submit(spec(project_id="p-1"), spec(project_id="p-2"))
        token = self.make(stage, ADMIN, projects=("p-1",))
        refusal = stage.decide(o.SubmitTasks((spec(), spec(project_id="p-1"), spec(project_id="p-2"))), token)
        assert isinstance(refusal, Decision)
        assert list(refusal.data["rejected"]) == ["0", "2"]
        who = as_of(stage.state, token, stage.now)
        assert isinstance(who, Principal)
        listed = answer(stage.picture(), q.ListTasks(), who)
        assert isinstance(listed, dict)
        assert [line["id"] for line in listed["tasks"]] == [inside]
        assert listed["total"] == 1
        assert stage.refuse(o.CancelTask(outside), token).code is ErrorCode.NOT_FOUND
        assert (
            stage.refuse(o.UpdateTask(inside, edits={"project_id": "p-2"}), token).code is ErrorCode.FORBIDDEN
        )
        for order in (o.CreateUser("x", "argon", ("admin",)), o.SetQuota("p-1"), o.DrainWorker("worker-x")):
            assert stage.refuse(order, token).code is ErrorCode.FORBIDDEN
        stage.give(o.CancelTask(inside), token)

    def test_its_use_is_noted_every_five_minutes_at_most(self, stage: Stage) -> None:
        """However many replicas tell of it."""
        token = self.make(stage, DEV, ttl_s=10_000.0)
        note = o.NoteTokenUse(token.token or "")
        for wait_s in (0.0, 1.0, 298.0, 1.0, 1.0, 0.5):
            stage.now += wait_s
            stage.give(note, SYSTEM)
        assert stage.kinds().count("TokenUsed") == 2
        assert stage.refuse(note, ADMIN).code is ErrorCode.FORBIDDEN

    @pytest.mark.parametrize(
        ("fields", "field"),
        [({"name": " "}, "name"), ({"name": "a\nb"}, "name"), ({"ttl_s": 59.0}, "expires_in_s"),
         ({"ttl_s": 4e7}, "expires_in_s"), ({"projects": ()}, "projects"), ({"roles": ("pope",)}, "roles")],
    )  # fmt: skip
    def test_what_is_no_token_is_refused(self, stage: Stage, fields: dict[str, Any], field: str) -> None:
        """Its name, life, roles and projects have limits."""
        body = o.CreateToken("ci", "hash", "a1B2", 100.0)
        assert stage.refuse(replace(body, **fields), DEV).details["field"] == field

    def test_a_user_has_so_many_that_are_alive(self) -> None:
        """Expired ones make room."""
        stage = Stage(Policy(api_tokens_per_user_max=1))
        self.make(stage, DEV)
        assert stage.refuse(o.CreateToken("two", "h2", "a", 99.0), DEV).code is ErrorCode.CONFLICT
        stage.now += 101
        self.make(stage, DEV)
        assert len(stage.state.tokens) == 1
