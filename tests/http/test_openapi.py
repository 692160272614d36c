"""The documentation is the application: every route is in it, every reference leads
somewhere, answers have its form."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from serve_app.app import PREFIX
from serve_app.described import everywhere
from serve_app.described.describing import TABLES, objects, own_descriptions
from serve_app.docs_page import page, said
from serve_app.openapi import operations
from tests.http.api_server import Api, error_of, serving_api
from tests.http.test_access import DOCUMENT, PUBLIC, application

METHODS_OF_DOCS = {("get", "/docs"), ("get", "/openapi.json")}
# The same as GET, without the body.
METHODS_OF_MONITORS = {("head", "/healthz"), ("head", "/readyz")}


def routes_of(app: FastAPI) -> set[tuple[str, str]]:
    found = set()
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, APIRoute):
            found |= {(method.lower(), context.path) for method in route.methods}
    return found


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(references(inner) for inner in value.values()))
    if isinstance(value, list):
        return set().union(*(references(inner) for inner in value))
    return set()


def test_documented_operations_are_the_routes() -> None:
    documented = {(method, path) for path, method, _ in operations(DOCUMENT)}
    assert documented | METHODS_OF_DOCS | METHODS_OF_MONITORS == routes_of(application())


def test_every_reference_leads_to_a_component_and_every_component_is_referred_to() -> None:
    names = {
        f"#/components/{kind}/{name}"
        for kind in ("schemas", "headers")
        for name in DOCUMENT["components"][kind]
    }
    assert references(DOCUMENT) == names


def test_every_operation_names_its_errors_its_body_and_its_security() -> None:
    for path, method, operation in operations(DOCUMENT):
        statuses = set(operation["responses"])
        assert {"429", "500", "503"} <= statuses
        assert "422" not in statuses
        assert ("security" in operation) == ((method, path) not in PUBLIC)
        if "security" in operation:
            assert {"401", "403"} <= statuses
        if method == "post" and path.startswith("/api/"):
            assert "Idempotency-Key" in [parameter["name"] for parameter in operation["parameters"]]
        assert operation["description"]
        for parameter in operation.get("parameters", ()):
            assert parameter["description"].endswith("."), (method, path, parameter["name"])


def fields_of(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the schemas of all fields, by model and field."""
    return {(model, name): schema for model, fields in objects(document) for name, schema in fields.items()}


def test_every_field_has_a_description() -> None:
    """It is a sentence or two in one line; models are told apart by their titles."""
    titles = [model for model, _ in objects(DOCUMENT)]
    assert len(titles) == len(set(titles))
    for (model, name), schema in fields_of(DOCUMENT).items():
        assert re.fullmatch(r"[A-Z`].{1,200}\.", schema.get("description", "")), (model, name)


def test_a_field_that_can_be_null_says_when() -> None:
    """Null has a meaning of its own, or means the same as a missing field."""
    silent = {
        (model, name)
        for (model, name), schema in fields_of(DOCUMENT).items()
        if {"type": "null"} in schema.get("anyOf", ())
        and not re.search("null|missing", schema["description"], re.IGNORECASE)
    }
    assert silent == set()


def test_a_field_that_says_what_null_means_can_be_null() -> None:
    """Or one of its values can, as in a list with gaps; where the schema takes anything, it takes null."""
    wrong = {
        (model, name)
        for (model, name), schema in fields_of(DOCUMENT).items()
        if re.search(r"\bnull\b", schema["description"], re.IGNORECASE)
        and not takes_null(schema)
        and not any(takes_null(schema.get(inner) or {}) for inner in ("items", "additionalProperties"))
    }
    # The sizes of a model's inputs and outputs are deep in them.
    assert wrong == {("VersionOut", "inputs"), ("VersionOut", "outputs")}


def takes_null(schema: dict[str, Any]) -> bool:
    """Say whether a schema takes null; one without a type takes anything."""
    ways = schema.get("anyOf", [schema])
    return any(way.get("type", "null") == "null" and "$ref" not in way for way in ways) and schema != {}


UNITS = {
    "_s": "second", "_ms": "millisecond", "_bytes": "byte", "_mb": "MiB", "percent": "percent|%|share",
    "_at": "ISO 8601|When|time", "temperature": "Celsius",
}  # fmt: skip


def test_a_field_whose_name_has_a_unit_says_it() -> None:
    silent = {
        (model, name)
        for (model, name), schema in fields_of(DOCUMENT).items()
        for end, unit in UNITS.items()
        if name.endswith(end) and not re.search(unit, schema["description"], re.IGNORECASE)
    }
    assert silent == set()


def test_every_description_is_of_a_field() -> None:
    """None is left over, and none is given twice."""
    found, own = fields_of(DOCUMENT), own_descriptions()
    given = [
        (model, name)
        for table in TABLES
        for models, fields in table.items()
        for model in models.split()
        for name in fields
    ]
    assert len(given) == len(own)
    assert own.keys() <= found.keys()
    assert everywhere.FIELDS.keys() <= {name for model, name in found.keys() - own.keys()}


