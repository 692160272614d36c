"""Logs of attempts over HTTP: text, JSON and bytes, from any offset."""

from __future__ import annotations

import threading

import httpx

from tests.http.api_server import Api, error_of


def test_text_json_and_offsets(api: Api, admin: httpx.Client) -> None:
    task_id = api.submit(admin)
    admin.put(f"/tasks/{task_id}", json={"status": "running"})
    api.plane.write_log(task_id, 1, "hello ")
    answer = admin.get(f"/tasks/{task_id}/logs")
    assert (answer.status_code, answer.text) == (200, "hello ")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-helix-attempt"] == "1"
    api.plane.write_log(task_id, 1, "world")
    piece = admin.get(f"/tasks/{task_id}/logs?offset=6", headers={"accept": "application/json"}).json()
    assert (piece["text"], piece["offset"], piece["next_offset"], piece["eof"]) == ("world", 6, 11, False)
    admin.put(f"/tasks/{task_id}", json={"status": "completed"})
    piece = admin.get(f"/tasks/{task_id}/logs", headers={"accept": "application/json"}).json()
    assert (piece["text"], piece["eof"]) == ("hello world", True)
    error_of(admin.get(f"/tasks/{task_id}/logs?attempt=0"), 400, "VALIDATION_ERROR")


def test_characters_come_whole_and_bytes_as_they_are(api: Api, admin: httpx.Client) -> None:
    """`Accept: application/octet-stream` is what was written, from any byte on."""
    task_id = api.submit(admin)
    admin.put(f"/tasks/{task_id}", json={"status": "running"})
    text = "é€😀" * 60_000
    api.plane.write_log(task_id, 1, text)
    assert admin.get(f"/tasks/{task_id}/logs").text == text
    octets = {"accept": "application/octet-stream"}
    answer = admin.get(f"/tasks/{task_id}/logs?offset=1", headers=octets)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.content == text.encode()[1:]


def test_what_was_removed_is_said(api: Api, admin: httpx.Client) -> None:
    """In a header, in a line of the text where it is missing, in the offsets of JSON; the bytes are data
    only."""
    task_id = api.submit(admin)
    admin.put(f"/tasks/{task_id}", json={"status": "running"})
    api.plane.write_log(task_id, 1, "begin\n0123456789end")
    api.plane.cut_log(task_id, 1, 6, 16)
    answer = admin.get(f"/tasks/{task_id}/logs")
    assert answer.text == "begin\n[helix: 10 bytes of output were removed here]\nend"
    assert answer.headers["x-helix-log-cut-bytes"] == "10"
    answer = admin.get(f"/tasks/{task_id}/logs", headers={"accept": "application/octet-stream"})
    assert answer.content == b"begin\nend"
    assert answer.headers["x-helix-log-cut-bytes"] == "10"
    piece = admin.get(f"/tasks/{task_id}/logs?offset=8", headers={"accept": "application/json"}).json()
    assert (piece["text"], piece["offset"], piece["next_offset"], piece["cut_bytes"]) == (
        "end",
        16,
        19,
        10,
    )


def test_following_gives_what_is_written_and_ends_with_the_attempt(api: Api, admin: httpx.Client) -> None:
    task_id = api.submit(admin)
    admin.put(f"/tasks/{task_id}", json={"status": "running"})
    api.plane.write_log(task_id, 1, "one ")
    with admin.stream("GET", f"/tasks/{task_id}/logs?follow=true") as answer:
        pieces = answer.iter_text()
        assert next(pieces) == "one "
        api.plane.write_log(task_id, 1, "two")
        assert next(pieces) == "two"
        ended = threading.Thread(
            target=lambda: httpx.put(
                f"{api.url}/api/v1/tasks/{task_id}",
                json={"status": "completed"},
                headers={"authorization": admin.headers["authorization"]},
                timeout=30,
            )
        )
        ended.start()
        assert list(pieces) == []
        ended.join()
