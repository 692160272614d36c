"""helix webhook listen and trigger: signed requests to a receiver under development."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from helix_ray.core.notices import EVENTS
from helix_ray.webhooks.signing import body_signature
from tests.http.running_node import Helix
from tests.receivers import Receiver, receiving_beside

SIGNING_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="


def checked(receiver: Receiver, secret: str) -> list[str]:
    """Return the events that were received, with their signatures checked."""
    for each in receiver.requests:
        Webhook(secret).verify(each.body, each.headers)
        assert each.headers["x-hub-signature-256"] == body_signature(each.body, secret)
    return [json.loads(each.body)["event"] for each in receiver.requests]


def test_a_sample_of_every_event_is_sent(helix: Helix, tmp_path: Path) -> None:
    """Signed with the secret of the file; no login is needed."""
    file = tmp_path / "secret"
    file.write_text(SIGNING_SECRET + "\n")
    with receiving_beside() as receiver:
        for event in EVENTS:
            done = helix("webhook", "trigger", event, receiver.url("/ok"), "--secret-file", str(file))
            assert (done.code, done.err) == (0, "")
            assert f"{event}  " in done.out
            assert "200 in " in done.out
        assert checked(receiver, SIGNING_SECRET) == list(EVENTS)


def test_a_secret_is_made_and_shown(helix: Helix) -> None:
    """So that a receiver can be tried without any preparation."""
    with receiving_beside() as receiver:
        done = helix("webhook", "trigger", "task.completed", receiver.url("/ok"))
        assert done.code == 0
        assert checked(receiver, re.findall(r"whsec_\S+", done.err)[0]) == ["task.completed"]


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("task.completed", "{url}/fail"), 1, "500 in "),
        (("task.completed", "http://127.0.0.1:1/"), 1, "no answer"),
        (("task.none", "{url}/ok"), 2, "task.completed"),
        (("task.completed", "ftp://127.0.0.1/"), 2, "http://"),
        (("task.completed",), 2, "--webhook"),
        (("task.completed", "--webhook", "webhook-1"), 2, "webhook.ping"),
    ],
)
def test_what_went_wrong_is_said(helix: Helix, words: tuple[str, ...], code: int, text: str) -> None:
    """With the receiver's answer, or with what is known."""
    with receiving_beside() as receiver:
        done = helix("webhook", "trigger", *(word.format(url=receiver.url()[:-1]) for word in words))
        assert done.code == code
        assert text in done.out + done.err


def test_events_are_forwarded(signed_in: Helix, tmp_path: Path) -> None:
    """From a seq on, each with how it was answered, until so many have come."""
    (tmp_path / "secret").write_text(SIGNING_SECRET)
    task = signed_in("task", "submit", "--type", "design", "--title", "forwarded", "--json").json
    assert signed_in("task", "cancel", task["id"]).code == 0
    with receiving_beside() as receiver:
        for event in ("task.created", "task.cancelled"):
            done = signed_in(
                "webhook", "listen", receiver.url("/ok"), "--event", event, "--after", "0", "-n", "1",
                "--secret-file", str(tmp_path / "secret"),
            )  # fmt: skip
            assert done.code == 0
            assert done.out.startswith(f"{event}  {task['id']}  200 in ")
        assert checked(receiver, SIGNING_SECRET) == ["task.created", "task.cancelled"]
