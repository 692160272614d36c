"""Webhooks: who has them, what is refused, and what the sender gets of them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from helix_ray.core import events as ev
from helix_ray.core import orders as o
from helix_ray.core import questions as q
from helix_ray.core import snapshot
from helix_ray.core.access import SYSTEM, Capability, Principal
from helix_ray.core.answers import answer
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.policy import Policy
from helix_ray.core.views.webhooks import OWNER_MAY_NOT
from helix_ray.core.webhook_shape import refuse_headers, refuse_secret, refuse_url
from helix_ray.core.webhooks import FilterRecord
from tests.unit.core.stage import ADMIN, DEV, OTHER, START, VIEWER, Stage

KEY, NEXT_KEY = "whsec_" + "QUFB" * 8, "whsec_" + "QkJC" * 8
WANTED: FilterRecord = {
    "events": ["task.completed", "task.failed"], "projects": [], "types": [], "labels": {}, "statuses": [],
}  # fmt: skip
URL = "https://example.com/webhook"


class Hooks(Stage):
    """A stage with webhooks."""

    def hook(self, by: Principal = DEV, **more: Any) -> str:
        """Create a webhook; return its id."""
        made: str = self.give(order(**more), by)["id"]
        return made

    def ask(self, question: Any, by: Principal = SYSTEM) -> Any:
        """Answer a question."""
        return answer(self.picture(), question, by)

    def on_board(self, webhook_id: str) -> Any:
        """Return a webhook as the sender gets it."""
        return next(each for each in self.ask(q.WebhookBoard())["webhooks"] if each["id"] == webhook_id)


def order(**more: Any) -> o.CreateWebhook:
    """Return an order for a webhook."""
    body: dict[str, Any] = {
        "url": URL,
        "filter": WANTED,
        "secret": "your-webhook-secret",
        "signing_secret": KEY,
    }
    return o.CreateWebhook(**{**body, **more})


@pytest.fixture
def stage() -> Hooks:
    return Hooks()


def test_a_webhook_is_its_owners_and_administrators(stage: Hooks) -> None:
    """For a stranger it does not exist, whatever they do."""
    webhook_id = stage.hook()
    for by in (DEV, ADMIN):
        assert stage.ask(q.GetWebhook(webhook_id), by)["owner_id"] == DEV.id
        assert len(stage.ask(q.ListWebhooks(), by)["webhooks"]) == 1
    assert stage.ask(q.ListWebhooks(), OTHER) == {"webhooks": []}
    assert stage.ask(q.ListWebhooks(), VIEWER) == {"webhooks": []}
    assert stage.ask(q.GetWebhook(webhook_id), OTHER).code is ErrorCode.NOT_FOUND
    for body in (
        o.UpdateWebhook(webhook_id, {"name": "x"}), o.DeleteWebhook(webhook_id), o.PauseWebhook(webhook_id),
        o.ResumeWebhook(webhook_id), o.RotateWebhookSecret(webhook_id, "another one", NEXT_KEY),
        o.TestWebhook(webhook_id), o.Redeliver(webhook_id, 0),
    ):  # fmt: skip
        assert stage.refuse(body, OTHER).code is ErrorCode.NOT_FOUND
    stage.give(o.UpdateWebhook(webhook_id, {"name": "x"}), ADMIN)
    assert stage.sound()


def test_no_answer_but_the_board_has_a_secret(stage: Hooks) -> None:
    """Names of headers only, and that there are certificates."""
    stage.hook(
        headers={"Authorization": "Bearer canary"}, secret="canary-secret", ca="-----BEGIN CERTIFICATE-----"
    )
    shown = orjson.dumps(stage.ask(q.ListWebhooks(), DEV)).decode()
    assert "canary" not in shown
    assert KEY not in shown
    assert "Authorization" in shown


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"url": "ftp://example.com"}, "url"),
        ({"url": "https://example.com/a b"}, "url"),
        ({"url": "https://" + "a" * 2048}, "url"),
        ({"secret": "1234567"}, "secret"),
        ({"secret": "whsec_" + "QUFB" * 7}, "secret"),
        ({"secret": "whsec_not base64 at all, and long"}, "secret"),
        ({"headers": {"Webhook-Id": "1"}}, "headers.Webhook-Id"),
        ({"headers": {"X-Helix-Event": "1"}}, "headers.X-Helix-Event"),
        ({"headers": {"Helix-Number": "1"}}, "headers.Helix-Number"),
        ({"headers": {"a b": "1"}}, "headers"),
        ({"headers": {"a": "1\r\nb: 2"}}, "headers.a"),
        ({"headers": {"a": "1", "A": "2"}}, "headers"),
        ({"headers": {f"h{i}": "1" for i in range(21)}}, "headers"),
        ({"headers": {"a": "1" * 4096}}, "headers"),
        ({"ca": "a key"}, "ca"),
        ({"name": "a\nb"}, "name"),
        ({"filter": {**WANTED, "events": []}}, "events"),
        ({"filter": {**WANTED, "events": ["task.complete"]}}, "events"),
        ({"filter": {**WANTED, "statuses": ["done"]}}, "statuses"),
    ],
)
def test_what_cannot_be_is_refused(stage: Hooks, more: Any, field: str) -> None:
    """With the field, whatever it is."""
    refusal = stage.refuse(order(**more))
    assert (refusal.code, refusal.details["field"]) == (ErrorCode.VALIDATION_ERROR, field)


def test_an_unknown_event_is_refused_with_the_list(stage: Hooks) -> None:
    """So that the right name is in the answer."""
    refusal = stage.refuse(order(filter={**WANTED, "events": ["task.done"]}))
    assert refusal.details["unknown"] == ["task.done"]
    assert {"task.completed", "task.*", "*", "webhook.switched_off"} <= set(refusal.details["allowed_values"])


def test_the_reference_s_secret_and_long_enough_keys_are_taken() -> None:
    """19 characters of text; a `whsec_` of 24 bytes."""
    assert refuse_secret("your-webhook-secret") is None
    assert refuse_secret(KEY) is None
    assert refuse_secret("12345678") is None
    assert refuse_url("http://localhost:8000/hook") is None
    assert refuse_headers({"Authorization": "Bearer x", "X-Custom": ""}) is None


def test_limits_have_names(stage: Hooks) -> None:
    """A user may have so many; a deleted one makes room."""
    stage.policy = Policy(webhooks_per_user_max=2)
    first = stage.hook()
    stage.hook()
    refusal = stage.refuse(order())
    assert (refusal.code, refusal.details) == (ErrorCode.CONFLICT, {"webhooks_per_user_max": 2})
    stage.give(o.DeleteWebhook(first))
    stage.hook()


def test_what_is_held_is_skipped_or_replayed(stage: Hooks) -> None:
    """Pausing holds from that fact on; skipping moves `since`, replaying does not."""
    webhook_id = stage.hook()
    since = stage.on_board(webhook_id)["since"]
    stage.give(o.PauseWebhook(webhook_id))
    held_from = stage.state.seq
    stage.give(o.PauseWebhook(webhook_id))
    assert stage.state.seq == held_from
    assert stage.ask(q.GetWebhook(webhook_id), DEV)["held_from"] == held_from
    assert stage.refuse(o.TestWebhook(webhook_id)).code is ErrorCode.CONFLICT
    stage.give(o.ResumeWebhook(webhook_id))
    assert (stage.on_board(webhook_id)["status"], stage.on_board(webhook_id)["since"]) == ("active", since)
    stage.give(o.SwitchOffWebhook(webhook_id, "gone"), SYSTEM)
    off = stage.ask(q.GetWebhook(webhook_id), DEV)
    assert (off["status"], off["reason"]) == ("off", "gone")
    stage.give(o.ResumeWebhook(webhook_id, "skip"))
    assert stage.on_board(webhook_id)["since"] == stage.state.seq
    refused = stage.refuse(o.ResumeWebhook(webhook_id, "drop"))  # type: ignore[arg-type]
    assert refused.details["field"] == "pending"


def test_two_secrets_are_valid_for_a_day(stage: Hooks) -> None:
    """The newest first; after the day the old one is gone, and with an overlap of 0 at once."""
    webhook_id = stage.hook()
    stage.give(o.RotateWebhookSecret(webhook_id, "another secret", NEXT_KEY))
    found = stage.on_board(webhook_id)
    assert found["secret"] == "another secret"
    assert [each["secret"] for each in found["signing_secrets"]] == [NEXT_KEY, KEY]
    assert [each["until"] for each in found["signing_secrets"]] == [None, START + 86_400]
    stage.now += 86_401
    assert [each["secret"] for each in stage.on_board(webhook_id)["signing_secrets"]] == [NEXT_KEY]
    stage.give(o.RotateWebhookSecret(webhook_id, "a third secret", KEY, 0.0))
    assert [each["secret"] for each in stage.on_board(webhook_id)["signing_secrets"]] == [KEY]
    assert (
        stage.refuse(o.RotateWebhookSecret(webhook_id, "12345678", KEY, 1e9)).details["field"] == "overlap_s"
    )


def test_it_hears_as_its_owner_now(stage: Hooks) -> None:
    """Other roles count from the next look on; without a role that may have webhooks nobody hears, and
    the webhook says so."""
    webhook_id = stage.hook()
    assert stage.on_board(webhook_id)["owner"]["roles"] == ["developer"]
    stage.give(o.ChangeRoles(DEV.name, ("admin",)), SYSTEM)
    assert stage.on_board(webhook_id)["owner"]["roles"] == ["admin"]
    stage.give(o.ChangeRoles(DEV.name, ("viewer",)), SYSTEM)
    assert stage.on_board(webhook_id)["owner"] is None
    shown = stage.ask(q.GetWebhook(webhook_id))
    assert (shown["status"], shown["reason"]) == ("paused", OWNER_MAY_NOT)
    stage.give(o.ChangeRoles(DEV.name, ("developer",)), SYSTEM)
    shown = stage.ask(q.GetWebhook(webhook_id))
    assert (shown["status"], shown["reason"]) == ("active", None)
    stage.give(o.RemoveUser(DEV.name), SYSTEM)
    assert stage.ask(q.WebhookBoard()) == {"seq": stage.state.seq, "webhooks": []}
    assert stage.sound()


def test_a_token_s_webhook_hears_what_the_token_saw(stage: Hooks) -> None:
    """Its roles and projects, also when revoked; the token does not see wider webhooks of its owner."""
    wide = stage.hook(ADMIN)
    token = stage.give(o.CreateToken("p", "h", "x", 3600.0, roles=("developer",), projects=("p-1",)), ADMIN)[
        "id"
    ]
    by = Principal(ADMIN.id, token=token)
    narrow = stage.hook(by)
    owner = stage.on_board(narrow)["owner"]
    assert (owner["roles"], owner["projects"]) == (["developer"], ["p-1"])
    assert stage.refuse(o.PauseWebhook(wide), by).code is ErrorCode.NOT_FOUND
    stage.give(o.PauseWebhook(narrow), by)
    stage.give(o.RevokeToken(token), ADMIN)
    assert stage.on_board(narrow)["owner"] == owner
    stage.give(o.ChangeRoles(OTHER.name, ("admin",)), SYSTEM)
    stage.give(o.ChangeRoles(ADMIN.name, ("viewer",)), SYSTEM)
    assert stage.on_board(narrow)["owner"] is None


def test_a_token_with_fewer_roles_does_not_see_what_hears_more(stage: Hooks) -> None:
    """Or it could have the events of its owner's webhook sent to an address of its own, or read them in the
    deliveries. Tokens with its roles see it, and so does a session."""
    wide = stage.hook(ADMIN)
    for roles, seen in ((("developer",), False), (("viewer",), False), (("admin",), True)):
        token = stage.give(o.CreateToken("p", "h" + roles[0], "x", 3600.0, roles=roles), ADMIN)["id"]
        by = Principal(ADMIN.id, token=token)
        if seen:
            stage.give(o.PauseWebhook(wide), by)
        else:
            order = o.UpdateWebhook(wide, {"url": "https://attacker.example"}, {})
            assert isinstance(stage.refuse(order, by), Rejected)
        who = Principal(ADMIN.id, roles=roles, token=token)
        assert bool(stage.ask(q.ListWebhooks(), who)["webhooks"]) is seen
        assert isinstance(stage.ask(q.GetWebhook(wide), who), Rejected) is not seen


def test_headers_go_to_the_receiver_they_were_given_for(stage: Hooks) -> None:
    """Whoever may change a webhook does not get to know the values of its headers by another address."""
    webhook_id = stage.hook(headers={"Authorization": "Bearer canary"})

    def moved(url: str, **more: Any) -> o.UpdateWebhook:
        return o.UpdateWebhook(webhook_id, {"url": url, **more}, {})  # type: ignore[typeddict-item]

    for url in ("https://other.example/webhook", "https://example.com:8443/", "http://example.com/webhook"):
        assert stage.refuse(moved(url), ADMIN).details["field"] == "headers"
    stage.give(moved("https://EXAMPLE.com/other"), DEV)
    stage.give(moved("https://other.example", headers={}), DEV)
    assert stage.on_board(webhook_id)["headers"] == {}
    stage.give(moved("https://third.example"), DEV)


def test_code_of_a_task_has_no_webhooks(stage: Hooks) -> None:
    """It ends with its attempt, and a webhook would not."""
    stage.add_node()
    (task_id,) = stage.submit(
        {"title": "t", "type": "building", "run": {"kind": "command", "argv": ["true"]}}
    )
    stage.start(task_id)
    by = Principal(DEV.id, capability=Capability(task_id, 1, ""))
    assert stage.refuse(order(), by).code is ErrorCode.FORBIDDEN


def test_marks_only_move_forward(stage: Hooks) -> None:
    """Those of webhooks that are gone are left out, and without news there is no fact."""
    webhook_id = stage.hook()
    stage.give(o.NoteDeliveries(((webhook_id, 5, 2), ("webhook-gone", 9, 9))), SYSTEM)
    assert isinstance(stage.facts[-1].event, ev.WebhooksMarked)
    assert (stage.on_board(webhook_id)["mark_seq"], stage.on_board(webhook_id)["mark_number"]) == (5, 2)
    before = stage.state.seq
    stage.give(o.NoteDeliveries(((webhook_id, 4, 2),)), SYSTEM)
    assert stage.state.seq == before


def test_a_redelivery_names_a_range_of_facts(stage: Hooks) -> None:
    """Without an end it goes up to the newest fact."""
    webhook_id = stage.hook()
    newest = stage.state.seq
    stage.give(o.Redeliver(webhook_id, 0))
    assert stage.facts[-1].event == ev.WebhookRedeliveryAsked(webhook_id, 0, newest)
    for after, through in ((-1, 1), (1, 1), (0, 99)):
        assert stage.refuse(o.Redeliver(webhook_id, after, through)).code is ErrorCode.VALIDATION_ERROR


def test_an_update_says_only_what_changed(stage: Hooks) -> None:
    """And the same again is no fact."""
    webhook_id = stage.hook()
    stage.give(o.UpdateWebhook(webhook_id, {"url": URL, "name": "mine"}))
    assert stage.facts[-1].event == ev.WebhookUpdated(webhook_id, {"name": "mine"})
    before = stage.state.seq
    stage.give(o.UpdateWebhook(webhook_id, {"url": URL, "name": "mine"}))
    assert stage.state.seq == before
    assert isinstance(stage.decide(o.UpdateWebhook(webhook_id, {"url": "x"})), Rejected)


def test_a_snapshot_keeps_them(stage: Hooks) -> None:
    """With everything, also after JSON."""
    webhook_id = stage.hook(headers={"A": "b"})
    stage.give(o.RotateWebhookSecret(webhook_id, "another secret", NEXT_KEY))
    stage.give(o.PauseWebhook(webhook_id))
    again = snapshot.load(orjson.loads(orjson.dumps(snapshot.dump(stage.state))))
    assert again.webhooks == stage.state.webhooks
    assert again.webhooks_of == stage.state.webhooks_of
