"""Readers of the event stream on a real server: killed and resumed, they see everything once and in order.

EVENT_READER_CUTS says how often the connection breaks (`make chaos`: 1,000 times).
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from helix_ray.client import Client
from helix_ray.client.events import EventReader
from helix_ray.client.session import ClientSession
from helix_ray.client.tokens import MemoryTokens, SessionTokens
from helix_ray.client.transport import Transport
from tests.http.api_server import PASSWORD, Api
from tests.http.cutting_proxy import CuttingProxy, cutting

CUTS = int(os.environ.get("EVENT_READER_CUTS", "60"))
LAST = "the last one"
# Less than two events take; the head of a response and its first frames are among them.
CUT_BYTES_MAX = 3_000


def token_of(client: httpx.Client) -> str:
    return client.headers["Authorization"].removeprefix("Bearer ")


def impatient(url: str, token: str, **query: str) -> EventReader:
    """Return a reader that does not wait before it connects again, so that a test may break off often."""
    transport = Transport(f"{url}/api/v1", sleep=lambda _: None)
    session = ClientSession(transport, MemoryTokens(SessionTokens(token)))
    return EventReader(session, query)


@contextmanager
def submitting(api: Api, client: httpx.Client, proxy: CuttingProxy) -> Iterator[list[str]]:
    """Submit tasks and end them until the proxy has cut often enough; gives their titles."""
    titles: list[str] = []

    def submit() -> None:
        for number in itertools.count():
            titles.append(f"number {number}" if proxy.cuts < CUTS else LAST)
            task_id = api.submit(client, title=titles[-1], description="é…😀" * 20)
            client.post(f"/tasks/{task_id}/cancel")
            if titles[-1] == LAST:
                proxy.is_cutting = False
                return

    thread = threading.Thread(target=submit)
    thread.start()
    try:
        yield titles
    finally:
        thread.join()


def test_a_reader_killed_and_resumed_sees_every_event_once_and_in_order(api: Api) -> None:
    """Its connection breaks at any byte: in the head, inside of a frame, and between two."""
    writer = api.client()
    with cutting(api.url, bytes_max=CUT_BYTES_MAX) as proxy:
        reader = impatient(proxy.url, token_of(writer), events="task.created,task.cancelled")
        seen = []
        with submitting(api, writer, proxy) as titles:
            for event in reader:
                seen.append((event["seq"], event["event"], event["data"]["title"]))
                if seen[-1][1:] == ("task.cancelled", LAST):
                    break
        reader.close()
    assert proxy.cuts >= CUTS
    each_twice = [(kind, title) for title in titles for kind in ("task.created", "task.cancelled")]
    assert [(kind, title) for _, kind, title in seen] == each_twice
    assert [seq for seq, _, _ in seen] == sorted({seq for seq, _, _ in seen})


def test_a_reader_sees_only_what_its_user_may(api: Api) -> None:
    """Those of others are not in their stream, from wherever it begins; an administrator sees both."""
    ann, ben = api.add("ann", "developer"), api.add("ben", "developer")
    with Client(api.url, token_of(ann)) as hers, Client(api.url, token_of(api.client())) as all_of_it:
        with hers.events("task.created") as live:
            ids = [api.submit(client) for client in (ben, ann, ben, ann)]
            told = [event["subject"] for event in itertools.islice(live, 2)]
            assert told == ids[1::2]
            assert live.cursor is not None
        with hers.events("task.*", after=0) as again:
            assert [event["subject"] for event in itertools.islice(again, 2)] == ids[1::2]
        with all_of_it.events("task.created", after=0) as every:
            assert next(event for event in every if event["subject"] == ids[0])["data"]["owner"] != "admin"


def test_a_reader_outlives_its_access_token(api: Api) -> None:
    """The stream ends with the session of its token; the reader says so, and goes on with another login."""
    with Client(api.url) as client:
        client.login("admin", PASSWORD)
        with client.events("task.created") as events:
            first = api.submit(api.client())
            assert next(events)["subject"] == first
            client.logout()
            with pytest.raises(Exception, match="UNAUTHORIZED"):
                next(events)
            cursor = events.cursor
        client.login("admin", PASSWORD)
        second = api.submit(api.client())
        with client.events("task.created", after=cursor) as events:
            assert next(events)["subject"] == second


def test_a_cursor_of_another_journal_is_refused_and_the_beginning_is_offered(api: Api) -> None:
    """Such as of the time before a backup was restored."""
    with Client(api.url, token_of(api.client())) as client:
        with pytest.raises(Exception, match="GONE") as refused:
            client.events(after=10**9)
        assert getattr(refused.value, "details")["earliest"] == 0  # noqa: B009
        with client.events(after=10**9, from_earliest=True) as events:
            assert next(events)["seq"] >= 1
