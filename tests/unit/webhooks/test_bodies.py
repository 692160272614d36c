"""The body of a webhook and its signatures, by the published vectors and by libraries of others."""

from __future__ import annotations

import hmac
import json
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from helix_ray.core.values import shown
from helix_ray.webhooks.body import DATA_BYTES_MAX, payload
from helix_ray.webhooks.canonical import INTEGER_EXACT_MAX, canonical, exact
from helix_ray.webhooks.signing import body_signature, key_of, message_id, signed_headers, standard_signature

VECTORS = json.loads(Path(__file__).parents[2].joinpath("golden/webhook-vectors.json").read_text())
AT = 1_762_513_200.0
SIGNING_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="

# Everything that a result in the journal may be, lone surrogates and huge numbers of old journals included.
texts = st.text(st.characters(exclude_categories=()), max_size=20)
scalars = st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats() | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@given(data=values, secret=st.text(min_size=8, max_size=40))
def test_every_result_makes_a_deliverable_body(data: Any, secret: str) -> None:
    """Whatever the journal holds, the body is canonical JSON that verifies after a receiver has parsed it."""
    made = payload("task.completed", AT, {"task_id": "task-1", "status": "completed", "result": data})
    body = made.body(secret)
    told = json.loads(body)
    assert list(told) == ["data", "event", "signature", "timestamp"]
    assert told["timestamp"] == "2025-11-07T11:00:00.000Z"
    signature = told.pop("signature")
    again = rfc8785.dumps(told)
    assert again == made.signed
    key = secret.encode("utf-8", "surrogatepass")
    assert hmac.compare_digest(signature, "sha256=" + hmac.digest(key, again, "sha256").hex())


@given(data=values)
def test_the_fast_way_writes_the_same(data: Any) -> None:
    """Values that any writer prints alike take a faster way; its text is that of RFC 8785."""
    assert canonical(data) == rfc8785.dumps(exact(shown(data)))


@given(data=values)
def test_numbers_survive_parsers_that_have_only_doubles(data: Any) -> None:
    """A parser that reads every number as a double reads what a parser with exact integers reads."""
    text = canonical({"value": data})
    assert json.loads(text) == json.loads(text, parse_int=lambda digits: int(float(digits)))


def test_large_integers_travel_as_text() -> None:
    """Integers beyond 2^53 - 1 are text, and so are doubles that are printed like integers."""
    given = [INTEGER_EXACT_MAX, INTEGER_EXACT_MAX + 1, -(2**63), 1e20, 1e21, 3.0, -0.0, float("nan"), True]
    texts = b'"9007199254740992","-9223372036854775808","100000000000000000000"'
    assert canonical(given) == b"[9007199254740991," + texts + b",1e+21,3,0,null,true]"


def test_large_data_is_replaced_by_an_address() -> None:
    """`data` of 20 KB is sent as it is; one byte more is replaced by where it can be read."""
    fits = {"result": "x" * (DATA_BYTES_MAX - len('{"result":""}'))}
    assert json.loads(payload("task.completed", AT, fits).body("a secret"))["data"] == fits
    larger = {"result": fits["result"] + "x"}
    told = json.loads(payload("task.completed", AT, larger, "task-1").body("a secret"))
    assert told["data"] == {"truncated": True, "href": "/api/v1/tasks/task-1"}


@pytest.mark.parametrize("vector", VECTORS["bodies"], ids=lambda vector: vector["name"])
def test_published_vectors_of_bodies(vector: dict[str, Any]) -> None:
    """The vectors in docs are what is sent: canonical text, signature in the body, both kinds of headers."""
    told = vector["body"]
    made = payload(told["event"], vector["at"], told["data"])
    assert made.signed.decode() == vector["signed"]
    assert json.loads(made.body(vector["secret"])) == {
        **json.loads(vector["signed"]),
        "signature": vector["signature"],
    }
    body = vector["raw"].encode()
    assert made.body(vector["secret"]) == body
    headers = signed_headers(
        body, vector["id"], vector["timestamp"], vector["secret"], [vector["signing_secret"]]
    )
    assert headers["webhook-signature"] == vector["webhook-signature"]
    assert headers["X-Hub-Signature-256"] == vector["x-hub-signature-256"]


@pytest.mark.parametrize("vector", VECTORS["canonical"], ids=lambda vector: vector["name"])
def test_published_vectors_of_canonical_json(vector: dict[str, Any]) -> None:
    """Every value is written as RFC 8785 says."""
    assert canonical(json.loads(vector["json"])).decode() == vector["canonical"]


@given(body=st.binary(max_size=200))
def test_a_public_library_verifies_every_body(body: bytes) -> None:
    """`standardwebhooks` verifies the headers with the signing secret, and only with it."""
    import time

    body = canonical({"data": body.decode("latin-1")})
    headers = signed_headers(body, "msg_1", int(time.time()), "a secret", [SIGNING_SECRET])
    lowered = {name.lower(): value for name, value in headers.items()}
    assert Webhook(SIGNING_SECRET).verify(body, lowered) == json.loads(body)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "A" * 44).verify(body, lowered)


def test_both_secrets_verify_while_one_is_rotated() -> None:
    """While two secrets are valid, the header has a signature for each."""
    import time

    old = "whsec_" + "QUFB" * 10
    headers = signed_headers(b"{}", "msg_1", int(time.time()), "a secret", [SIGNING_SECRET, old])
    for secret in (SIGNING_SECRET, old):
        Webhook(secret).verify(b"{}", {name.lower(): value for name, value in headers.items()})


def test_ids_are_the_same_on_every_try() -> None:
    """The id depends on the webhook and the fact, and on nothing else."""
    assert message_id("webhook-1", 7) == message_id("webhook-1", 7)
    assert len({message_id("webhook-1", 7), message_id("webhook-17", 7), message_id("webhook-1", 77)}) == 3
    assert standard_signature(key_of(SIGNING_SECRET), "msg_1", 1, b"{}").startswith("v1,")
    assert body_signature(b"{}", "a secret").startswith("sha256=")
