"""Calls with a login: adds the token, refreshes it before it expires, and once more
when the server refuses it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from helix_ray.client import prefixes
from helix_ray.client.errors import NotFound, NotSignedIn
from helix_ray.client.tokens import SessionTokens, TokenStore
from helix_ray.client.transport import Piece, Reply, Request, Transport

if TYPE_CHECKING:
    from helix_ray.wire.sessions import LoginOut

# A token that expires sooner is refreshed first: it must still be valid when the request arrives.
REFRESH_MARGIN_S = 30.0

Opening = Callable[[Request], AbstractContextManager[Iterator[Piece]]]


class ClientSession:
    """A transport with tokens."""

    def __init__(self, transport: Transport, store: TokenStore) -> None:
        self.transport = transport
        self.store = store

    def call(self, method: str, path: str, body: Any = None, **params: Any) -> Any:
        """Send a request as the logged-in user; return the JSON value of the response."""
        return self.send(Request(method, path, params=params, body=body)).data

    def send(self, request: Request) -> Reply:
        """Send a request with the token; raise NotSignedIn if it is missing or no longer valid.

        The beginning of an id stands for the one id that begins so (prefixes.py).
        """
        try:
            return self._send(request)
        except NotFound as error:
            return self._send(prefixes.completed(request, error, self._read))

    def full_id(self, kind: str, text: str, id_field: str | None = None) -> str:
        """Return the id that begins with a text, for the body or the query of a request."""
        return prefixes.full_id(kind, text, self._read, id_field)

    def _read(self, request: Request) -> Any:
        return self._send(request).data

    def _send(self, request: Request) -> Reply:
        tokens = self._fresh()
        try:
            return self.transport.send(_signed(request, tokens))
        except NotSignedIn:
            if tokens is None or tokens.refresh_token is None:
                raise
        return self.transport.send(_signed(request, self._exchange(tokens)))

    @contextmanager
    def stream(self, request: Request) -> Iterator[Iterator[str]]:
        """Open a streamed response as the logged-in user."""
        with ExitStack() as stack:
            try:
                pieces = self._open(stack, request, self.transport.stream)
            except NotFound as error:
                whole = prefixes.completed(request, error, self._read)
                pieces = self._open(stack, whole, self.transport.stream)
            yield pieces

    @contextmanager
    def download(self, request: Request) -> Iterator[Iterator[bytes]]:
        """Open a streamed response of bytes as the logged-in user."""
        with ExitStack() as stack:
            yield self._open(stack, request, self.transport.download)

    def _open(self, stack: ExitStack, request: Request, opening: Opening[Piece]) -> Iterator[Piece]:
        tokens = self._fresh()
        try:
            return stack.enter_context(opening(_signed(request, tokens)))
        except NotSignedIn:
            if tokens is None or tokens.refresh_token is None:
                raise
        return stack.enter_context(opening(_signed(request, self._exchange(tokens))))

    def login(self, username: str, password: str) -> LoginOut:
        """Open a session; return the answer with the user, and store the tokens."""
        body = {"username": username, "password": password}
        answer: LoginOut = self.transport.send(Request("POST", "/auth/login", body=body)).data
        self.store.save(SessionTokens.from_answer(answer))
        return answer

    def logout(self) -> None:
        """End the session on the server and delete its tokens; a session that has ended
        already is not an error."""
        tokens = self.store.load()
        try:
            if tokens is not None:
                self.transport.send(_signed(Request("POST", "/auth/logout"), tokens))
        except NotSignedIn:
            pass
        finally:
            self.store.save(None)

    def _fresh(self) -> SessionTokens | None:
        tokens = self.store.load()
        if tokens is None or tokens.refresh_token is None or not tokens.stale(time.time(), REFRESH_MARGIN_S):
            return tokens
        return self._exchange(tokens)

    def _exchange(self, stale: SessionTokens) -> SessionTokens:
        return self.store.exchange(stale, self._refresh)

    def _refresh(self, stale: SessionTokens) -> SessionTokens:
        body = {"refresh_token": stale.refresh_token}
        return SessionTokens.from_answer(
            self.transport.send(Request("POST", "/auth/refresh", body=body)).data
        )


def _signed(request: Request, tokens: SessionTokens | None) -> Request:
    if tokens is None:
        return request
    return replace(request, headers={**request.headers, "Authorization": f"Bearer {tokens.token}"})
