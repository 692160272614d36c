"""The beginning of an id stands for the one id that begins so; what would surprise is left alone."""

from __future__ import annotations

from typing import Any

import pytest

from helix_ray.client import prefixes
from helix_ray.client.errors import Forbidden, NotFound
from helix_ray.client.transport import Request

A, B = "task-01jdk3x8zq7m2v5n9w4c", "task-01jdk3x8zqh8k2m4p6r8"
LISTED: dict[str, list[dict[str, str]]] = {
    "/tasks": [{"id": each} for each in (A, f"{A}-s0", f"{A}-s1", B)],
    "/workers": [{"id": "worker-node1"}, {"id": "worker-big"}],
    "/harmony/nodes": [{"id": "worker-node1"}, {"id": "worker-big"}],
    "/projects": [{"id": "vision-2"}, {"id": "speech"}],
    "/users": [{"username": "alice", "id": "user-1"}, {"username": "bob", "id": "user-2"}],
    "/auth/tokens": [{"id": "token-01jdk3x8zq7m2v5n9w4c"}],
    "/aurora/erasures": [{"id": "erasure-01jdk3x8zq7m2v5n9w4c"}],
}


def read(request: Request) -> Any:
    """Answer as the listings do."""
    (entries,) = [kind.entries for kind in prefixes.KINDS.values() if kind.path == request.path]
    begins = request.params.get("id_prefix", "")
    return {entries: [each for each in LISTED[request.path] if each.get("id", "").startswith(begins)]}


def unknown(text: str, attempts: int = 1) -> NotFound:
    error = NotFound("NOT_FOUND", "Task not found", {"id": text}, "req-1")
    error.attempts = attempts
    return error


@pytest.mark.parametrize(
    ("method", "path", "given", "found"),
    [
        ("GET", "/tasks/{}", A[:17], f"/tasks/{A}"),
        ("GET", "/tasks/{}/logs", A[:17], f"/tasks/{A}/logs"),
        ("DELETE", "/tasks/{}", B[:17], f"/tasks/{B}"),
        ("GET", "/tasks/{}", f"{A}-s", None),
        ("POST", "/workers/{}/drain", "worker-n", "/workers/worker-node1/drain"),
        ("GET", "/harmony/nodes/{}", "worker-b", "/harmony/nodes/worker-big"),
        ("GET", "/projects/{}", "vis", "/projects/vision-2"),
        ("GET", "/users/{}", "al", "/users/alice"),
        ("DELETE", "/auth/tokens/{}", "token-01", "/auth/tokens/token-01jdk3x8zq7m2v5n9w4c"),
        ("GET", "/aurora/erasures/{}", "er", "/aurora/erasures/erasure-01jdk3x8zq7m2v5n9w4c"),
    ],
)
def test_a_unique_beginning_is_enough(method: str, path: str, given: str, found: str | None) -> None:
    """Of every kind of thing, in every place of a path; shards do not make their parent ambiguous."""
    request = Request(method, path.format(given))
    if found is None:
        with pytest.raises(NotFound):
            prefixes.completed(request, unknown(given), read)
        return
    assert prefixes.completed(request, unknown(given), read) == Request(method, found)


def test_a_body_that_names_a_task_is_completed() -> None:
    """A distribution names its task in the body."""
    request = Request("POST", "/harmony/distribute", body={"task_id": A[:17], "dry_run": True})
    done = prefixes.completed(request, unknown(A[:17]), read)
    assert done.body == {"task_id": A, "dry_run": True}


def test_several_matches_are_named() -> None:
    """The error says how many begin so, and has their ids without shards."""
    with pytest.raises(NotFound, match="2 ids begin with task-01jdk") as refused:
        prefixes.completed(Request("GET", "/tasks/task-01jdk"), unknown("task-01jdk"), read)
    assert refused.value.details["matches"] == [A, B]
    assert A in str(refused.value)


@pytest.mark.parametrize(
    ("method", "path", "given", "attempts"),
    [
        ("DELETE", "/projects/vision", "vision", 1),
        ("DELETE", "/users/al", "al", 1),
        ("PUT", "/users/al/roles", "al", 1),
        ("DELETE", "/workers/worker-node", "worker-node", 1),
        ("DELETE", f"/tasks/{B[:17]}", B[:17], 2),
        ("GET", "/tasks/task-01jdk3x8zq7m2v5n9w4d", "task-01jdk3x8zq7m2v5n9w4d", 1),
        ("DELETE", "/tasks/task-01jdk3x8zq7m2v5n9w4c-3", "task-01jdk3x8zq7m2v5n9w4c-3", 1),
        ("GET", "/tasks/nothing", "nothing", 1),
        ("GET", "/elsewhere/al", "al", 1),
    ],
)
def test_what_could_hit_another_thing_is_not_completed(
    method: str, path: str, given: str, attempts: int
) -> None:
    """A whole id, a second try, and a name where something is removed or replaced stay what they are."""
    with pytest.raises(NotFound):
        prefixes.completed(Request(method, path), unknown(given, attempts), read)


def test_a_listing_that_is_refused_keeps_the_first_error() -> None:
    """Who may not list users learns what was asked for, not what failed in between."""

    def denied(_: Request) -> Any:
        raise Forbidden("FORBIDDEN", "no")

    error = unknown("al")
    with pytest.raises(NotFound) as refused:
        prefixes.completed(Request("GET", "/users/al"), error, denied)
    assert refused.value is error


def test_an_id_in_a_field_is_completed_or_left() -> None:
    """For bodies and queries: whole ids need no question, unknown texts are for the server to refuse."""
    assert prefixes.full_id("task", A, lambda _: pytest.fail("no question")) == A
    assert prefixes.full_id("task", "", lambda _: pytest.fail("no question")) == ""
    assert prefixes.full_id("task", A[:17], read) == A
    assert prefixes.full_id("project", "speech", read) == "speech"
    assert prefixes.full_id("project", "sp", read) == "speech"
    assert prefixes.full_id("project", "none", read) == "none"
    with pytest.raises(NotFound, match="2 ids begin with worker-"):
        prefixes.full_id("worker", "worker-", read)
