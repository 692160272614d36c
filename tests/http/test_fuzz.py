"""Thousands of requests made from the documentation: no fault, and every answer in its documented form.

Each operation gets every boundary of its schema (coverage), and HELIX_FUZZ_EXAMPLES
(15; `make chaos`: 200) drawn at random beside them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from helix_ray.config import Settings
from helix_ray.wire.problems import Problem
from tests.http.api_server import PASSWORD, Api, serving_api
from tests.http.shapes import shaped
from tests.http.test_access import DOCUMENT

# Taken when the module is imported: the tests themselves run without HELIX_ variables.
EXAMPLES = int(os.environ.get("HELIX_FUZZ_EXAMPLES", "15"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
TIMEOUT_S = 20
# These end sessions: as a user of their own, who logs in again for each, so that the shared session lives.
ENDING = (("POST", "/api/v1/auth/logout"), ("DELETE", "/api/v1/auth/sessions"))
LEAVER = "leaver"


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[Api]:
    # Event streams end at once here.
    with serving_api(Settings(stream_s_max=0.01)) as api:
        admin = api.client()
        task_id = api.submit(admin)
        admin.put(f"/tasks/{task_id}", json={"status": "completed", "result": {"success": True}})
        admin.post("/workers/register", json={"hostname": "h", "capabilities": ["planning"]})
        api.add(LEAVER, "admin")
        yield api


@pytest.fixture(scope="module")
def connection() -> Iterator[requests.Session]:
    with requests.Session() as session:
        # Else it looks for a proxy in the environment before each request.
        session.trust_env = False
        yield session


@pytest.fixture(scope="module")
def token(fuzzed: Api) -> str:
    authorization: str = fuzzed.client().headers["Authorization"]
    return authorization


# pyproject.toml keeps it from being loaded for every run of pytest.
pytest_plugins = ("schemathesis.pytest.plugin",)
schema = schemathesis.openapi.from_dict(DOCUMENT)


def envelope(context: Any, response: Any, case: Any) -> None:
    """Every error is the documented envelope, under the id of its request."""
    if response.status_code >= 400:
        problem = shaped(Problem, response.json())
        assert [problem["request_id"]] == response.headers["x-request-id"]


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_has_its_documented_form(
    case: Any, fuzzed: Api, connection: requests.Session, token: str
) -> None:
    if (case.method, case.path) in ENDING:
        token = fresh_token(fuzzed)
    answer = case.call(
        base_url=fuzzed.url, session=connection, headers={"Authorization": token}, timeout=TIMEOUT_S
    )
    checks = [*CHECKS, envelope]
    if answer.status_code == 413 or case.path.endswith("/batch"):
        # A size is a refusal too; and of a batch each task is refused by itself, in the answer.
        checks.remove(negative_data_rejection)
    case.validate_response(answer, checks=checks)


def fresh_token(api: Api) -> str:
    """A session of its own, for a request that may end it."""
    with httpx.Client(base_url=f"{api.url}/api/v1", timeout=30) as client:
        body = {"username": LEAVER, "password": PASSWORD}
        return f"Bearer {client.post('/auth/login', json=body).json()['token']}"


def test_the_session_has_outlived_all_requests(fuzzed: Api, token: str) -> None:
    """No request has ended it: else what followed would only have been answered 401."""
    with httpx.Client(
        base_url=f"{fuzzed.url}/api/v1", headers={"Authorization": token}, timeout=30
    ) as client:
        assert client.get("/auth/me").status_code == 200
