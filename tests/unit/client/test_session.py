"""The session: when tokens are exchanged, and that they are exchanged once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import httpx
import orjson
import pytest

from helix_ray.client.errors import NotSignedIn
from helix_ray.client.session import ClientSession
from helix_ray.client.tokens import MemoryTokens, SessionTokens
from helix_ray.client.transport import Request, Transport
from tests.unit.client.wire import served


def iso(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


class Server:
    """Logs in, exchanges tokens once each, answers only to the newest token."""

    def __init__(self, life_s: float = 3600) -> None:
        self.life_s = life_s
        self.exchanged: list[str] = []
        self.count = 0
        self.valid = ""

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/auth/refresh":
            old = orjson.loads(request.content)["refresh_token"]
            if old in self.exchanged:
                return self.refuse()
            self.exchanged.append(old)
            return self.tokens()
        if path == "/auth/login":
            return self.tokens()
        if request.headers.get("Authorization") != f"Bearer {self.valid}":
            return self.refuse()
        return httpx.Response(200, json={"path": path})

    def tokens(self) -> httpx.Response:
        self.count += 1
        self.valid = f"t{self.count}"
        body = {"token": self.valid, "expires_at": iso(self.life_s), "refresh_token": f"r{self.count}"}
        return httpx.Response(200, json={**body, "user": {"username": "admin"}})

    @staticmethod
    def refuse() -> httpx.Response:
        return httpx.Response(
            401, json={"error": {"code": "UNAUTHORIZED", "message": "No"}, "request_id": "req-1"}
        )

    def session(self, store: MemoryTokens | None = None) -> ClientSession:
        http = served(self.answer)
        return ClientSession(Transport("http://h", http=http), store or MemoryTokens())


def test_login_keeps_the_tokens() -> None:
    """After a login every call carries the token."""
    session = Server().session()
    session.login("admin", "pw")
    assert session.call("GET", "/tasks") == {"path": "/tasks"}


def test_a_token_is_exchanged_before_it_ends() -> None:
    """A token that would end on the way is exchanged first, so no call is refused for it."""
    server = Server(life_s=5)
    session = server.session()
    session.login("admin", "pw")
    session.call("GET", "/tasks")
    assert server.exchanged == ["r1"]


def test_a_refused_token_is_exchanged_and_the_call_repeated() -> None:
    """A token that the server no longer takes is exchanged once; the caller does not notice."""
    server = Server()
    session = server.session()
    session.login("admin", "pw")
    server.valid = "rotated"
    assert session.call("GET", "/tasks") == {"path": "/tasks"}
    assert server.exchanged == ["r1"]


def test_a_stream_exchanges_a_refused_token_too() -> None:
    """Following a log after the token was refused needs no other login."""
    server = Server()
    session = server.session()
    session.login("admin", "pw")
    server.valid = "rotated"
    with session.stream(Request("GET", "/tasks/t/logs")) as pieces:
        assert "".join(pieces)
    assert server.exchanged == ["r1"]


def test_threads_exchange_a_token_once() -> None:
    """A refresh token works once, so eight threads that meet a stale token exchange it once between them."""
    server = Server()
    session = server.session()
    session.login("admin", "pw")
    server.valid = "rotated"
    barrier = Barrier(8)

    def call(_: int) -> object:
        barrier.wait()
        return session.call("GET", "/tasks")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(call, range(8)))
    assert answers == [{"path": "/tasks"}] * 8
    assert server.exchanged == ["r1"]


def test_without_a_refresh_token_the_refusal_is_raised() -> None:
    """A bare token that is refused raises NotSignedIn."""
    with pytest.raises(NotSignedIn):
        Server().session(MemoryTokens(SessionTokens("bare"))).call("GET", "/tasks")


def test_logout_forgets_even_when_the_session_has_ended() -> None:
    """Logging out of a session that ended elsewhere is no error, and nothing is kept."""
    server = Server()
    session = server.session()
    session.login("admin", "pw")
    server.valid = "ended"
    session.logout()
    assert session.store.load() is None


def test_an_anonymous_call_carries_no_token() -> None:
    """Without a login nothing is sent in Authorization."""
    with pytest.raises(NotSignedIn):
        Server().session().send(Request("GET", "/tasks"))
