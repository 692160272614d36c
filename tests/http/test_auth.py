"""Logins, sessions and users over HTTP."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice

import httpx
import pytest

from helix_ray.config import Settings
from helix_ray.core.limits import ANONYMOUS, AUTHENTICATED, LOGIN
from helix_ray.security import passwords
from helix_ray.security.tokens import KeyRing
from helix_ray.testing import ManualClock
from helix_ray.wire.sessions import LoginOut
from helix_ray.wire.users import UserOut, UsersOut
from tests.http.api_server import NO_TLS, PASSWORD, PLENTY, TASK, Api, error_of, serving_api
from tests.http.shapes import shaped

LOGIN_BODY = {"username": "admin", "password": PASSWORD}
REVOKED_S_MAX = 1.0
TAB_REFRESHES = 1_000


def until_refused(ask: Callable[[], httpx.Response]) -> float:
    """Ask until the answer is 401; return after how many seconds that question was asked."""
    start = asked = time.monotonic()
    while (answer := ask()).status_code != 401:
        assert answer.status_code == 200, answer.text
        asked = time.monotonic()
        assert asked - start < 60
    error_of(answer, 401, "UNAUTHORIZED")
    return asked - start


@pytest.fixture(scope="module", autouse=True)
def cheap_passwords() -> None:
    """Leave the hashes at their full cost here."""


class TestLogin:
    def test_the_answer_has_two_tokens_and_says_when_they_end(self, api: Api) -> None:
        answer = api.anonymous().post("/auth/login", json=LOGIN_BODY)
        content = shaped(LoginOut, answer.json())
        assert content["expires_at"] < content["refresh_expires_at"]
        assert answer.headers["cache-control"] == "no-store"

    @pytest.mark.parametrize(
        "body",
        [
            {"username": "admin", "password": "wrong password"},
            {"username": "nobody", "password": PASSWORD},
            {"username": "\u00e4\n", "password": "x"},
            {"username": "admin", "password": "x" * 1_024},
        ],
        ids=lambda body: repr(body["username"] + "/" + body["password"][:10]),
    )
    def test_wrong_ones_are_all_answered_alike(self, api: Api, body: dict[str, str]) -> None:
        error = error_of(api.anonymous().post("/auth/login", json=body), 401, "UNAUTHORIZED")
        assert error["message"] == "Invalid username or password"

    @pytest.mark.parametrize(
        "body",
        [{}, {"username": "admin"}, {"username": "", "password": "x"}, {"username": "a", "password": ""},
         {"username": 1, "password": "x"}, {"username": "a", "password": "x" * 1_025},
         {"username": "a", "password": "x", "otp": "1"}],
        ids=str,
    )  # fmt: skip
    def test_what_is_no_login_is_refused(self, api: Api, body: dict[str, object]) -> None:
        error_of(api.anonymous().post("/auth/login", json=body), 400, "VALIDATION_ERROR")

    def test_an_unknown_user_takes_as_long_as_a_wrong_password(self, api: Api) -> None:
        """Medians of interleaved tries differ by less than 20 %, in processor time of the server, whose
        process this is; the machine gets ten chances to be quiet."""
        client = api.anonymous()

        def took(username: str) -> float:
            start = time.process_time()
            client.post("/auth/login", json={"username": username, "password": "wrong password"})
            return time.process_time() - start

        for _ in range(10):
            pairs = [(took("admin"), took("nobody-here")) for _ in range(25)]
            known, unknown = (statistics.median(column) for column in zip(*pairs, strict=True))
            if abs(known - unknown) < 0.2 * max(known, unknown):
                return
        pytest.fail(f"known {known:.4f} s, unknown {unknown:.4f} s")

    def test_a_crowd_is_turned_away_with_retry_after(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        """More logins at once than may wait: those get in that may, the others are
        told when to come again."""
        may_end, verify = threading.Event(), passwords.verify_password

        def verify_in_time(hashed: str | None, password: str) -> bool:
            may_end.wait()
            return verify(hashed, password)

        def try_once(_: int) -> httpx.Response:
            with httpx.Client(base_url=f"{api.url}/api/v1", timeout=30, verify=NO_TLS) as client:
                return client.post("/auth/login", json=LOGIN_BODY)

        monkeypatch.setattr(passwords, "verify_password", verify_in_time)
        inside = passwords.WORKERS_MAX + passwords.QUEUE_MAX
        with ThreadPoolExecutor(40) as pool:
            try:
                answers = as_completed([pool.submit(try_once, i) for i in range(40)])
                for answer in islice(answers, 40 - inside):
                    error_of(answer.result(), 503, "SERVICE_UNAVAILABLE")
                    assert int(answer.result().headers["retry-after"]) >= 1
            finally:
                may_end.set()
            assert [answer.result().status_code for answer in answers] == [200] * inside


class TestSession:
    def test_without_a_token_there_is_nothing(self, api: Api) -> None:
        for headers in ({}, {"Authorization": "Bearer x.y.z"}, {"Authorization": "Basic YTpi"}):
            answer = api.anonymous().get("/tasks", headers=headers)
            error_of(answer, 401, "UNAUTHORIZED")
            assert answer.headers["www-authenticate"] == "Bearer"

    def test_a_token_of_another_installation_is_refused(self, api: Api) -> None:
        with serving_api() as other:
            stranger = api.anonymous()
            stranger.headers["Authorization"] = other.client().headers["Authorization"]
            error_of(stranger.get("/tasks"), 401, "UNAUTHORIZED")

    def test_logout_ends_this_session_at_once_and_no_other(self, api: Api) -> None:
        leaving, staying = api.client(), api.client()
        assert leaving.get("/auth/me").status_code == 200
        answer = leaving.post("/auth/logout")
        assert (answer.status_code, answer.content) == (204, b"")
        error_of(leaving.get("/auth/me"), 401, "UNAUTHORIZED")
        assert staying.get("/auth/me").status_code == 200

    def test_logout_is_known_to_every_replica_within_a_second(self) -> None:
        keys = KeyRing.fresh()
        with serving_api(keys=keys) as one, serving_api(keys=keys, plane=one.plane) as two:
            client = one.client()
            there = two.anonymous()
            there.headers["Authorization"] = client.headers["Authorization"]
            assert there.get("/auth/me").status_code == 200
            assert client.post("/auth/logout").status_code == 204
            assert until_refused(lambda: there.get("/auth/me")) < REVOKED_S_MAX

    def test_another_password_ends_the_other_sessions_everywhere(self) -> None:
        keys = KeyRing.fresh()
        with serving_api(keys=keys) as one, serving_api(keys=keys, plane=one.plane) as two:
            client, other = one.client(), two.client()
            assert other.get("/auth/me").status_code == 200
            change = {"current_password": PASSWORD, "new_password": "another password"}
            assert client.put("/auth/password", json=change).status_code == 204
            assert until_refused(lambda: other.get("/auth/me")) < REVOKED_S_MAX
            assert client.get("/auth/me").status_code == 200
            error_of(one.anonymous().post("/auth/login", json=LOGIN_BODY), 401, "UNAUTHORIZED")
            one.client("admin", "another password")

    def test_a_password_is_changed_only_by_who_knows_it(self, api: Api) -> None:
        client = api.add("forgetful", "viewer")
        wrong = {"current_password": "not this one", "new_password": "another password"}
        error_of(client.put("/auth/password", json=wrong), 403, "FORBIDDEN")
        short = {"current_password": PASSWORD, "new_password": "short"}
        error = error_of(client.put("/auth/password", json=short), 400, "VALIDATION_ERROR")
        assert error["details"]["chars_min"] == 8

    def test_a_removed_user_is_out_within_a_second_everywhere(self) -> None:
        keys = KeyRing.fresh()
        with serving_api(keys=keys) as one, serving_api(keys=keys, plane=one.plane) as two:
            gone = two_gone = one.add("gone", "developer")
            there = two.anonymous()
            there.headers["Authorization"] = two_gone.headers["Authorization"]
            assert there.get("/tasks").status_code == gone.get("/tasks").status_code == 200
            assert one.client().delete("/users/gone").status_code == 204
            error_of(gone.get("/tasks"), 401, "UNAUTHORIZED")
            assert until_refused(lambda: there.get("/tasks")) < REVOKED_S_MAX


class TestRefresh:
    def test_a_refresh_gives_the_next_tokens(self, api: Api) -> None:
        client = api.anonymous()
        first = client.post("/auth/login", json=LOGIN_BODY).json()
        answer = client.post("/auth/refresh", json={"refresh_token": first["refresh_token"]})
        second = shaped(LoginOut, answer.json())
        assert second["refresh_token"] != first["refresh_token"]
        assert second["user"]["username"] == "admin"
        client.headers["Authorization"] = f"Bearer {second['token']}"
        assert client.get("/auth/me").status_code == 200

    def test_two_tabs_that_refresh_at_once_both_stay_in(self) -> None:
        """1,000 times, each tab at another replica: the same answer, to the letter, and no session ends."""
        keys = KeyRing.fresh()
        with (
            serving_api(keys=keys) as one,
            serving_api(keys=keys, plane=one.plane) as two,
            ThreadPoolExecutor(2) as pool,
        ):
            tabs = one.anonymous(), two.anonymous()
            tokens = tabs[0].post("/auth/login", json=LOGIN_BODY).json()
            for _ in range(TAB_REFRESHES):
                body = {"refresh_token": tokens["refresh_token"]}
                first, second = pool.map(lambda tab, body=body: tab.post("/auth/refresh", json=body), tabs)
                assert first.status_code == second.status_code == 200, (first.text, second.text)
                assert first.json() == second.json()
                tokens = first.json()
            for tab in tabs:
                me = tab.get("/auth/me", headers={"Authorization": f"Bearer {tokens['token']}"})
                assert me.status_code == 200

    def test_a_token_that_comes_again_after_30_s_ends_the_session(self) -> None:
        """Until then it gets the same answer; afterwards the next use of the session says why."""
        clock = ManualClock()
        with serving_api(clock=clock) as api:
            client = api.anonymous()
            first = client.post("/auth/login", json=LOGIN_BODY).json()
            # The clock of the test and that of the tokens are not the same: sessions must outlive both.
            body = {"refresh_token": first["refresh_token"]}
            second = client.post("/auth/refresh", json=body).json()
            clock.advance(30)
            assert client.post("/auth/refresh", json=body).json() == second
            clock.advance(0.1)
            error = error_of(client.post("/auth/refresh", json=body), 401, "UNAUTHORIZED")
            assert error["details"]["reason"] == "refresh_reused"
            again = client.post("/auth/refresh", json={"refresh_token": second["refresh_token"]})
            assert error_of(again, 401, "UNAUTHORIZED")["details"]["reason"] == "refresh_reused"

    def test_a_refresh_that_is_repeated_under_its_key_gets_the_same_token_for_longer(self) -> None:
        """A client whose connection broke is no thief; one with another key is."""
        clock = ManualClock()
        with serving_api(clock=clock) as api:
            client = api.anonymous()
            first = client.post("/auth/login", json=LOGIN_BODY).json()
            body, key = {"refresh_token": first["refresh_token"]}, {"Idempotency-Key": "r"}
            second = client.post("/auth/refresh", json=body, headers=key)
            clock.advance(300)
            again = client.post("/auth/refresh", json=body, headers=key)
            assert again.json() == second.json()
            assert again.headers["idempotency-replayed"] == "true"
            third = client.post(
                "/auth/refresh", json={"refresh_token": again.json()["refresh_token"]}, headers=key
            )
            assert third.status_code == 200
            thief = client.post("/auth/refresh", json=body, headers={"Idempotency-Key": "other"})
            error_of(thief, 401, "UNAUTHORIZED")

    def test_nothing_that_opens_a_door_is_in_the_journal(self, api: Api) -> None:
        """Neither refresh tokens nor access tokens, only hashes."""
        client = api.anonymous()
        first = client.post("/auth/login", json=LOGIN_BODY).json()
        second = client.post("/auth/refresh", json={"refresh_token": first["refresh_token"]}).json()
        kept = repr(api.plane.engine.facts(0, 1_000_000).facts) + repr(api.plane.engine.state)
        for answer in (first, second):
            assert answer["refresh_token"] not in kept
            assert answer["token"] not in kept

    @pytest.mark.parametrize("token", ["x", "nothing-like-it" * 2, "\u00e4", "\ud7ff"])
    def test_an_unknown_token_is_refused(self, api: Api, token: str) -> None:
        answer = api.anonymous().post("/auth/refresh", json={"refresh_token": token})
        error_of(answer, 401, "UNAUTHORIZED")


class TestWhyASessionEnded:
    def test_the_next_answer_says_it(self) -> None:
        """401 with a reason and a time, whatever ended it."""
        with serving_api(Settings(sessions_per_user_max=2)) as api:
            admin = api.client()
            out, evicted, kept = (api.add(name, "viewer") for name in ("out", "evicted", "kept"))
            out.post("/auth/logout")
            api.client("evicted")
            third = api.anonymous().post("/auth/login", json={"username": "evicted", "password": PASSWORD})
            (ended,) = third.json()["sessions_ended"]
            assert ended["reason"] == "evicted"
            assert "sessions_ended" not in api.anonymous().post("/auth/login", json=LOGIN_BODY).json()
            other = api.client("kept")
            change = {"current_password": PASSWORD, "new_password": "another password"}
            assert other.put("/auth/password", json=change).status_code == 204
            gone = api.add("gone", "viewer")
            assert admin.delete("/users/gone").status_code == 204
            reasons = {"logout": out, "evicted": evicted, "password_changed": kept, "user_removed": gone}
            for reason, client in reasons.items():
                until_refused(lambda client=client: client.get("/auth/me"))
                error = error_of(client.get("/auth/me"), 401, "UNAUTHORIZED")
                assert error["details"]["reason"] == reason
                assert error["details"]["ended_at"].endswith("Z")


class TestUsers:
    def test_add_list_and_remove(self, api: Api, admin: httpx.Client) -> None:
        body = {"username": "dev.one", "password": "long enough", "roles": ["developer", "worker"]}
        answer = admin.post("/users", json=body)
        assert answer.status_code == 201
        shaped(UserOut, answer.json())
        assert "password" not in answer.text
        listed = admin.get("/users")
        assert "dev.one" in [user["username"] for user in shaped(UsersOut, listed.json())["users"]]
        assert "argon2" not in listed.text
        me = api.client("dev.one", "long enough").get("/auth/me")
        assert (me.json()["username"], me.json()["roles"]) == ("dev.one", ["developer", "worker"])
        assert "argon2" not in me.text + admin.get("/auth/me").text
        error_of(admin.post("/users", json=body), 409, "CONFLICT")
        assert admin.delete("/users/dev.one").status_code == 204
        error_of(admin.delete("/users/dev.one"), 404, "NOT_FOUND")
        error_of(admin.delete("/users/admin"), 409, "CONFLICT")

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"username": "a b"}, "username"),
            ({"username": "x" * 129}, "username"),
            ({"password": "short"}, "password"),
            ({"password": "Password1!"}, "password"),
            ({"username": "gregory", "password": "Gregory2026"}, "password"),
            ({"roles": []}, "roles"),
            ({"roles": ["king"]}, "roles"),
            ({"admin": True}, "admin"),
        ],
    )
    def test_what_is_no_user_is_refused(
        self, admin: httpx.Client, fields: dict[str, object], field: str
    ) -> None:
        body = {"username": "new", "password": "long enough", "roles": ["viewer"], **fields}
        error = error_of(admin.post("/users", json=body), 400, "VALIDATION_ERROR")
        assert error["details"]["field"] == field


def test_passwords_are_tried_seldom_wherever_they_are_asked_for() -> None:
    """A stolen session must not find out its user's password faster than a login does."""
    others = (policy for policy in PLENTY if policy.name != LOGIN.name)
    with serving_api(Settings(), policies=(*others, LOGIN._replace(limit=3))) as api:
        client = api.client()
        guesses = [{"current_password": f"guess-{i}", "new_password": "new one 1"} for i in range(3)]
        tries = [client.put("/auth/password", json=guess) for guess in guesses]
        # One of three went to the login of the client.
        assert [answer.status_code for answer in tries] == [403, 403, 429]
        assert error_of(tries[-1], 429, "RATE_LIMIT_EXCEEDED")["details"]["policy"] == "login"


def test_every_limit_ends_in_429_with_retry_after() -> None:
    """Per user, per address, and stricter for logins; a spoofed X-Forwarded-For buys nothing."""
    few = (AUTHENTICATED._replace(limit=5), ANONYMOUS._replace(limit=8), LOGIN._replace(limit=3))
    with serving_api(Settings(), policies=few) as api:
        client = api.client()
        statuses = [client.post("/tasks", json=TASK).status_code for _ in range(7)]
        assert statuses == [201] * 5 + [429] * 2
        answer = client.get("/tasks")
        error = error_of(answer, 429, "RATE_LIMIT_EXCEEDED")
        assert error["details"]["limit"] == 5
        assert int(answer.headers["retry-after"]) > 3_000
        assert answer.headers["x-ratelimit-remaining"] == "0"
        anonymous = api.anonymous()
        spoofed = [
            anonymous.post("/auth/login", json={}, headers={"X-Forwarded-For": f"10.0.0.{i}"}).status_code
            for i in range(4)
        ]
        assert spoofed == [400, 400, 429, 429]
    assert PLENTY[0].limit > 5
