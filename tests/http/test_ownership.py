"""Whose a thing is: each route is tried on the things of an owner by the owner, by a member of their project,
and by a stranger, who cannot tell them from things that do not exist."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import httpx
import pytest

from helix_ray.config import Settings
from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.verbs import VERBS
from helix_ray.testing import add_user
from serve_app.app import PREFIX
from tests.http.api_server import PASSWORD, TASK, Api, serving_api
from tests.http.enrolled import enrol
from tests.http.test_access import ROUTES

OWNER, MEMBER, STRANGER = "owner", "member", "stranger"
PEOPLE = (STRANGER, MEMBER, OWNER)
ROLES = ("developer", "publisher", "worker")
PROJECT, NONE = "vision", "none"
# Whom a kind of thing exists for (core/visibility.py); it has a parameter of the path for its id.
SEEN_BY = {
    "task": {OWNER},
    "session": {OWNER},
    "token": {OWNER},
    "device": {OWNER},
    "conflict": {OWNER},
    "webhook": {OWNER},
    "project": {OWNER, MEMBER},
    "model": {OWNER, MEMBER},
    "dataset": {OWNER, MEMBER},
    "worker": {*PEOPLE},
    "node": {*PEOPLE},
}
KINDS = {
    "task_id": "task", "session_id": "session", "token_id": "token", "device_id": "device",
    "conflict_id": "conflict", "webhook_id": "webhook", "project_id": "project", "name": "model",
    "digest": "dataset", "worker_id": "worker", "node_id": "node",
}  # fmt: skip
# Parameters of a part of a thing: one that it has.
PARTS = {"version": "1", "seq": "1"}
LISTS = {
    "/tasks": "task", "/auth/sessions": "session", "/auth/tokens": "token", "/devices": "device",
    "/harmony/sync/conflicts": "conflict", "/webhooks": "webhook", "/projects": "project", "/models": "model",
    "/datasets": "dataset", "/workers": "worker",
}  # fmt: skip
# Bodies that name a thing: ID stands for it. Where an answer is the same whatever is named, the kind is "".
ID = "{id}"
NAMED = {
    ("post", "/tasks"): ("task", {"json": {**TASK, "depends_on": [ID]}}),
    ("post", "/tasks/batch"): ("task", {"json": {"tasks": [{**TASK, "depends_on": [ID]}]}}),
    ("post", "/harmony/distribute"): ("task", {"json": {"task_id": ID}}),
    ("post", "/auth/tokens"): ("", {"json": {"name": "ci", "projects": [ID]}}),
    ("post", "/webhooks"): (
        "",
        {"json": {"url": "https://example.com/x", "events": ["task.*"], "projects": [ID]}},
    ),
    ("post", "/datasets"): ("project", {"files": [("project_id", (None, ID)), ("file", b"rows")]}),
    ("post", "/models"): (
        "project",
        {"files": [("name", (None, "other")), ("project_id", (None, ID)), ("file", b"onnx")]},
    ),
}
# Routes about the caller, or about what is everybody's.
OF_NOBODY = {
    ("post", "/workers/register"), ("post", "/workers/heartbeat"), ("get", "/harmony/cluster/status"),
    ("get", "/harmony/nodes"), ("get", "/harmony/ai/acceleration"), ("get", "/aurora/monitoring/system"),
    ("get", "/harmony/quotas"), ("post", "/auth/logout"), ("get", "/auth/me"), ("put", "/auth/password"),
    ("delete", "/auth/sessions"), ("get", "/harmony/sync/status"), ("post", "/devices/codes"),
    ("get", "/harmony/sync/documents"),
    # tests/unit/core/test_feeds.py: each kind of fact is heard by those who see what it is about.
    ("get", "/events"),
}  # fmt: skip
BODIES: dict[tuple[str, str], Any] = {
    ("put", "/tasks/{task_id}"): {"title": "other"},
    ("patch", "/devices/{device_id}"): {"name": "other"},
    ("put", "/devices/{device_id}/follows"): {"tasks": [], "documents": ["notes"]},
    ("post", "/harmony/sync/conflicts/{conflict_id}"): {"keep": "current"},
    ("post", "/models/{name}/activate"): {"version": 1},
    ("post", "/models/{name}/canary"): {"version": 1, "percent": 10},
    ("put", "/webhooks/{webhook_id}"): {"name": "other"},
    ("patch", "/webhooks/{webhook_id}"): {"name": "other"},
    ("post", "/webhooks/{webhook_id}/redeliver"): {"after": 0},
}


def for_people(verb: str) -> bool:
    """Say whether a route is for the roles that people here have; others are tried in test_access.py."""
    return not VERBS[verb].allowed.isdisjoint(ROLES)


def short(path: str) -> str:
    return path.removeprefix(PREFIX)


def parameters(path: str) -> list[str]:
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


REACHED = [(method, short(path)) for method, path, verb in ROUTES if for_people(verb)]
ABOUT = [(method, path) for method, path in REACHED if parameters(path)]


@dataclass
class World:
    """An owner's things: of each kind one for each person to try routes on, since some routes end them."""

    api: Api
    clients: dict[str, httpx.Client]
    things: dict[tuple[str, str], str]

    def ask(self, who: str, method: str, path: str, thing: str) -> httpx.Response:
        """Ask a route about a thing."""
        url = path
        for name in parameters(path):
            url = url.replace(f"{{{name}}}", PARTS.get(name, thing), 1)
        return self.clients[who].request(method, url, json=BODIES.get((method, path)))


