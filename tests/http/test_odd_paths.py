"""What a request asks for is read once: no other spelling of a path or of a query gets round
what the edge decides by it."""

from __future__ import annotations

import pytest

from tests.http.api_server import PASSWORD, PLENTY, error_of, serving_api

LOGIN_LIMIT = 3


def test_no_other_spelling_of_a_path_gets_round_its_limit() -> None:
    """A login under a path that ends in an escaped newline is no login; one with
    escaped letters counts as one."""
    policies = [policy._replace(limit=LOGIN_LIMIT) if policy.name == "login" else policy for policy in PLENTY]
    with serving_api(policies=policies) as api:
        client, guess = api.anonymous(), {"username": "admin", "password": "guess"}
        for _ in range(LOGIN_LIMIT):
            error_of(client.post("/auth/logi%6e", json=guess), 401, "UNAUTHORIZED")
        error_of(client.post("/auth/login", json=guess), 429, "RATE_LIMIT_EXCEEDED")
        for spelling in ("/auth/login%0A", "/auth/login%0D%0A", "/auth/password%0a"):
            right = {"username": "admin", "password": PASSWORD}
            error_of(client.post(spelling, json=right), 404, "NOT_FOUND")
        for probe in ("/healthz%0A", "/metrics%0A"):
            error_of(client.get(f"{api.url}{probe}"), 404, "NOT_FOUND")


@pytest.mark.parametrize("query", ["=false", "users=admin", "wait=5", "limit=1", "%00=1"])
def test_a_route_with_a_query_refuses_unknown_names(query: str) -> None:
    """A name that is misspelt would otherwise be answered as if it were not there: with
    everybody's tokens, or at once."""
    with serving_api() as api:
        client = api.client()
        task_id = api.submit(client)
        for path in ("/auth/tokens", f"/tasks/{task_id}/result", f"/tasks/{task_id}/logs"):
            error_of(client.get(f"{path}?{query}"), 400, "VALIDATION_ERROR")
