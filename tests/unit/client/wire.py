"""A server made of prepared answers, for the tests of the client."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from helix_ray.client import Client
from helix_ray.client.transport import MARKS, Retries, Transport


def served(answer: Callable[[httpx.Request], httpx.Response]) -> httpx.Client:
    """Return connections to a server that answers so, with the headers of every response of the API."""

    def marked(request: httpx.Request) -> httpx.Response:
        response = answer(request)
        response.headers.update(dict.fromkeys(MARKS, "1"))
        return response

    return httpx.Client(transport=httpx.MockTransport(marked))


class Wire:
    """The answers, and a clock that the pauses of the client move: they are noted, and take no time."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.pauses: list[float] = []
        self.now = 0.0

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Return the next answer, or raise it."""
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def pause(self, seconds: float) -> None:
        """Note a pause."""
        self.pauses.append(seconds)
        self.now += seconds

    def transport(self, **retries: float) -> Transport:
        """Return a transport to this server."""
        return Transport(
            "http://h/api/v1",
            retries=Retries(**retries),
            http=served(self.answer),
            sleep=self.pause,
            clock=lambda: self.now,
        )

    def client(self) -> Client:
        """Return a client of this server that has a token."""
        client = Client("http://h", "token", http=served(self.answer))
        client._transport = client._session.transport = self.transport()
        return client