def told(answer: httpx.Response, thing: str) -> tuple[int, str]:
    """Return status and error of an answer, without the id of the thing that was asked for."""
    if not answer.is_error:
        return answer.status_code, ""
    error = answer.json()["error"]
    return answer.status_code, f"{error['code']} {error['message']} {error['details']}".replace(thing, ID)


def build(api: Api) -> World:
    """Make people, and the owner's things in the project."""
    plane = api.plane
    people = {name: add_user(plane, name, PASSWORD, ROLES) for name in PEOPLE}
    owner = people[OWNER]
    clients = {name: api.client(name) for name in PEOPLE}
    things: dict[tuple[str, str], str] = {}
    for who in PEOPLE:
        project = f"{PROJECT}-{who}"
        plane.give(o.CreateProject(project, "", (OWNER, MEMBER)), SYSTEM)
        made = _things(api, clients[OWNER], owner, project, who)
        things |= {(kind, who): thing for kind, thing in made.items()}
        node = o.RegisterWorker(who, (), {"cpu": 1.0}, kind="node", node_id=f"node-{who}", boot="boot-1")
        things["node", who] = plane.give(node, SYSTEM).data["worker_id"]
    return World(api, clients, things)


def _things(api: Api, client: httpx.Client, owner: Principal, project: str, who: str) -> dict[str, str]:
    plane = api.plane
    digest = sha256(who.encode()).hexdigest()
    file: Any = {"digest": digest, "bytes": 1}
    plane.give(o.PushModel(name=f"model-{who}", file=file, project_id=project), owner)
    plane.give(o.UploadDataset(digest, 1, project), owner)
    wanted: Any = {"events": ["task.*"], "projects": [], "types": [], "labels": {}, "statuses": []}
    hook = o.CreateWebhook(
        url="https://example.com", filter=wanted, secret="s" * 16, signing_secret="whsec_" + "QUFB" * 8
    )
    session = f"session-{who}"
    plane.give(o.OpenSession(owner.id, session, f"hash-{who}", 4e9))
    device = enrol(api, OWNER, who)
    return {
        "task": api.submit(client, project_id=project),
        "session": session,
        "token": plane.give(o.CreateToken(who, f"token-{who}", "helix_pat_x", 3600.0), owner).data["id"],
        "device": device.id,
        "conflict": _conflict(api, device.client, who),
        "webhook": plane.give(hook, owner).data["id"],
        "project": project,
        "model": f"model-{who}",
        "dataset": digest,
        "worker": plane.give(o.RegisterWorker("host", ("building",), {}), owner).data["worker_id"],
    }


