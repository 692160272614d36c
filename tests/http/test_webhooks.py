"""Webhooks over HTTP and by the `helix` program: registered, changed, and never shown with a secret."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import httpx
import pytest

from helix_ray.config import Settings
from helix_ray.core import events as ev
from helix_ray.core.access import SYSTEM
from helix_ray.core.questions import WebhookBoard
from helix_ray.wire.webhooks import AskedOut, WebhookOut, WebhookSignedOut, WebhooksOut
from tests.http.api_server import Api, error_of, serving_api
from tests.http.running_node import Helix
from tests.http.shapes import shaped

BODY = {
    "url": "https://example.com/webhook",
    "events": ["task.completed", "task.failed"],
    "secret": "your-webhook-secret",
}


def made(client: httpx.Client, **more: Any) -> WebhookSignedOut:
    """Create a webhook."""
    answer = client.post("/webhooks", json={**BODY, **more})
    assert answer.status_code == 201, answer.text
    return shaped(WebhookSignedOut, answer.json())


async def board(api: Api) -> Any:
    """Return all webhooks as the sender gets them."""
    return await api.plane.query(WebhookBoard(), SYSTEM)


def test_the_reference_s_example() -> None:
    """Word for word: the request is taken, and the answer has what it says."""
    with serving_api() as api:
        answer = api.client().post("/webhooks", json=BODY)
        assert answer.status_code == 201
        webhook = answer.json()
        assert (webhook["url"], webhook["events"]) == (BODY["url"], BODY["events"])
        assert webhook["id"].startswith("webhook-")
        assert webhook["created_at"].endswith("Z")
        assert webhook["signing_secret"].startswith("whsec_")


def test_a_webhook_from_its_creation_to_its_end() -> None:
    """A developer has their own, an administrator changes them too, for a stranger they do not exist."""
    with serving_api() as api:
        ada, ben, admin = api.add("ada", "developer"), api.add("ben", "developer"), api.client()
        webhook = made(ada, name="mine", projects=["p"], labels={"team": "a"}, headers={"X-Key": "canary"})
        path = f"/webhooks/{webhook['id']}"
        for client in (ada, admin):
            (listed,) = shaped(WebhooksOut, client.get("/webhooks").json())["webhooks"]
            assert listed == shaped(WebhookOut, client.get(path).json())
            assert (listed["owner"], listed["headers"], listed["labels"]) == ("ada", ["X-Key"], {"team": "a"})
        assert ben.get("/webhooks").json() == {"webhooks": []}
        for method, rest in (
            ("GET", ""), ("PUT", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume"),
            ("POST", "/rotate-secret"), ("POST", "/test"), ("POST", "/redeliver"),
        ):  # fmt: skip
            body = {"seq": 1} if rest == "/redeliver" else {}
            refused = ben.request(
                method, path + rest, json=body if method in ("PUT", "PATCH", "POST") else None
            )
            error_of(refused, 404, "NOT_FOUND")
        changed = ada.put(path, json={"events": ["task.*"], "headers": {}}).json()
        assert (changed["events"], changed["projects"], changed["headers"]) == (["task.*"], ["p"], [])
        patched = ada.patch(path, json={"name": "other"}).json()
        assert (patched["name"], patched["events"]) == ("other", ["task.*"])
        assert admin.post(f"{path}/pause").json()["status"] == "paused"
        error_of(ada.post(f"{path}/test"), 409, "CONFLICT")
        assert ada.post(f"{path}/resume", json={"pending": "skip"}).json()["status"] == "active"
        pinged = ada.post(f"{path}/test")
        assert pinged.status_code == 202
        (fact,) = api.plane.engine.facts(shaped(AskedOut, pinged.json())["seq"] - 1, 1).facts
        assert fact.event == ev.WebhookTested(webhook["id"])
        again = ada.post(f"{path}/redeliver", json={"after": 0})
        assert (again.status_code, again.json()["webhook_id"]) == (202, webhook["id"])
        for body in ({}, {"seq": 1, "after": 0}, {"seq": 1, "through": 2}, {"after": 10**6}):
            error_of(ada.post(f"{path}/redeliver", json=body), 400, "VALIDATION_ERROR")
        assert ada.delete(path).status_code == 204
        error_of(ada.get(path), 404, "NOT_FOUND")


def test_no_answer_shows_a_secret_but_the_first() -> None:
    """Neither the list nor what changes it, for nobody; nor the refusal of one that is too short."""
    with serving_api() as api:
        client = api.client()
        webhook = made(client, secret="canary-secret", headers={"Authorization": "Bearer canary"})
        path = f"/webhooks/{webhook['id']}"
        shown = "".join(
            answer.text
            for answer in (
                client.get("/webhooks"), client.get(path), client.put(path, json={"name": "other"}),
                client.post(f"{path}/pause"), client.post(f"{path}/resume"), client.post(f"{path}/test"),
                client.post("/webhooks", json={**BODY, "secret": "whsec_canary"}),
            )
        )  # fmt: skip
        assert "canary" not in shown
        assert str(webhook["signing_secret"]) not in shown
        assert "Authorization" in shown


def test_secrets_are_given_made_and_rotated() -> None:
    """A text beside a made signing secret; a `whsec_...` is both; a repeated request gets the same one."""
    with serving_api() as api:
        client = api.client()
        key = "whsec_" + "QUFB" * 8
        assert made(client, secret=key)["signing_secret"] == key
        without = {name: value for name, value in BODY.items() if name != "secret"}
        headers = {"Idempotency-Key": "k-1"}
        first, second = (client.post("/webhooks", json=without, headers=headers) for _ in range(2))
        assert first.json() == second.json()
        assert second.headers["idempotency-replayed"] == "true"
        webhook_id = first.json()["id"]
        rotated = client.post(f"/webhooks/{webhook_id}/rotate-secret", json={"overlap_s": 60}).json()
        assert rotated["signing_secret"] not in (None, first.json()["signing_secret"])
        assert rotated["rotated_until"] is not None
        error_of(
            client.post(f"/webhooks/{webhook_id}/rotate-secret", json={"secret": "short"}),
            400, "VALIDATION_ERROR",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"secret": "1234567"}, "secret"),
        ({"secret": "whsec_" + "QUFB" * 7}, "secret"),
        ({"events": []}, "events"),
        ({"events": ["task.done"]}, "events"),
        ({"url": "https://127.0.0.1/x"}, "url"),
        ({"url": "http://example.com/x"}, "url"),
        ({"url": "https://user:password@example.com/x"}, "url"),
        ({"headers": {"Host": "x"}}, "headers.Host"),
        (
            {"headers": {"X-A": "helix-sealed:\r\nX-B: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}},
            "headers.X-A",
        ),
        ({"ca": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}, "ca"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_cannot_be_is_refused(more: dict[str, Any], field: str) -> None:
    """With the field, in the envelope."""
    with serving_api() as api:
        error = error_of(api.client().post("/webhooks", json={**BODY, **more}), 400, "VALIDATION_ERROR")
        assert error["details"]["field"] == field


def test_the_refusal_of_a_beginner_s_receiver_names_the_settings() -> None:
    """And with them it is taken; an unknown event is refused with the list of events."""
    with serving_api() as api:
        answer = api.client().post("/webhooks", json={**BODY, "url": "http://localhost:8000/hook"})
        message = error_of(answer, 400, "VALIDATION_ERROR")["message"]
        assert "HELIX_WEBHOOK_ALLOW_HTTP" in message
        assert "HELIX_WEBHOOK_ALLOW_NETWORKS" in message
        answer = api.client().post("/webhooks", json={**BODY, "events": ["task.done"]})
        assert "task.completed" in error_of(answer, 400, "VALIDATION_ERROR")["details"]["allowed_values"]
    settings = replace(Settings(), webhook_allow_http=True, webhook_allow_networks="127.0.0.0/8,::1/128")
    with serving_api(settings) as api:
        made(api.client(), url="http://localhost:8000/hook")


def test_a_viewer_has_none() -> None:
    """Reading is allowed to them, and shows nothing; creating is not."""
    with serving_api() as api:
        viewer = api.add("vic", "viewer")
        assert viewer.get("/webhooks").json() == {"webhooks": []}
        error_of(viewer.post("/webhooks", json=BODY), 403, "FORBIDDEN")


def test_the_program(signed_in: Helix) -> None:
    """`helix webhook`: the secret is alone on standard output, and tables fit 80 columns."""
    created = signed_in(
        "webhook", "create", "https://example.com/hook", "--event", "task.*", "--label", "a=b"
    )
    assert created.code == 0, created.err
    assert created.out.startswith("whsec_")
    (webhook,) = json.loads(signed_in("webhook", "list", "--json").out)["webhooks"]
    assert (webhook["events"], webhook["labels"]) == (["task.*"], {"a": "b"})
    for command in (
        ("show", webhook["id"]), ("update", webhook["id"], "--name", "mine", "--header", "X-Key: canary"),
        ("pause", webhook["id"]), ("resume", webhook["id"], "--skip"), ("test", webhook["id"]),
        ("redeliver", webhook["id"], "--after", "0"), ("list",),
    ):  # fmt: skip
        found = signed_in("webhook", *command)
        assert found.code == 0, found.err
        assert "canary" not in found.out + found.err
    rotated = signed_in("webhook", "rotate", webhook["id"], "--overlap", "60")
    assert rotated.out.startswith("whsec_")
    assert rotated.out != created.out
    assert signed_in("webhook", "redeliver", webhook["id"]).code == 2
    assert signed_in("webhook", "delete", webhook["id"]).code == 0
    assert json.loads(signed_in("webhook", "list", "--json").out) == {"webhooks": []}
