"""What the edge does to requests and answers that are well-formed: ids, bodies, failures, limits."""

from __future__ import annotations

import http.client
import json
import logging
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from helix_ray.core.limits import ANONYMOUS, AUTHENTICATED, LOGIN, Ask, TokenLease, UnspentUnits
from serve_app.edge.client_address import ClientAddress
from serve_app.edge.limiter import grant_here
from tests.http.edge_server import (
    JSON,
    TOKEN,
    Server,
    assert_envelope,
    assert_headers,
    read_answer,
    serving,
    written,
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


class TestRequestId:
    @pytest.mark.parametrize("sent", ["req-12345678", "a.b_c-d.E", "A" * 64])
    def test_a_well_formed_one_is_kept(self, server: Server, sent: str) -> None:
        answer = server.ask("GET", "/address", x_request_id=sent)
        assert (answer.headers["x-request-id"], json.loads(answer.body)["id"]) == (sent, sent)

    @pytest.mark.parametrize(
        "sent", ["", "short", "A" * 65, "with space", "semi;colon", "\xe9\xe9\xe9\xe9\xe9\xe9\xe9\xe9"]
    )
    def test_any_other_is_replaced(self, server: Server, sent: str) -> None:
        made = server.ask("GET", "/api/v1/nope", x_request_id=sent).headers["x-request-id"]
        assert re.fullmatch(r"req-[0-9a-f]{12}", made)

    def test_of_two_the_first_counts(self, server: Server) -> None:
        raw = (
            b"GET /address HTTP/1.1\r\nhost: t\r\nx-request-id: first-one\r\nX-Request-Id: second-one\r\n\r\n"
        )
        assert server.send(raw).headers["x-request-id"] == "first-one"


class TestBodies:
    BATCH = "/api/v1/tasks/batch"

    def test_a_body_of_the_limit_passes_and_one_byte_more_does_not(self) -> None:
        with serving(body_bytes_max=100, body_bytes_max_by_path={self.BATCH: 1_000}) as server:
            assert server.ask("POST", self.BATCH, b"x" * 1_000).status == 200
            for path, limit in ((self.BATCH, 1_000), ("/api/v1/tasks", 100)):
                answer = server.ask("POST", path, b"x" * (limit + 1), content_type=JSON)
                details = assert_envelope(answer, 413, "PAYLOAD_TOO_LARGE")
                assert details == {"body_bytes_max": limit}
                assert "connection" not in answer.headers

    @pytest.mark.parametrize("path", ["/api/v1/tasks/batch", "/api/v1/tasks"])
    def test_a_chunked_body_is_counted(self, path: str) -> None:
        """Refused though it never says its size, and though the framework turns
        what it is told into a 400."""
        with serving(body_bytes_max=10_000, body_bytes_max_by_path={}) as server:
            raw = written("POST", path, content_type=JSON, transfer_encoding="chunked")
            answer = server.send(
                raw, "POST", lambda: iter([b"400\r\n" + b" " * 1_024 + b"\r\n"] * 20 + [b"0\r\n\r\n"])
            )
            assert_envelope(answer, 413, "PAYLOAD_TOO_LARGE")

    def test_a_client_that_asks_first_is_answered_before_it_sends(self, server: Server) -> None:
        raw = written("POST", "/api/v1/tasks", content_length=str(2**21), expect="100-continue")
        answer = server.send(raw, "POST")
        assert_envelope(answer, 413, "PAYLOAD_TOO_LARGE")
        assert answer.headers["connection"] == "close"

    def test_a_body_of_gigabytes_is_not_waited_for(self, server: Server) -> None:
        answer = server.send(written("POST", "/api/v1/tasks", content_length=str(2**40)), "POST")
        assert_envelope(answer, 413, "PAYLOAD_TOO_LARGE")
        assert answer.headers["connection"] == "close"

    def test_the_connection_goes_on_after_a_refused_body(self) -> None:
        with (
            serving(body_bytes_max=1_000) as server,
            socket.create_connection(("127.0.0.1", server.port)) as kept,
        ):
            kept.sendall(written("POST", "/api/v1/tasks", b"x" * 200_000))
            assert_envelope(read_answer(kept, "POST"), 413, "PAYLOAD_TOO_LARGE")
            kept.sendall(written("GET", "/healthz"))
            assert read_answer(kept, "GET").status == 200


UPGRADE = {
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec_websocket_version": "13",
    "sec_websocket_key": "dGhlIHNhbXBsZSBub25jZQ==",
}


class TestFailures:
    def test_a_surprise_is_logged_whole_and_shown_as_nothing(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        records: list[logging.LogRecord] = []
        written_down = threading.Event()
        log = logging.getLogger("serve_app.edge.errors")
        monkeypatch.setattr(log, "callHandlers", lambda found: (records.append(found), written_down.set()))
        answer = server.ask("GET", "/api/v1/boom", x_request_id="req-boom-0001")
        assert assert_envelope(answer, 500, "INTERNAL_ERROR") == {}
        assert b"hunter2" not in answer.body
        assert written_down.wait(60)
        [record] = records
        assert "req-boom-0001" in record.getMessage()
        assert record.exc_info is not None
        assert "hunter2" in str(record.exc_info[1])

    def test_an_answer_that_breaks_half_way_is_seen_to_be_broken(self, server: Server) -> None:
        with pytest.raises(http.client.IncompleteRead):
            server.ask("GET", "/stream?broken=true")

    def test_a_stream_passes_unchanged_with_the_headers(self, server: Server) -> None:
        answer = server.ask("GET", "/stream")
        assert answer.body == b"data: 1\n\ndata: 2\n\n"
        assert_headers(answer, api=False)

    def test_a_refusal_says_when_to_come_back(self, server: Server) -> None:
        answer = server.ask("GET", "/api/v1/busy")
        assert_envelope(answer, 503, "SERVICE_UNAVAILABLE")
        assert answer.headers["retry-after"] == "7"

    def test_a_route_may_say_how_long_its_answer_keeps(self, server: Server) -> None:
        assert server.ask("GET", "/api/v1/kept").headers["cache-control"] == "max-age=60"

    def test_a_websocket_is_refused_as_a_path_that_is_not_there(self) -> None:
        """Where another server than ours takes an upgrade; ours takes it for a plain request."""
        with serving(own_protocol=False) as server:
            assert_envelope(server.ask("GET", "/api/v1/tasks", **UPGRADE), 404, "NOT_FOUND")

    def test_an_upgrade_is_taken_for_a_plain_request(self, server: Server) -> None:
        assert server.ask("GET", "/api/v1/tasks", **UPGRADE).status == 200

    def test_many_and_long_headers_are_no_reason_to_fail(self, server: Server) -> None:
        many = {f"x_h{i}": "v" * 50 for i in range(90)}
        assert_envelope(server.ask("GET", "/api/v1/nope", **many), 404, "NOT_FOUND")
        assert_envelope(server.ask("GET", "/api/v1/nope", x_long="v" * 50_000), 404, "NOT_FOUND")


class TestRateLimits:
    FEW = (
        AUTHENTICATED._replace(limit=40),
        ANONYMOUS._replace(limit=10),
        LOGIN._replace(limit=3),
    )

    def test_the_request_after_the_limit_is_refused_and_says_when_to_come_back(self) -> None:
        with serving(self.FEW) as server:
            for left in range(9, -1, -1):
                answer = server.ask("GET", "/api/v1/tasks")
                assert (answer.status, answer.headers["x-ratelimit-remaining"]) == (200, str(left))
            refused = server.ask("GET", "/api/v1/tasks")
            details = assert_envelope(refused, 429, "RATE_LIMIT_EXCEEDED")
            assert (refused.headers["x-ratelimit-limit"], refused.headers["x-ratelimit-remaining"]) == (
                "10",
                "0",
            )
            assert 3_500 < int(refused.headers["retry-after"]) <= 3_610
            assert details["retry_after_s"] == int(refused.headers["retry-after"])
            assert refused.headers["ratelimit-policy"] == '"anonymous";q=10;w=3600'
            assert server.ask("GET", "/api/v1/me", authorization=f"Bearer {TOKEN}").status == 200
            assert server.ask("GET", "/api/v1/nope").status == 429

    def test_a_spoofed_forwarded_address_changes_nothing(self) -> None:
        with serving(self.FEW) as server:
            answers = [server.ask("GET", "/address", x_forwarded_for=f"198.51.100.{i}") for i in range(30)]
        assert [answer.status for answer in answers] == [200] * 10 + [429] * 20
        assert {json.loads(answer.body)["address"] for answer in answers[:10]} == {"127.0.0.1"}

    def test_a_server_that_believes_loopback_is_told_not_to(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Ray Serve starts uvicorn with its defaults; FORWARDED_ALLOW_IPS, empty,
        is the way to reach them."""
        monkeypatch.setenv("FORWARDED_ALLOW_IPS", "")
        with serving(self.FEW, proxy_headers=True) as server:
            answer = server.ask("GET", "/address", x_forwarded_for="198.51.100.1")
        assert json.loads(answer.body)["address"] == "127.0.0.1"

    def test_behind_a_trusted_proxy_each_client_has_its_own_limit(self) -> None:
        with serving(self.FEW, trusted_proxies=["127.0.0.0/8"]) as server:
            for i in range(3):
                spoofed = [f"203.0.113.{n}, 198.51.100.{i}" for n in range(12)]
                statuses = [server.ask("GET", "/address", x_forwarded_for=chain).status for chain in spoofed]
                assert statuses == [200] * 10 + [429] * 2

    def test_logins_have_a_stricter_limit_of_their_own_by_address(self) -> None:
        login = b'{"username": "admin", "password": "admin123"}'
        with serving(self.FEW) as server:
            for token in ("", TOKEN, ""):
                answer = server.ask(
                    "POST", "/api/v1/auth/login", login, content_type=JSON, authorization=f"Bearer {token}"
                )
                assert answer.status == 200
                assert answer.headers["ratelimit-policy"].startswith('"login";q=3;w=60, ')
            refused = server.ask("POST", "/api/v1/auth/login", login, content_type=JSON)
            assert assert_envelope(refused, 429, "RATE_LIMIT_EXCEEDED")["policy"] == "login"
            assert 1 <= int(refused.headers["retry-after"]) <= 61
            assert server.ask("GET", "/api/v1/tasks").headers["x-ratelimit-remaining"] == "7"

    def test_health_is_not_counted_but_carries_the_headers(self) -> None:
        with serving(self.FEW) as server:
            for _ in range(30):
                answer = server.ask("GET", "/healthz")
                assert answer.status == 200
                assert_headers(answer, api=False)
                assert answer.headers["x-ratelimit-remaining"] == "10"

    def test_many_at_once_get_exactly_the_limit(self) -> None:
        """Eight clients, 160 requests, one user: 40 admitted, though slices are
        cut and returned meanwhile."""
        statuses: list[int] = []
        with serving(self.FEW) as server:

            def client() -> None:
                token = f"Bearer {TOKEN}"
                statuses.extend(
                    [server.ask("GET", "/api/v1/me", authorization=token).status for _ in range(20)]
                )

            clients = [threading.Thread(target=client) for _ in range(8)]
            for thread in clients:
                thread.start()
            for thread in clients:
                thread.join()
        assert (statuses.count(200), statuses.count(429)) == (40, 120)

    def test_requests_that_cannot_be_counted_are_refused_not_let_through(self) -> None:
        async def down(asks: Any, backs: Any) -> list[TokenLease]:
            raise ConnectionError("the quota server is gone")

        with serving(ask_quota_server=down, ask_s_max=0.05) as server:
            answer = server.ask("GET", "/api/v1/tasks")
            assert_envelope(answer, 503, "SERVICE_UNAVAILABLE")
            assert answer.headers["retry-after"] == "1"
            assert server.ask("GET", "/healthz").status == 200

    def test_a_quota_server_that_restarts_costs_latency_only(self) -> None:
        grant, failures = grant_here(self.FEW), iter([ConnectionError("restarting")] * 2)

        async def restarting(asks: Any, backs: Any) -> Any:
            for failure in failures:
                raise failure
            return await grant(asks, backs)

        with serving(self.FEW, restarting) as server:
            assert server.ask("GET", "/api/v1/tasks").status == 200

    def test_what_a_replica_did_not_spend_goes_back_though_nobody_asks_again(self) -> None:
        """A slice of several units, one spent: the rest is given back when the slice ends."""
        policies = (ANONYMOUS._replace(limit=10_000, ttl_s=0.05),)
        grant, returned = grant_here(policies), threading.Event()

        async def watched(asks: list[Ask], backs: list[UnspentUnits]) -> Any:
            if not asks and backs:
                returned.set()
            return await grant([ask._replace(wanted=50) for ask in asks], backs)

        with serving(policies, watched) as server:
            server.ask("GET", "/api/v1/tasks")
            assert returned.wait(60)


class TestClientAddress:
    @pytest.mark.parametrize(
        ("chain", "client"),
        [
            ("198.51.100.1", "198.51.100.1"),
            ("6.6.6.6, 198.51.100.1", "198.51.100.1"),
            ("6.6.6.6, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
            ("198.51.100.1:4711,10.0.0.2", "198.51.100.1"),
            ("6.6.6.6, [2001:db8::1]:4711", "2001:db8::1"),
            ("2001:DB8:0::1", "2001:db8::1"),
            ("6.6.6.6, rubbish, 10.0.0.2", "10.0.0.2"),
            ("rubbish", "10.0.0.1"),
            ("", "10.0.0.1"),
            (",".join(["6.6.6.6"] + ["10.0.0.2"] * 30), "10.0.0.2"),
        ],
    )
    def test_the_chain_is_walked_from_the_right_as_far_as_it_is_trusted(
        self, chain: str, client: str
    ) -> None:
        trusting = ClientAddress(["10.0.0.0/8"])
        assert trusting.find({"client": ("10.0.0.1", 1)}, chain.encode()) == client
        assert trusting.find({"client": ("192.0.2.7", 1)}, chain.encode()) == "192.0.2.7"
        assert ClientAddress().find({"client": ("10.0.0.1", 1)}, chain.encode()) == "10.0.0.1"

    def test_a_unix_socket_has_a_name_too(self) -> None:
        assert ClientAddress(["10.0.0.0/8"]).find({"client": None}, b"6.6.6.6") == "local"

    def test_a_trusted_proxy_that_is_no_address_is_a_mistake(self) -> None:
        with pytest.raises(ValueError, match="does not appear to be"):
            ClientAddress(["proxy.example"])