def _conflict(api: Api, device: httpx.Client, key: str) -> str:
    """Change a note on a device, and on one that has not seen the change; return the id of the conflict."""
    put = {
        "id": 1,
        "op": "put",
        "kind": "notes",
        "key": key,
        "base_version": 0,
        "stamp": 1_000,
        "merge": "manual",
    }
    for text, client in (("first", device), ("second", enrol(api, OWNER, f"other-{key}").client)):
        mutation = {**put, "fields": {"text": text}}
        answer = client.post("/harmony/sync/mutations", json={"mutations": [mutation]})
    assert answer.json()["verdicts"][0]["verdict"] == "conflict", answer.text
    listed = device.get("/harmony/sync/conflicts").json()["conflicts"]
    found: str = next(each["id"] for each in listed if each["key"] == key)
    return found


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with serving_api(Settings(stream_s_max=0.01)) as api:
        yield build(api)


def test_every_route_has_an_entry() -> None:
    """A route about a thing of a kind that is not known here fails, and so does one of which nobody has said
    what it is about."""
    for method, path in REACHED:
        places = [
            bool(parameters(path)),
            method == "get" and path in LISTS,
            (method, path) in NAMED,
            (method, path) in OF_NOBODY,
        ]
        assert places.count(True) == 1, f"{method} {path}"
        assert {name for name in parameters(path) if name not in PARTS} <= KINDS.keys(), path


@pytest.mark.parametrize(("path", "kind"), LISTS.items())
def test_a_list_has_what_its_reader_sees(world: World, path: str, kind: str) -> None:
    """Read before anything is ended, it has the owner's things for those who see them only."""
    for who in PEOPLE:
        answer = world.clients[who].get(path, params={"limit": 100} if path == "/tasks" else None)
        assert answer.status_code == 200, answer.text
        assert (world.things[kind, OWNER] in answer.text) == (who in SEEN_BY[kind]), (who, answer.text)


@pytest.mark.parametrize(("method", "path"), NAMED)
def test_what_a_body_names_exists_for_those_who_see_it(world: World, method: str, path: str) -> None:
    """A stranger's request that names it is answered like one that names nothing."""
    kind, request = NAMED[method, path]
    for who in PEOPLE:
        answers = []
        for thing in (world.things[kind or "project", who], NONE):
            answer = world.clients[who].request(method, path, **_naming(request, thing))
            answers.append(told(answer, thing))
        assert (answers[0] != answers[1]) == (kind != "" and who in SEEN_BY[kind]), (who, answers)


# What ends a thing comes last, and its parts before the whole.
@pytest.mark.parametrize(
    ("method", "path"),
    sorted(ABOUT, key=lambda each: (each[0] == "delete", -len(each[1]) * (each[0] == "delete"))),
)
def test_a_thing_exists_for_those_who_see_it(world: World, method: str, path: str) -> None:
    """For the others it is answered like one that does not exist: 404."""
    kind = KINDS[parameters(path)[0]]
    for who in PEOPLE:
        thing, none = world.things[kind, who], "0" * 64 if kind == "dataset" else NONE
        found = told(world.ask(who, method, path, thing), thing)
        missing = told(world.ask(who, method, path, none), none)
        assert missing[0] in (403, 404), missing
        assert (found != missing) == (who in SEEN_BY[kind]), (who, found, missing)
        assert who not in SEEN_BY[kind] or who != OWNER or found[0] != 403, found


def _naming(value: Any, thing: str) -> Any:
    """Return a request with a thing in the place of ID."""
    if isinstance(value, dict):
        return {name: _naming(each, thing) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_naming(each, thing) for each in value)
    return thing if value == ID else value
