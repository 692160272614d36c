"""helix token: make one, use it through HELIX_TOKEN, list it, revoke it."""

from __future__ import annotations

import json

import pytest

from helix_ray.client.api import Client
from helix_ray.client.errors import NotSignedIn
from tests.http.running_node import Helix


def test_a_token_is_made_used_listed_and_revoked(
    signed_in: Helix, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is alone on standard output, so `HELIX_TOKEN=$(helix token create ci)` works."""
    made = signed_in("token", "create", "ci", "--role", "viewer", "--expires-in", "30d")
    assert made.code == 0, made.err
    token = made.out.strip()
    (listed,) = json.loads(signed_in("token", "list", "--json").out)["tokens"]
    assert token.startswith(listed["prefix"])
    assert token not in signed_in("token", "list").out
    monkeypatch.setenv("HELIX_TOKEN", token)
    monkeypatch.setenv("HELIX_URL", url)
    with Client.from_environment() as client:
        assert client.whoami()["username"] == "admin"
        assert signed_in("token", "list").code == 0
        monkeypatch.delenv("HELIX_TOKEN")
        assert signed_in("token", "revoke", listed["id"]).code == 0
        with pytest.raises(NotSignedIn, match="revoked"):
            _use_until_refused(client)
    with pytest.raises(NotSignedIn, match="HELIX_TOKEN is not set"):
        Client.from_environment()
    assert signed_in("token", "create", "ci", "--expires-in", "soon").code == 2


def _use_until_refused(client: Client) -> None:
    for _ in range(1000):
        client.whoami()