def test_a_description_for_all_models_is_of_equal_fields() -> None:
    """A name that has another type in another model may mean something else there."""
    types: dict[str, set[str]] = {}
    for (model, name), schema in fields_of(DOCUMENT).items():
        if (model, name) not in own_descriptions() and name in everywhere.FIELDS:
            types.setdefault(name, set()).add(repr([schema.get(key) for key in ("type", "$ref", "anyOf")]))
    assert {name: found for name, found in types.items() if len(found) > 1} == {}


def test_requests_have_examples_that_are_valid(admin: httpx.Client) -> None:
    body = DOCUMENT["components"]["schemas"]["TaskIn"]["examples"][0]
    assert admin.post("/tasks", json=body).status_code == 201
    for name in ("LoginIn", "TaskUpdateIn", "WorkerIn", "HeartbeatIn"):
        assert DOCUMENT["components"]["schemas"][name]["examples"]


def test_the_page_shows_every_model_as_a_table_and_links_lead_to_it() -> None:
    """Each field has a row with its type, whether it is required, and its description."""
    shown = page(DOCUMENT)
    targets = re.findall(r" id=(\w+)>", shown)
    assert len(targets) == len(set(targets))
    assert set(re.findall(r"href=#(\w+)>", shown)) <= set(targets)
    assert set(DOCUMENT["components"]["schemas"]) <= set(targets)
    for (_, name), schema in fields_of(DOCUMENT).items():
        assert f"<td>{said(schema['description'])}" in shown, name
    assert (
        "<tr><td><code>depends_on</code><td>list of string (1 to 128 characters) (up to 1,000 items) or null"
        "<td>optional<td>Ids of tasks that must be completed first, or <code>#3</code>"
    ) in shown
    assert (
        "<tr><td><code>error</code><td><a href=#ErrorBody>ErrorBody</a><td>required<td>What went wrong."
    ) in shown
    assert '<meta name=viewport content="width=device-width,initial-scale=1">' in shown
    assert "<script" not in shown


def test_the_page_shows_every_operation_and_loads_nothing(api: Api) -> None:
    answer = httpx.get(f"{api.url}/docs", timeout=30)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    for path, _, _ in operations(DOCUMENT):
        assert path in answer.text
    assert answer.text == page(DOCUMENT)
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", answer.text)
    assert httpx.get(f"{api.url}/openapi.json", timeout=30).json() == DOCUMENT


def test_health(api: Api) -> None:
    assert httpx.get(f"{api.url}/healthz", timeout=30).json() == {"status": "ok"}
    assert httpx.get(f"{api.url}/readyz", timeout=30).json() == {"status": "ready"}
    error_of(httpx.post(f"{api.url}/healthz", timeout=30), 405, "METHOD_NOT_ALLOWED")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_monitor_may_ask_for_the_head_alone(api: Api, path: str) -> None:
    """Many do so by default, and take a 405 for a server that is down."""
    whole, head = (httpx.request(method, f"{api.url}{path}", timeout=30) for method in ("GET", "HEAD"))
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == whole.headers["content-length"]


def test_what_is_missing_has_a_name_and_a_reason() -> None:
    """/readyz is 503 with each part that a request would miss, and 200 as soon as none is missing."""
    reason = "journal.sqlite: No space left on device"
    with serving_api() as api:
        api.plane.missing = {"master": reason, "history": "it does not respond"}
        answer = httpx.get(f"{api.url}/readyz", timeout=30)
        details = error_of(answer, 503, "SERVICE_UNAVAILABLE")["details"]
        assert details["missing"] == {"master": reason, "history": "it does not respond"}
        assert answer.headers["retry-after"] == "1"
        api.plane.missing = {}
        assert httpx.get(f"{api.url}/readyz", timeout=30).status_code == 200


def test_figures_of_slow_responses_leave_out_routes_that_wait() -> None:
    """Answers that come when something has happened are late on purpose: the alert and the dashboard are not
    about these, and about all others."""
    late = {"wait_s", "follow"}
    waits = {
        path
        for path, _, operation in operations(DOCUMENT)
        if late & {each["name"] for each in operation.get("parameters", [])}
    }
    folder = Path(__file__).parents[2] / "deploy"
    for name in ("prometheus-rules.yaml", "grafana-dashboard.json"):
        text = (folder / name).read_text().replace('\\"', '"')
        left_out = set(re.findall(r'route!~"([^"]*)"', text))
        assert text.count("helix_request_seconds_bucket[") == 0
        (pattern,) = left_out
        found = {path for path, _, _ in operations(DOCUMENT) if re.fullmatch(pattern, path)}
        assert found == waits | {f"{PREFIX}/events"}
