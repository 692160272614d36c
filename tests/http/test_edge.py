"""Over a real socket: whatever is sent, the answer is an envelope with all the headers."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest

from helix_ray.core.errors import ErrorCode, Rejected
from serve_app import problems
from tests.http.edge_server import JSON, TOKEN, Server, assert_envelope, assert_headers, serving, written

TASK = b'{"title": "x", "type": "building"}'


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def post(body: bytes, content_type: str | None = JSON) -> bytes:
    headers = {} if content_type is None else {"content_type": content_type}
    return written("POST", "/api/v1/tasks", body, **headers)


def bad_task(**fields: Any) -> bytes:
    return post(json.dumps({"title": "x", "type": "building", **fields}).encode())


# name -> what is sent, and the field that the answer must name
INVALID: dict[str, tuple[bytes, str]] = {
    "no body": (post(b""), "body"),
    "null": (post(b"null"), "body"),
    "a list": (post(b"[]"), "body"),
    "a text": (post(b'"task"'), "body"),
    "a number": (post(b"1"), "body"),
    "true": (post(b"true"), "body"),
    "no fields": (post(b"{}"), "title"),
    "an open brace": (post(b"{"), "body"),
    "rubbish after JSON": (post(TASK + b" x"), "body"),
    "single quotes": (post(b"{'title': 'x'}"), "body"),
    "a trailing comma": (post(b'{"title": "x",}'), "body"),
    "not UTF-8": (post(b'{"title": "\xff\xfe"}'), "body"),
    "zero bytes": (post(b"\x00" * 16), "body"),
    "nested too deep": (post(b"[" * 100_000), "body"),
    "nested deep and whole": (post(b'{"title":' + b"[" * 20_000 + b"]" * 20_000 + b"}"), "body"),
    "a number of 5,000 digits": (post(b'{"title": ' + b"9" * 5_000 + b"}"), "body"),
    "NaN": (post(b'{"title": NaN, "type": "building"}'), "title"),
    "a lone surrogate as a value": (post(b'{"title": "\\ud800", "type": "building"}'), "title"),
    "a lone surrogate as a name": (post(b'{"\\ud800": 1, "title": "x", "type": "building"}'), "body"),
    "an unknown field": (bad_task(colour="red"), "colour"),
    "an unknown field with a long name": (bad_task(**{"k" * 10_000: 1}), "k" * 128),
    "ten thousand unknown fields": (bad_task(**{f"k{i}": 1 for i in range(10_000)}), "k0"),
    "an unknown priority": (bad_task(priority="urgent"), "priority"),
    "priority in capitals": (bad_task(priority="HIGH"), "priority"),
    "priority a list": (bad_task(priority=["high"]), "priority"),
    "an unknown type": (bad_task(type="cooking"), "type"),
    "title a number": (bad_task(title=7), "title"),
    "title null": (bad_task(title=None), "title"),
    "title empty": (bad_task(title=""), "title"),
    "title too long": (bad_task(title="x" * 201), "title"),
    "text/plain": (post(TASK, "text/plain"), "Content-Type"),
    "no content type": (post(TASK, None), "Content-Type"),
    "a form": (post(b"title=x&type=building", "application/x-www-form-urlencoded"), "Content-Type"),
    "multipart": (post(b"--b\r\n\r\nx\r\n--b--", "multipart/form-data; boundary=b"), "Content-Type"),
    "XML": (post(b"<task/>", "application/xml"), "Content-Type"),
    "a broken content type": (post(TASK, ";;;/"), "Content-Type"),
    "gzip": (post(gzip.compress(TASK)), "body"),
    "limit a word": (written("GET", "/api/v1/tasks?limit=abc"), "limit"),
    "limit negative": (written("GET", "/api/v1/tasks?limit=-1"), "limit"),
    "limit too high": (written("GET", "/api/v1/tasks?limit=1001"), "limit"),
    "limit empty": (written("GET", "/api/v1/tasks?limit="), "limit"),
    "limit not UTF-8": (written("GET", "/api/v1/tasks?limit=%FF"), "limit"),
    "limit of 5,000 digits": (written("GET", f"/api/v1/tasks?limit={'9' * 5_000}"), "limit"),
    "limit twice": (written("GET", "/api/v1/tasks?limit=5&limit=x"), "limit"),
    "an unknown status": (written("GET", "/api/v1/tasks?status=gone"), "status"),
}


@pytest.mark.parametrize(("raw", "field"), INVALID.values(), ids=INVALID.keys())
def test_invalid_requests_are_refused_with_the_field_named(server: Server, raw: bytes, field: str) -> None:
    details = assert_envelope(server.send(raw), 400, "VALIDATION_ERROR")
    assert details["field"] == field


UNKNOWN_PATHS = [
    "/api/v1/nope",
    "/",
    "//",
    "//api/v1/tasks",
    "/api/v1/tasks/",
    "/api/v1/../../etc/passwd",
    "/api/v1/%2e%2e/%2e%2e/etc/passwd",
    "/api/v2/tasks",
    "/API/V1/TASKS",
    "/api/v1/nope%00",
    "/api/v1/nope%FF%FE",
    "/api/v1/nope%zz%",
    "/api/v1/nope;jsessionid=1",
    "/api/v1/%F0%9F%9A%80",
    "/api/v1/nope?" + "q=1&" * 2_000,
    "/" + "a" * 8_000,
    "http://other.example/nope",
    "/api/v1/nope#fragment",
]


@pytest.mark.parametrize("path", UNKNOWN_PATHS, ids=lambda path: path[:40])
def test_unknown_paths_are_not_found(server: Server, path: str) -> None:
    assert_envelope(server.ask("GET", path), 404, "NOT_FOUND", api=False)


@pytest.mark.parametrize("task_id", ["task-1", "%00", "%FF", "..%2F..", "a" * 4_000, "%F0%9F%9A%80"])
def test_a_strange_id_is_an_unknown_id(server: Server, task_id: str) -> None:
    assert_envelope(server.ask("GET", f"/api/v1/tasks/{task_id}"), 404, "NOT_FOUND")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
def test_a_wrong_method_is_told_all_the_right_ones(server: Server, method: str) -> None:
    answer = server.ask(method, "/api/v1/tasks")
    details = assert_envelope(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == "GET, POST"
    assert details["allowed_methods"] == ["GET", "POST"]


def test_the_methods_of_a_path_with_a_parameter_are_all_named(server: Server) -> None:
    assert server.ask("POST", "/api/v1/tasks/task-1").headers["allow"] == "GET, DELETE"


def test_head_gets_the_headers_of_the_error_and_no_body(server: Server) -> None:
    answer = server.ask("HEAD", "/api/v1/tasks")
    assert (answer.status, answer.body) == (405, b"")
    assert_headers(answer)


BROKEN_TOKENS = {
    "no token": "Bearer ",
    "rubbish": "Bearer rubbish",
    "no words": "",
    "another scheme": "Basic YWRtaW46YWRtaW4=",
    "cut short": f"Bearer {TOKEN[:-8]}",
    "not ASCII": "Bearer \xe9\xff",
    "very long": f"Bearer {'a' * 20_000}",
    "two": f"Bearer {TOKEN} {TOKEN}",
}


@pytest.mark.parametrize("authorization", BROKEN_TOKENS.values(), ids=BROKEN_TOKENS.keys())
def test_a_token_that_does_not_verify_is_unauthorized(server: Server, authorization: str) -> None:
    answer = server.ask("GET", "/api/v1/me", authorization=authorization)
    assert_envelope(answer, 401, "UNAUTHORIZED")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["ratelimit-policy"].startswith('"anonymous"')


def test_a_token_that_verifies_is_its_user_and_counted_as_such(server: Server) -> None:
    answer = server.ask("GET", "/api/v1/me", authorization=f"bearer {TOKEN}")
    assert (answer.status, json.loads(answer.body)) == (200, {"user": "user-1"})
    assert answer.headers["ratelimit-policy"].startswith('"authenticated"')
    assert_headers(answer)


class TestMessages:
    def test_the_example_of_the_api_reference(self, server: Server) -> None:
        error = server.send(bad_task(priority="urgent")).error
        assert error["message"] == "Invalid task priority"
        assert error["details"]["field"] == "priority"
        assert error["details"]["allowed_values"] == ["low", "normal", "high", "critical"]

    def test_missing_unknown_and_many(self, server: Server) -> None:
        assert server.send(post(b"{}")).error["message"] == "Missing task title"
        assert server.send(bad_task(colour=1)).error["message"] == "Unknown task colour"
        details = server.send(bad_task(**{f"k{i}": 1 for i in range(100)})).error["details"]
        assert (len(details["errors"]), details["errors_omitted"]) == (20, 80)

    def test_malformed_json_says_where(self, server: Server) -> None:
        error = server.send(post(b'{"title" "x"}')).error
        assert (error["message"], error["details"]["position"]) == ("Malformed JSON", 9)

    def test_what_was_sent_never_comes_back(self, server: Server) -> None:
        secret = b"hunter2"
        answer = server.ask(
            "POST",
            "/api/v1/auth/login",
            b'{"username": "admin", "password": "' + secret + b'"}',
            content_type=JSON,
        )
        assert_envelope(answer, 400, "VALIDATION_ERROR")
        message = "Invalid login password: must have at least 8 characters, not 7"
        assert answer.error["message"] == message
        assert secret not in answer.body

    def test_every_code_has_a_status_and_no_two_share_one(self) -> None:
        assert problems.STATUS.keys() == set(ErrorCode)
        assert len(set(problems.STATUS.values())) == len(ErrorCode)

    def test_details_that_json_cannot_hold_do_not_break_the_envelope(self) -> None:
        rejected = Rejected(ErrorCode.CONFLICT, "\ud800", {"big": 10**40, "in": [{"\udfff": (1, "\udfff")}]})
        error = json.loads(problems.envelope(rejected, "req-00000001"))["error"]
        assert error["message"] == "?"
        assert error["details"] == {"big": str(10**40), "in": [{"?": [1, "?"]}]}


POST = b"POST /api/v1/tasks HTTP/1.1\r\nhost: t\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"
NOT_HTTP = {
    "an unknown method": b"BREW /api/v1/tasks HTTP/1.1\r\nhost: t\r\n\r\n",
    "rubbish": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "a space in a name": b"GET / HTTP/1.1\r\nhost : t\r\n\r\n",
    "a length that is no number": b"POST /api/v1/tasks HTTP/1.1\r\nhost: t\r\ncontent-length: x\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
    "a length and chunks": b"POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 1\r\n"
    b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks twice": POST + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks that are not last": POST + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a folded header": POST + b"transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a list of lengths": POST + b"content-length: 1, 1\r\n\r\na",
    "a length with a sign": POST + b"content-length: +1\r\n\r\na",
    "a size in 0x": POST + CHUNKED + b"0x1\r\na\r\n0\r\n\r\n",
    "a size and a space": POST + CHUNKED + b"1 \r\na\r\n0\r\n\r\n",
    "a size beyond 64 bits": POST + CHUNKED + b"10000000000000001\r\na\r\n0\r\n\r\n",
    "a size and a line feed": POST + CHUNKED + b"1\na\r\n0\r\n\r\n",
    "an extension and a line feed": POST + CHUNKED + b"1;a\na\r\n0\r\n\r\n",
    "a chunk without an end": POST + CHUNKED + b"1\r\naXX0\r\n\r\n",
    "line feeds only": b"GET / HTTP/1.1\nhost: t\n\n",
    "a carriage return in a header": b"GET / HTTP/1.1\r\nhost: t\r\nx-a: b\rx-b: c\r\n\r\n",
    "a zero byte in a header": b"GET / HTTP/1.1\r\nhost: t\r\nx-a: \x00\r\n\r\n",
}


@pytest.mark.parametrize("raw", NOT_HTTP.values(), ids=NOT_HTTP.keys())
def test_what_is_not_http_gets_the_envelope_too(server: Server, raw: bytes) -> None:
    """What the parser refuses has the form of every error, rate-limit headers included,
    and ends the connection: nothing behind it is taken for another request."""
    answer = server.send(raw)
    assert_envelope(answer, 400, "VALIDATION_ERROR")
    assert answer.headers["connection"] == "close"
