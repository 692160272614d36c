"""GET and DELETE /auth/sessions: what a user sees of sessions, and how they end."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from helix_ray.testing import ManualClock
from helix_ray.wire.sessions import SessionsOut
from tests.http.api_server import Api, error_of, serving_api
from tests.http.running_node import Helix
from tests.http.shapes import shaped


def test_a_user_lists_their_sessions_and_ends_one_and_all(api: Api) -> None:
    """Each with where from; one that was ended is refused, and so are all after all were ended."""
    first = api.add("many-homes", "developer")
    second = api.client("many-homes")
    listed = shaped(SessionsOut, first.get("/auth/sessions").json())["sessions"]
    assert [each["current"] for each in listed] == [True, False]
    assert all(each["address"] and each["user_agent"] for each in listed)
    assert all(each["opened_at"] <= each["last_used_at"] < each["expires_at"] for each in listed)
    assert first.delete(f"/auth/sessions/{listed[1]['id']}").status_code == 204
    error_of(second.get("/auth/me"), 401, "UNAUTHORIZED")
    error_of(first.delete(f"/auth/sessions/{listed[1]['id']}"), 404, "NOT_FOUND")
    api.client("many-homes")
    assert first.delete("/auth/sessions").json() == {"ended": 2}
    error_of(first.get("/auth/me"), 401, "UNAUTHORIZED")


def test_the_last_use_of_a_session_is_known() -> None:
    """Any request with it counts, not only one for tokens."""
    clock = ManualClock()
    with serving_api(clock=clock) as timed:
        idle, used = timed.client(), timed.client()
        clock.advance(100)
        assert used.get("/auth/me").status_code == 200
        clock.advance(100)
        first, second = timed.client().get("/auth/sessions").json()["sessions"][:2]
        assert first["last_used_at"] == first["opened_at"]
        assert datetime.fromisoformat(second["last_used_at"]) == datetime.fromisoformat(
            second["opened_at"]
        ) + timedelta(seconds=100)
        assert idle.get("/auth/sessions").json()["sessions"][0]["last_used_at"] > second["last_used_at"]


def test_sessions_of_others_exist_for_administrators_only(api: Api) -> None:
    """For others, sessions that there are and that there are not look alike."""
    admin, viewer, stranger = api.client("admin"), api.add("seen", "viewer"), api.add("stranger", "developer")
    (mine,) = viewer.get("/auth/sessions").json()["sessions"]
    theirs, none = (
        error_of(stranger.delete(f"/auth/sessions/{name}"), 404, "NOT_FOUND")["message"].replace(name, "ID")
        for name in (mine["id"], "session-none")
    )
    assert theirs == none
    error_of(stranger.get("/auth/sessions?user=seen"), 404, "NOT_FOUND")
    error_of(stranger.delete("/auth/sessions?user=seen"), 404, "NOT_FOUND")
    (shown,) = admin.get("/auth/sessions?user=seen").json()["sessions"]
    assert (shown["id"], shown["user"], shown["current"]) == (mine["id"], "seen", False)
    assert admin.delete("/auth/sessions?user=seen").json() == {"ended": 1}
    assert error_of(viewer.get("/auth/me"), 401, "UNAUTHORIZED")["details"]["reason"] == "revoked"


def test_an_api_token_neither_lists_nor_ends_sessions(api: Api) -> None:
    """A leaked token must not be able to lock its owner out."""
    admin = api.client("admin")
    made = admin.post("/auth/tokens", json={"name": "ci"}).json()
    client = api.anonymous()
    client.headers["Authorization"] = f"Bearer {made['token']}"
    for method in ("GET", "DELETE"):
        error_of(client.request(method, "/auth/sessions"), 403, "FORBIDDEN")


def test_the_command_lists_and_ends_sessions(signed_in: Helix) -> None:
    """helix session list, revoke ID, revoke --all; without either it says what to give."""
    (*_, listed) = json.loads(signed_in("session", "list", "--json").out)["sessions"]
    assert listed["id"] in signed_in("session", "list").out
    assert signed_in("session", "revoke").code == 2
    assert signed_in("session", "revoke", listed["id"], "--all").code == 2
    assert signed_in("session", "revoke", listed["id"]).code == 0
